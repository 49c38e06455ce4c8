"""What clients written for AWS rely on, in names, outputs and failures."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.service.running import LAMBDA, RunningService, _flow_request, _job_request, _running_service
from trueground.service.engine import accounts, answering, leasing
from trueground.service.settings import ServiceSettings

BROKEN = """<crowd-form>
  <img src="{{ task.input.words | grant_read_access }}"><crowd-text-area name="t"></crowd-text-area>
</crowd-form>"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("service").resolve()
    (folder / "data").mkdir()
    settings = ServiceSettings(home=folder / "home", data_root=folder / "data", poll_interval=0.1, stop_grace=0.1)
    with _running_service(settings) as service:
        yield service


def start(service: RunningService, flow: str, name: str, content: Any) -> dict[str, Any]:
    # Equal requests of one second are one; the client asks again, as by default.
    config = Config(retries={"total_max_attempts": 5})
    service.client("sagemaker-a2i-runtime", config=config).start_human_loop(
        HumanLoopName=name,
        FlowDefinitionArn=service.settings.arn(f"flow-definition/{flow}"),
        HumanLoopInput={"InputContent": json.dumps(content)},
    )
    service.db.version += 1
    return describe(service, name)


def describe(service: RunningService, name: str) -> dict[str, Any]:
    found: dict[str, Any] = service.client("sagemaker-a2i-runtime").describe_human_loop(HumanLoopName=name)
    return found


def ended(service: RunningService, name: str) -> dict[str, Any]:
    end = time.monotonic() + 60
    while (found := describe(service, name))["HumanLoopStatus"] in ("InProgress", "Stopping"):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def make_flow(service: RunningService, name: str, **members: Any) -> None:
    sagemaker = service.client()
    sagemaker.create_flow_definition(**_flow_request(service, sagemaker, name, 1, **members))


def test_the_output_of_a_loop_is_known_while_it_goes_on(service: RunningService) -> None:
    make_flow(service, "early")
    ada = service.add_worker("ada-early")
    before = start(service, "early", "early-1", {"words": "hello"})
    assert before["HumanLoopStatus"] == "InProgress"
    uri = before["HumanLoopOutput"]["OutputS3Uri"]
    assert not Path(urlsplit(uri).path).exists()
    lease = leasing.next_assignment(service.db, ada, "early")
    assert lease is not None
    answering.submit_answer(service.db, lease.id, ada, {"transcription": "hello"}, 1.0)
    assert ended(service, "early-1")["HumanLoopOutput"]["OutputS3Uri"] == uri
    assert json.loads(Path(urlsplit(uri).path).read_text())["humanLoopName"] == "early-1"
    # One that ended without an output has none.
    start(service, "early", "early-2", {"words": "hello"})
    service.client("sagemaker-a2i-runtime").stop_human_loop(HumanLoopName="early-2")
    assert "HumanLoopOutput" not in ended(service, "early-2")


@pytest.mark.parametrize("address", ["not an address", "ftp://example.org/a.png", "file:///etc/passwd"])
def test_a_loop_whose_task_cannot_be_rendered_fails_as_on_aws(service: RunningService, address: str) -> None:
    name = f"broken-{len(address)}"
    service.client().create_human_task_ui(HumanTaskUiName=f"{name}-ui", UiTemplate={"Content": BROKEN})
    make_flow(service, name)
    ada = service.add_worker(f"ada-{name}")
    start(service, name, name, {"words": address})
    assert leasing.next_assignment(service.db, ada, name) is None, "nobody gets such a task"
    found = ended(service, name)
    assert (found["HumanLoopStatus"], found["FailureCode"]) == ("Failed", "ValidationError")
    assert found["FailureReason"].startswith("Task failed to render")
    # Others of the flow definition are not touched, and the same loop again is the same loop.
    good = service.data_root / "good.png"
    good.write_bytes(b"x")
    assert start(service, name, f"{name}-good", {"words": good.as_uri()})["HumanLoopStatus"] == "InProgress"
    assert start(service, name, name, {"words": address})["HumanLoopStatus"] == "Failed"


@pytest.mark.parametrize("name", ["Loop-ABC", "A", "a1B2-C3"])
def test_loop_names_may_have_capital_letters(service: RunningService, name: str) -> None:
    flow = f"capitals-{name.lower()}"
    make_flow(service, flow)
    assert start(service, flow, name, {"words": "x"})["HumanLoopName"] == name
    # As on AWS, they are other names than those with small ones.
    if name.lower() != name:
        assert start(service, flow, name.lower(), {"words": "y"})["HumanLoopName"] == name.lower()
    for wrong in (f"{name}-", f"-{name}", f"{name}_x", f"{name} x"):
        with pytest.raises(ClientError, match="umanLoopName"):
            start(service, flow, wrong, {"words": "x"})


