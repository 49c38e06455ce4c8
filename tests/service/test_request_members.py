"""Members of CreateLabelingJob that do what they say."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.moto_server import serve_s3
from trueground.service.engine import leasing, progress
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import labeling_jobs

SAMPLES = Path(__file__).resolve().parents[1] / "tasks/samples/label-category-config.jsonl"
NER = {
    "document-version": "2018-11-28",
    "labels": [{"label": "person", "shortDisplayName": "per"}, {"label": "place", "shortDisplayName": "pla"}],
    "instructions": {"shortInstruction": "<p>Mark names.</p>", "fullInstruction": "<p>Mark all names.</p>"},
}
CONFIGS = [*(json.loads(line) for line in SAMPLES.read_text().splitlines()), NER]
KEY = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
Options = dict[str, Any]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: "-".join(config))
def test_a_label_category_file_of_every_kind_is_kept_whole(
    store: Database, settings: ServiceSettings, stored_job: Callable[..., str], job_request: Callable[..., Any],
    people: Callable[[int], list[str]], config: dict[str, Any],
) -> None:  # fmt: skip
    from trueground.service.engine import jobs

    request = job_request(PreHumanTaskLambdaArn=None, AnnotationConsolidationConfig=None)
    (settings.data_root / "in/animals/labels.json").write_text(json.dumps(config))
    jobs.create_job(store, settings.storage(), settings, request)
    (worker,) = people(1)
    lease = leasing.next_assignment(store, worker)
    assert lease is not None
    task = progress.task_view(store, lease.id, worker)
    assert task.label_config == config
    assert list(task.categories) == [entry["label"] for entry in config["labels"]]


def test_the_role_is_told_as_it_was_given(service: Any, sagemaker: Any, make_job: Callable[..., str]) -> None:
    make_job(RoleArn="arn:aws:iam::123456789012:role/service-role/labeling")
    told = sagemaker.describe_labeling_job(LabelingJobName="animals")
    assert told["RoleArn"] == "arn:aws:iam::123456789012:role/service-role/labeling"
    with service.db.read() as connection:
        assert connection.scalar(select(labeling_jobs.c.request))["RoleArn"] == told["RoleArn"]


@pytest.fixture
def s3() -> Iterator[tuple[Any, Options]]:
    """A client of an S3 server on this machine with the bucket ``labels``, and the options that lead there."""
    with serve_s3("labels") as server:
        yield server.client(), server.options


def test_output_on_s3_is_encrypted_with_the_key_that_was_asked_for(
    s3: tuple[Any, Options], settings: ServiceSettings, running_service: Any, job_request: Callable[..., Any]
) -> None:
    client, options = s3
    with running_service(replace(settings, s3_options=options)) as service:
        worker = service.add_worker("ann")
        config = {"S3OutputPath": "s3://labels/out", "KmsKeyId": KEY}
        service.client().create_labeling_job(**job_request(OutputConfig=config))
        service.answer("animals", worker)
        service.wait_for("animals", "Completed")
    written = [found["Key"] for found in client.list_objects_v2(Bucket="labels")["Contents"]]
    assert len(written) == 3 + 2 + 1
    for key in written:
        head = client.head_object(Bucket="labels", Key=key)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KEY), key


def test_a_picture_that_is_not_on_s3_is_set_aside_and_the_others_are_labeled(
    s3: tuple[Any, Options], settings: ServiceSettings, running_service: Any, job_request: Callable[..., Any]
) -> None:
    client, options = s3
    client.put_object(Bucket="labels", Key="images/1.png", Body=b"a picture")
    objects = [{"source-ref": f"s3://labels/images/{number}.png"} for number in range(3)]
    with running_service(replace(settings, s3_options=options)) as service:
        worker = service.add_worker("ann")
        service.client().create_labeling_job(**job_request(objects=objects))
        end = time.monotonic() + 15
        while not service.answer("animals", worker):
            assert time.monotonic() < end
            time.sleep(0.05)
        job = service.wait_for("animals", "Completed")
    counters = job["LabelCounters"]
    assert (counters["HumanLabeled"], counters["FailedNonRetryableError"]) == (1, 2)
    text = (settings.data_root / "out/animals/manifests/output/output.manifest").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines[0]["animal-metadata"]["failure-reason"] == "there is no file s3://labels/images/0.png."
    assert lines[1]["animal-metadata"]["class-name"] == "dog"
