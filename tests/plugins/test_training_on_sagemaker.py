"""A SageMaker training job and a pipeline in the slot of the trainer, against a server that speaks their API."""

from __future__ import annotations

import asyncio
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.models.conftest import PROJECT, labels_extra, publish, texts
from tests.moto_server import MotoServer, serve_moto
from tests.plugins.conftest import first_event
from trueground.models import Registry
from trueground.models.sources import Event, note_events
from trueground.run import Run
from trueground.storage import Storage

pytestmark = pytest.mark.thorough

ROLE = "arn:aws:iam::123456789012:role/training"
JOB = {"kind": "sagemaker-training-job", "image": "training:1", "role": ROLE, "poll_interval": 0.1}
CONTEXT: Any = {"ti": SimpleNamespace(xcom_push=lambda key, value: None)}
PIPELINE = {"kind": "sagemaker-pipeline", "pipeline": "nightly", "parameters": {"Epochs": "3"}, "poll_interval": 0.1}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MotoServer]:
    """S3 and SageMaker, the connections to them, and the data root."""
    with serve_moto("s3", "sagemaker") as server:
        server.client().create_bucket(Bucket="mail")
        connection = {
            "conn_type": "aws",
            "login": "x",
            "password": "x",
            "extra": {"region_name": "us-east-1", "endpoint_url": server.url},
        }
        for name in ("TRUEGROUND", "AWS_DEFAULT"):
            monkeypatch.setitem(os.environ, f"AIRFLOW_CONN_{name}", json.dumps(connection))
        monkeypatch.setenv("TRUEGROUND_DATA_ROOT", "s3://mail")
        for module in ("operators.base", "operators.connections"):
            monkeypatch.setattr(f"{module}.PROJECTS_FOLDER", tmp_path)
        yield server


@pytest.fixture
def night(aws: MotoServer, tmp_path: Path) -> Callable[..., Run]:
    """A retraining run with labels to learn from; takes its name and the project's trainer."""

    def night(name: str, trainer: dict[str, Any]) -> Run:
        from operators.retrain import RetrainModelOperator

        (tmp_path / "mail.yaml").write_text(f"{PROJECT}retrain: {json.dumps({'trainer': trainer})}\n")
        run = Run(
            RetrainModelOperator(task_id="x", project="mail.yaml").read_project(), name, Storage(s3_options=aws.options)
        )
        labels = publish(run, texts(range(60)))
        note_events(run, [Event("mail-labels", name, labels_extra(labels))], labels_asset="mail-labels")
        return run

    return night


def retrain(run: Run) -> tuple[Any, dict[str, Any]]:
    """The operator, and the event that ends its wait."""
    from airflow.sdk.exceptions import TaskDeferred
    from operators.retrain import RetrainModelOperator

    operator = RetrainModelOperator(task_id="retrain", project="mail.yaml", run_name=run.name)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(CONTEXT)
    return operator, asyncio.run(asyncio.wait_for(first_event(deferred.value.trigger), 60))