def test_passing_through_names_the_answers_and_the_label_comes_before_its_metadata(service: RunningService) -> None:
    ada = service.add_worker("ada-passing")
    post = {"AnnotationConsolidationLambdaArn": LAMBDA + "ACS-PassThrough"}
    lines = [{"source": "a cat", "animal-metadata": {"failure-reason": "earlier"}, "last": 1}]
    request = _job_request(
        service.data_root,
        "passing",
        lines,
        PreHumanTaskLambdaArn=LAMBDA + "PRE-PassThrough",
        AnnotationConsolidationConfig=post,
    )
    template = service.data_root / "in/passing/template.html"
    template.write_text("<crowd-form>{{ task.input.source }}<crowd-text-area name='t'></crowd-text-area></crowd-form>")
    service.client().create_labeling_job(**request)
    service.db.version += 1
    lease = leasing.next_assignment(service.db, ada, "passing")
    assert lease is not None
    answering.submit_answer(service.db, lease.id, ada, {"t": "meow"}, 1.0)
    service.wait_for("passing", "Completed", seconds=60)
    (text,) = (service.data_root / "out/passing/manifests/output/output.manifest").read_text().splitlines()
    line = json.loads(text)
    assert list(line) == ["source", "last", "animal", "animal-metadata"]
    answers = json.loads(Path(urlsplit(line["animal-metadata"]["worker-response-ref"]).path).read_text())["answers"]
    assert answers[0]["answerContent"] == {"t": "meow"}


@pytest.mark.parametrize("side", ["PreHumanTaskLambdaArn", "AnnotationConsolidationConfig"])
def test_only_functions_of_aws_accounts_are_built_in(service: RunningService, side: str) -> None:
    own = "arn:aws:lambda:us-east-1:000000000000:function:"
    value: Any = own + "PRE-ImageMultiClass"
    if side == "AnnotationConsolidationConfig":
        value = {"AnnotationConsolidationLambdaArn": own + "ACS-ImageMultiClass"}
    with pytest.raises(ClientError, match="ImageMultiClass"):
        service.client().create_labeling_job(**_job_request(service.data_root, "foreign", **{side: value}))


def test_a_team_that_is_too_small_is_warned_of_and_the_job_is_created_all_the_same(service: RunningService) -> None:
    team = service.add_team("small")
    for name in ("ada-small", "bob-small"):
        service.add_worker(name, team="small")
    answer = service.client().create_labeling_job(**_job_request(service.data_root, "few", workers=5, WorkteamArn=team))
    (text,) = json.loads(answer["ResponseMetadata"]["HTTPHeaders"]["x-trueground-warnings"])
    assert "5 answers per object" in text and "small had 2 members" in text and "until 3 more join" in text
    service.add_worker("max-few", role="manager", team=None)
    client = httpx.Client(base_url=service.url)
    client.post("/api/session", json={"username": "max-few", "password": "secret"}).raise_for_status()
    assert "small had 2 members" in client.get("/jobs/few").text
    assert client.get("/api/jobs/few").json()["insight"]["warnings"] == [text]
    # A job for reviewers counts these only; as many people as are asked for are enough.
    service.add_worker("rita-small", team="small", role="reviewer")
    tags = [{"Key": "trueground:role", "Value": "reviewer"}]
    answer = service.client().create_labeling_job(
        **_job_request(service.data_root, "checks", workers=2, WorkteamArn=team, Tags=tags)
    )
    assert "had 1 member when" in answer["ResponseMetadata"]["HTTPHeaders"]["x-trueground-warnings"]
    answer = service.client().create_labeling_job(
        **_job_request(service.data_root, "enough", workers=3, WorkteamArn=team)
    )
    assert "x-trueground-warnings" not in answer["ResponseMetadata"]["HTTPHeaders"]
    sagemaker = service.client()
    accounts.disable(service.db, "rita-small")
    request = _flow_request(service, sagemaker, "few-reviews", 3, WorkteamArn=team)
    answer = sagemaker.create_flow_definition(**request)
    assert "had 2 members" in answer["ResponseMetadata"]["HTTPHeaders"]["x-trueground-warnings"]
    assert "had 2 members" in client.get("/reviews/few-reviews").text


def test_the_message_about_aws_own_interfaces_advises_what_is_accepted(service: RunningService) -> None:
    arn = "arn:aws:sagemaker:us-east-1:394669845002:human-task-ui/NamedEntityRecognition"
    with pytest.raises(ClientError) as caught:
        service.client().create_labeling_job(
            **_job_request(service.data_root, "entities", UiConfig={"HumanTaskUiArn": arn})
        )
    message = caught.value.response["Error"]["Message"]
    assert "NamedEntityRecognition" in message and "image-classification" in message
    assert "template of your own" not in message
