"""Training on SageMaker: a training job, or a pipeline, in the slot of the project's trainer.

Both read the two manifests of :mod:`trueground.models.data` on S3 and leave ``model.tar.gz``; in the archive, beside
whatever the model is, stands ``predictions.jsonl``: what it says of the test objects. A training job gets them as the
channels ``train`` and ``test``, a pipeline as the parameters ``TrainManifest`` and ``TestManifest``; it writes the
archive below its parameter ``Output``.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from trueground import storage as paths
from trueground.errors import InputError
from trueground.models.settings import PipelineTrainer, TrainingJobTrainer
from trueground.models.trainers import PREDICTIONS
from trueground.run import Run

ARCHIVE = "model.tar.gz"
NOT_FOUND = ("ResourceNotFound", "ValidationException")
"""SageMaker's codes for a training job that there is none of."""
ATTEMPTS = 99


class TrainingWork(ABC):
    """What is started on SageMaker and waited for.

    Args:
        run: the retraining run.
        output: the model's folder.
    """

    describe: ClassVar[str]
    """The client's operation that tells how far it is."""
    status: ClassVar[str]
    """The field of its answer that says so."""
    succeeded: ClassVar[str]
    """The status of work that is done."""
    over: ClassVar[tuple[str, ...]]
    """All statuses of work that goes no further."""

    def __init__(self, run: Run, output: str) -> None:
        self.run = run
        self.output = output

    @abstractmethod
    def start(self, client: Any) -> dict[str, str]:
        """Start it, or find the one that an earlier try started; returns the arguments of ``describe``."""

    @abstractmethod
    def archive(self, description: dict[str, Any]) -> str:
        """Where its archive is, by the answer of ``describe``."""


class TrainingJob(TrainingWork):
    """A training job. Its name follows from project and run, so a repeated step finds the job it made."""

    describe = "describe_training_job"
    status = "TrainingJobStatus"
    succeeded = "Completed"
    over = ("Completed", "Failed", "Stopped")

    def __init__(self, run: Run, output: str, trainer: TrainingJobTrainer) -> None:
        super().__init__(run, output)
        self.trainer = trainer

    def start(self, client: Any) -> dict[str, str]:
        """Create the job, or adopt it; one that failed or was stopped is replaced."""
        first = self.run.project.job_name(self.run.name, "train")
        for attempt in range(1, ATTEMPTS + 1):
            name = {"TrainingJobName": first if attempt == 1 else f"{first[:60]}-{attempt}"}
            found = self._find(client, name)
            if found is None:
                client.create_training_job(**name, **self.request())
            if found is None or found[self.status] not in ("Failed", "Stopped"):
                return name
        raise InputError(f"{first} failed {ATTEMPTS} times")

    def archive(self, description: dict[str, Any]) -> str:
        """Where SageMaker put what the container left in ``/opt/ml/model``."""
        return str(description["ModelArtifacts"]["S3ModelArtifacts"])

    def request(self) -> dict[str, Any]:
        """What ``CreateTrainingJob`` takes, without the name."""
        return {
            "AlgorithmSpecification": {"TrainingImage": self.trainer.image, "TrainingInputMode": "File"},
            "RoleArn": self.trainer.role,
            "HyperParameters": self.trainer.hyperparameters,
            "InputDataConfig": [self._channel("train"), self._channel("test")],
            "OutputDataConfig": {"S3OutputPath": self.output},
            "ResourceConfig": {
                "InstanceType": self.trainer.instance_type,
                "InstanceCount": self.trainer.instance_count,
                "VolumeSizeInGB": self.trainer.volume_gb,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": self.trainer.max_seconds},
            "Tags": [{"Key": "trueground:project", "Value": self.run.project.name}],
        }

    def _channel(self, name: str) -> dict[str, Any]:
        source = {
            "S3DataType": "S3Prefix",
            "S3Uri": self.run.uri("retrain", f"{name}.manifest"),
            "S3DataDistributionType": "FullyReplicated",
        }
        return {"ChannelName": name, "ContentType": "application/jsonlines", "DataSource": {"S3DataSource": source}}

    def _find(self, client: Any, name: dict[str, str]) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        try:
            return dict(client.describe_training_job(**name))
        except ClientError as error:
            if error.response["Error"]["Code"] in NOT_FOUND:
                return None
            raise


class PipelineExecution(TrainingWork):
    """An execution of a pipeline. The run's folder keeps its ARN; a token keeps SageMaker from starting it twice."""

    describe = "describe_pipeline_execution"
    status = "PipelineExecutionStatus"
    succeeded = "Succeeded"
    over = ("Succeeded", "Failed", "Stopped")

    def __init__(self, run: Run, output: str, trainer: PipelineTrainer) -> None:
        super().__init__(run, output)
        self.trainer = trainer

    def start(self, client: Any) -> dict[str, str]:
        """Start the pipeline, or adopt the execution; one that failed or was stopped is replaced."""
        started: list[str] = self.run.read_json("retrain", "executions.json") or []
        if started:
            arn = {"PipelineExecutionArn": started[-1]}
            if client.describe_pipeline_execution(**arn)[self.status] not in ("Failed", "Stopped"):
                return arn
        answer = client.start_pipeline_execution(**self.request(len(started)))
        self.run.write_json([*started, answer["PipelineExecutionArn"]], "retrain", "executions.json")
        return {"PipelineExecutionArn": answer["PipelineExecutionArn"]}

    def archive(self, description: dict[str, Any]) -> str:
        """Where the pipeline was told to leave it."""
        return paths.join(self.output, ARCHIVE)

    def request(self, attempt: int) -> dict[str, Any]:
        """What ``StartPipelineExecution`` takes; the same token for the same run and attempt."""
        parameters = {
            **self.trainer.parameters,
            "TrainManifest": self.run.uri("retrain", "train.manifest"),
            "TestManifest": self.run.uri("retrain", "test.manifest"),
            "Output": self.output,
        }
        return {
            "PipelineName": self.trainer.pipeline,
            "PipelineExecutionDisplayName": self.run.project.job_name(self.run.name, "train"),
            "PipelineParameters": [{"Name": name, "Value": value} for name, value in parameters.items()],
            "ClientRequestToken": hashlib.sha256(json.dumps([self.output, attempt]).encode()).hexdigest(),
        }


def training_work(run: Run, output: str) -> TrainingWork | None:
    """What the project's trainer starts on SageMaker; ``None`` where it trains in the task itself."""
    trainer = run.project.retrain.trainer
    if isinstance(trainer, TrainingJobTrainer):
        return TrainingJob(run, output, trainer)
    if isinstance(trainer, PipelineTrainer):
        return PipelineExecution(run, output, trainer)
    return None


def take_predictions(run: Run, archive: str, output: str) -> str:
    """Put the predictions that stand in an archive beside it; returns their URI.

    Raises:
        InputError: there is no archive, it is none, or no predictions are in it.
    """
    try:
        content = run.storage.read_bytes(archive)
    except FileNotFoundError:
        raise InputError("the training left no archive", file=archive) from None
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as files:
            members = [member for member in files if paths.name(member.name) == PREDICTIONS and member.isfile()]
            handle = files.extractfile(members[0]) if members else None
            if handle is None:
                raise InputError(f"there is no {PREDICTIONS} in it", file=archive)
            said = handle.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"not an archive: {error}", file=archive) from None
    uri = paths.join(output, PREDICTIONS)
    run.storage.write_bytes(uri, said)
    return uri
