"""Predictions by AWS's services, by boto3 against a server that speaks their operations."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from trueground.review.call_services import CLIENTS, predict_by_calls
from trueground.review.loops import loop_name, loop_prefix
from trueground.review.project import ReviewProject, ReviewRun
from trueground.storage import Storage, file_uri

FLOW = "arn:aws:sagemaker:us-east-1:111122223333:flow-definition/forms"
IMAGE = b"not really a picture"


class AwsServer:
    """Answers by ``says``: the operation or the path, and the request's content, to a status and a content."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[tuple[str, Any]] = []
        self.says: Callable[[str, Any], tuple[int, Any]] = lambda *_: (500, {})

    def client(self, kind: str) -> Any:
        return boto3.client(
            CLIENTS[kind], endpoint_url=self.url, region_name="us-east-1", aws_access_key_id="x",
            aws_secret_access_key="x", config=Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip


@pytest.fixture
def aws() -> Iterator[AwsServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            what = self.headers.get("X-Amz-Target") or self.path
            given = json.loads(body) if "X-Amz-Target" in self.headers else body
            server.requests.append((what, given))
            status, content = server.says(what, given)
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server = AwsServer(f"http://127.0.0.1:{http.server_port}")
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield server
        http.shutdown()


def run_of(folder: Path, labels: tuple[str, ...] = (), name: str = "night", **source: Any) -> ReviewRun:
    project = ReviewProject.model_validate(
        {
            "kind": "review-predictions", "name": "seen", "source": source, "labels": labels,
            "output": file_uri(folder / "reviews"), "review": {"team": "reviewers"},
        }
    )  # fmt: skip
    return ReviewRun(project, name, Storage(data_root=str(folder)))


def pictures(folder: Path, *names: str) -> str:
    (folder / "in").mkdir()
    for name in names:
        (folder / "in" / name).write_bytes(IMAGE)
    manifest = folder / "in.manifest"
    manifest.write_text("".join(json.dumps({"source-ref": file_uri(folder / "in" / name)}) + "\n" for name in names))
    return file_uri(manifest)


def call(run: ReviewRun, aws: AwsServer, **options: Any) -> list[dict[str, Any]]:
    predict_by_calls(run, run.project.source, aws.client(run.project.source.kind), **options)
    return list(run.read_lines("predictions.jsonl"))


def test_documents_go_to_textract_whose_own_human_loops_are_kept(tmp_path: Path, aws: AwsServer) -> None:
    activated = {
        "HumanLoopArn": "arn:aws:sagemaker:us-east-1:111122223333:human-loop/x",
        "HumanLoopActivationReasons": ["ConditionsEvaluation"],
    }

    def says(_what: str, given: Any) -> tuple[int, Any]:
        return 200, {"Blocks": [], "DocumentMetadata": {"Pages": 1}, "HumanLoopActivationOutput": activated}

    aws.says = says
    run = run_of(tmp_path, kind="textract", manifest=pictures(tmp_path, "a.png"))
    (line,) = call(run, aws, flow_definition=FLOW)
    assert line["prediction"] == {"Blocks": [], "DocumentMetadata": {"Pages": 1}}
    assert line["human-loop"] == activated
    ((what, given),) = aws.requests
    assert what == "Textract.AnalyzeDocument"
    assert base64.b64decode(given["Document"]["Bytes"]) == IMAGE and given["FeatureTypes"] == ["FORMS"]
    name = loop_name(loop_prefix("seen", "night"), line["id"])
    assert given["HumanLoopConfig"] == {"HumanLoopName": name, "FlowDefinitionArn": FLOW}


def test_pictures_on_s3_go_to_rekognition_by_their_place(tmp_path: Path, aws: AwsServer) -> None:
    found = {
        "ModerationLabels": [{"Name": "Smoking", "Confidence": 61.5, "ParentName": ""}],
        "ModerationModelVersion": "7",
    }
    aws.says = lambda *_: (200, found)
    manifest = tmp_path / "in.manifest"
    manifest.write_text('{"source-ref": "s3://pictures/deep/in it/1.png"}\n')
    run = run_of(tmp_path, kind="rekognition", manifest=file_uri(manifest), min_confidence=20)
    (line,) = call(run, aws)
    assert line["prediction"] == found and "human-loop" not in line
    ((what, given),) = aws.requests
    assert what == "RekognitionService.DetectModerationLabels"
    assert given == {"Image": {"S3Object": {"Bucket": "pictures", "Name": "deep/in it/1.png"}}, "MinConfidence": 20.0}


@pytest.mark.parametrize(
    ("expression", "answer", "prediction"),
    [
        ("@", {"label": "cat", "confidence": 0.7}, {"label": "cat", "confidence": 0.7}),
        ("predictions[0]", {"predictions": [[0.25, 0.75]]},
         {"label": "dog", "confidence": 0.75, "probabilities": {"cat": 0.25, "dog": 0.75}}),
        ("{probabilities: p, extra: note}", {"p": {"cat": 0.9, "dog": 0.1}, "note": "x"},
         {"label": "cat", "confidence": 0.9, "probabilities": {"cat": 0.9, "dog": 0.1}, "extra": "x"}),
        ("name", {"name": "dog"}, {"label": "dog"}),
    ],
)  # fmt: skip
def test_an_endpoints_answer_becomes_a_prediction(
    tmp_path: Path, aws: AwsServer, expression: str, answer: Any, prediction: Any
) -> None:
    aws.says = lambda *_: (200, answer)
    run = run_of(
        tmp_path, ("cat", "dog"), kind="sagemaker-endpoint", manifest=pictures(tmp_path, "a.png"), endpoint="animals",
        content_type="application/x-image", prediction=expression,
    )  # fmt: skip
    (line,) = call(run, aws)
    assert line["prediction"] == prediction
    assert aws.requests == [("/endpoints/animals/invocations", IMAGE)]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([0.5, 0.3, 0.2], "3 probabilities, the project has 2 labels"),
        ([0.5, None], "prediction.probabilities.dog"),
        ({"probabilities": {"cat": "much"}}, "prediction.probabilities.cat"),
        (10**400, "finds no prediction"),
    ],
)
def test_an_answer_without_a_prediction_sets_the_object_aside(
    tmp_path: Path, aws: AwsServer, found: Any, reason: str
) -> None:
    aws.says = lambda *_: (200, {"predictions": [found]})
    manifest = tmp_path / "in.manifest"
    manifest.write_text('{"source": "a text"}\n')
    run = run_of(
        tmp_path, ("cat", "dog"), kind="sagemaker-endpoint", manifest=file_uri(manifest), endpoint="animals",
        content_type="text/plain", prediction="predictions[0]",
    )  # fmt: skip
    (line,) = call(run, aws)
    assert reason in line["failure-reason"]
    assert aws.requests == [("/endpoints/animals/invocations", b"a text")]


def test_what_was_answered_is_paid_once_though_the_task_is_repeated(tmp_path: Path, aws: AwsServer) -> None:
    run = run_of(tmp_path, kind="textract", manifest=pictures(tmp_path, "a.png", "b.png", "c.png"))

    def says(_what: str, _given: Any) -> tuple[int, Any]:
        if len(aws.requests) == 3:
            return 400, {"__type": "ThrottlingException", "message": "slowly"}
        return 200, {"Blocks": []}

    aws.says = says
    with pytest.raises(ClientError, match="slowly"):
        call(run, aws, callers=1)
    assert not run.storage.exists(run.uri("predictions.jsonl"))
    assert len(call(run, aws)) == 3
    assert len(aws.requests) == 4


def test_a_document_that_the_service_refuses_is_set_aside_with_its_reason(tmp_path: Path, aws: AwsServer) -> None:
    aws.says = lambda *_: (400, {"__type": "UnsupportedDocumentException", "message": "no document"})
    run = run_of(tmp_path, kind="textract", manifest=pictures(tmp_path, "a.png"))
    (line,) = call(run, aws)
    assert "no document" in line["failure-reason"] and "prediction" not in line
    call(run, aws)
    assert len(aws.requests) == 1