def train_as_a_container_would(run: Run, archive: str) -> None:
    """Leave an archive with a model and what it says of the test objects."""
    lines = [
        json.dumps({"id": line["id"], "label": "invoice" if "pay" in line["source"] else "greeting"})
        for line in run.read_lines("retrain", "test.manifest")
    ]
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as files:
        for name, text in (("./predictions.jsonl", "\n".join(lines)), ("weights.bin", "0.5")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            files.addfile(member, io.BytesIO(text.encode()))
    run.storage.write_bytes(archive, content.getvalue())


def test_a_training_job_is_made_once_waited_for_and_its_model_registered(
    aws: MotoServer, night: Callable[..., Run]
) -> None:
    run = night("one", JOB)
    client = aws.client("sagemaker")
    retrain(run)
    operator, event = retrain(run)
    (name,) = [job["TrainingJobName"] for job in client.list_training_jobs()["TrainingJobSummaries"]]
    job = client.describe_training_job(TrainingJobName=name)
    channels = {one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"] for one in job["InputDataConfig"]}
    assert channels == {kind: run.uri("retrain", f"{kind}.manifest") for kind in ("train", "test")}
    archive = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert archive.startswith(run.project.output)
    train_as_a_container_would(run, archive)
    told = operator.resume(CONTEXT, event)
    assert (told["accuracy"], told["better"], told["model"]) == (1.0, True, archive)
    record = Registry(run.storage, run.project.output).record("one")
    assert record.trainer == "sagemaker-training-job training:1"
    # Repeated after that, the task takes what is registered.
    assert operator.execute(CONTEXT) == told


def test_a_pipeline_is_started_once_with_the_uris_and_its_model_registered(
    aws: MotoServer, night: Callable[..., Run]
) -> None:
    run = night("one", PIPELINE)
    client = aws.client("sagemaker")
    client.create_pipeline(PipelineName="nightly", PipelineDefinition="{}", RoleArn=ROLE, ClientRequestToken="a" * 32)
    retrain(run)
    operator, event = retrain(run)
    (execution,) = client.list_pipeline_executions(PipelineName="nightly")["PipelineExecutionSummaries"]
    given = client.list_pipeline_parameters_for_execution(PipelineExecutionArn=execution["PipelineExecutionArn"])
    parameters = {one["Name"]: one["Value"] for one in given["PipelineParameters"]}
    assert parameters["Epochs"] == "3"
    assert parameters["TrainManifest"] == run.uri("retrain", "train.manifest")
    train_as_a_container_would(run, parameters["Output"] + "/model.tar.gz")
    told = operator.resume(CONTEXT, event)
    assert (told["accuracy"], told["better"]) == (1.0, True)
    assert Registry(run.storage, run.project.output).record("one").trainer == "sagemaker-pipeline nightly"


def test_a_job_that_failed_is_told_with_its_reason_and_replaced_at_the_next_try(
    aws: MotoServer, night: Callable[..., Run]
) -> None:
    from airflow.sdk.exceptions import AirflowFailException
    from moto.backends import get_backend

    run = night("one", JOB)
    operator, event = retrain(run)
    failed = get_backend("sagemaker")["123456789012"]["us-east-1"].training_jobs[event["request"]["TrainingJobName"]]
    failed.training_job_status, failed.failure_reason = "Failed", "out of memory"
    with pytest.raises(AirflowFailException, match="is Failed: out of memory"):
        operator.resume(CONTEXT, event)
    _, again = retrain(run)
    assert again["request"]["TrainingJobName"] == event["request"]["TrainingJobName"] + "-2"


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "the training left no archive"), (b"no archive", "not an archive")],
)
def test_what_is_no_archive_is_refused_by_its_name(
    aws: MotoServer, night: Callable[..., Run], content: bytes | None, problem: str
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    run = night("one", JOB)
    operator, event = retrain(run)
    job = aws.client("sagemaker").describe_training_job(**event["request"])
    archive = job["ModelArtifacts"]["S3ModelArtifacts"]
    if content is not None:
        run.storage.write_bytes(archive, content)
    with pytest.raises(AirflowFailException, match=f"{archive}: {problem}"):
        operator.resume(CONTEXT, event)


def test_a_project_whose_files_sagemaker_cannot_reach_is_refused(tmp_path: Path) -> None:
    from trueground.errors import InputError
    from trueground.project import load_project

    (tmp_path / "mail.yaml").write_text(f"{PROJECT}retrain: {json.dumps({'trainer': JOB})}\n")
    with pytest.raises(InputError, match="SageMaker reads and writes s3://") as caught:
        load_project(tmp_path / "mail.yaml", data_root=str(tmp_path))
    assert caught.value.field == "retrain.trainer"


@pytest.mark.parametrize(
    ("trainer", "field", "problem"),
    [
        ({"kind": "sagemaker-pipeline"}, "retrain.trainer.pipeline", "missing"),
        ({**JOB, "imago": "x"}, "retrain.trainer.imago", "Did you mean image"),
        ({"kind": "magic"}, "retrain.trainer", "magic"),
    ],
)
def test_a_mistake_in_the_trainer_is_told_by_its_field(
    tmp_path: Path, trainer: dict[str, Any], field: str, problem: str
) -> None:
    from trueground.errors import InputError
    from trueground.project import load_project

    (tmp_path / "mail.yaml").write_text(f"{PROJECT}retrain: {json.dumps({'trainer': trainer})}\n")
    with pytest.raises(InputError, match=problem) as caught:
        load_project(tmp_path / "mail.yaml", data_root=str(tmp_path))
    assert caught.value.field == field
