"""The pipeline with everything on S3: data, templates, answers, labels, reports."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from demo.airflow import LocalAirflow
from demo.digits import read_truth, write_digits
from demo.people import SimulatedPeople
from demo.progress import RunFailed, follow, result_of, trigger
from tests.e2e.conftest import PROJECT
from tests.moto_server import MotoServer, serve_s3
from trueground.manifests import read_manifest
from trueground.storage import Storage

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

DIGITS = 24
ONE_ROUND = (
    PROJECT.replace("maximum: 3, first: 60", "maximum: 1, first: 60")
    .replace("workers_per_object: 3", "workers_per_object: 2")
    .replace("sample: 20, least_sure: 5", "sample: 4, least_sure: 2")
    .replace("retrain: {enabled: true", "retrain: {enabled: false")
    .replace("audit:\n  enabled: true", "audit:\n  enabled: false")
)
LOST = (
    ONE_ROUND.replace("name: mini", "name: lost")
    .replace("prefix: digits/images/", "prefix: s3://nowhere/images")
    .replace("output: mini", "output: lost")
)
"""Its data are in a bucket that is not there."""


@pytest.fixture(scope="module")
def s3() -> Iterator[MotoServer]:
    """A real S3 server with the bucket ``lake``."""
    with serve_s3("lake") as server:
        yield server


@pytest.fixture(scope="module")
def storage(s3: MotoServer) -> Storage:
    """What reads the bucket, apart from the pipeline."""
    return Storage(s3_options=s3.options)


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, s3: MotoServer, storage: Storage) -> Iterator[LocalAirflow]:
    """Airflow, running, whose data root is on S3."""
    folder = tmp_path_factory.mktemp("airflow")
    projects = folder / "projects"
    projects.mkdir()
    (projects / "mini.yaml").write_text(ONE_ROUND)
    (projects / "lost.yaml").write_text(LOST)
    write_digits(folder / "images", folder / "truth.csv", limit=DIGITS)
    storage.write_all(
        {f"s3://lake/data/digits/images/{file.name}": file.read_bytes() for file in (folder / "images").iterdir()}
    )
    local = LocalAirflow(
        folder / "home",
        folder / "trueground",
        folder / "nothing",
        port=19080 + os.getpid() % 1000,
        extra_environment={
            "TRUEGROUND_PROJECTS": str(projects),
            "TRUEGROUND_DATA_ROOT": "s3://lake/data",
            "AWS_ENDPOINT_URL_S3": s3.url,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
    )
    with local.running():
        yield local


@pytest.fixture(scope="module")
def published(airflow: LocalAirflow) -> dict[str, Any]:
    """What a run of the pipeline published."""
    people = SimulatedPeople(airflow, airflow.home.parent / "truth.csv")
    people.start()
    try:
        run_id = trigger(airflow, "label_mini", {})
        follow(airflow, "label_mini", run_id)
    finally:
        people.stop()
    found: dict[str, Any] = result_of(airflow, "label_mini", run_id, "publish")
    return found


def test_all_objects_are_labeled_and_everything_is_on_s3(
    airflow: LocalAirflow, published: dict[str, Any], storage: Storage
) -> None:
    lines = list(read_manifest(storage, published["run_labels"]))
    assert len(lines) == DIGITS == published["objects"]
    known = read_truth(airflow.home.parent / "truth.csv")
    right = sum(line["digit-metadata"]["class-name"] == known[Path(line["source-ref"]).name] for line in lines)
    assert right / DIGITS >= 0.8
    assert all(line["source-ref"].startswith("s3://lake/data/digits/images/") for line in lines)
    uris = [value for value in published.values() if isinstance(value, str) and "://" in value]
    assert len(uris) >= 4 and all(uri.startswith("s3://lake/data/mini/") and storage.exists(uri) for uri in uris)
    assert storage.read_text(published["report"]).startswith("<!doctype html>")
    answers = [uri for uri in storage.list("s3://lake/data/mini/jobs") if "/worker-response/" in uri]
    assert sum(len(json.loads(storage.read_bytes(uri))["answers"]) for uri in answers) == published["answers"]
    assert not [file for file in (airflow.home.parent / "nothing").rglob("*") if file.is_file()]


def test_a_bucket_that_is_not_there_is_one_line_in_the_log_of_the_first_step(
    airflow: LocalAirflow, published: dict[str, Any]
) -> None:
    run_id = trigger(airflow, "label_lost", {})
    with pytest.raises(RunFailed, match="build_manifest"):
        follow(airflow, "label_lost", run_id)
    path = f"/dags/label_lost/dagRuns/{quote(run_id, safe='')}/taskInstances/build_manifest/logs/1"
    log = json.dumps(airflow.api("GET", path))
    assert "s3://nowhere/images: there is no bucket 'nowhere'. Create the bucket, or correct its name." in log
    assert "ClientError" not in log and "NoSuchBucket" not in log
