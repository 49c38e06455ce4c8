"""What a project's YAML may say about the models that learn from its labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trueground.project_files import ProjectPart


class SklearnTrainer(ProjectPart):
    """Trueground's own model, trained where the task runs."""

    kind: Literal["sklearn"] = "sklearn"

    @property
    def title(self) -> str:
        """What models' records call it."""
        return self.kind


class PythonTrainer(ProjectPart):
    """A function of one's own, registered as an entry point; see :mod:`trueground.models.trainers`."""

    kind: Literal["python"]
    name: Annotated[str, Field(min_length=1)]

    @property
    def title(self) -> str:
        """What models' records call it."""
        return f"{self.kind} {self.name}"


class _SageMaker(ProjectPart):
    connection: str = "aws_default"
    poll_interval: Annotated[float, Field(gt=0)] = 30.0


class TrainingJobTrainer(_SageMaker):
    """A SageMaker training job. ``max_seconds`` is its time limit, ``volume_gb`` its disk."""

    kind: Literal["sagemaker-training-job"]
    image: Annotated[str, Field(min_length=1)]
    role: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$")]
    instance_type: str = "ml.m5.xlarge"
    instance_count: Annotated[int, Field(ge=1)] = 1
    volume_gb: Annotated[int, Field(ge=1)] = 30
    max_seconds: Annotated[int, Field(ge=60)] = 86_400
    hyperparameters: dict[str, str] = Field(default_factory=dict)

    @property
    def title(self) -> str:
        """What models' records call it."""
        return f"{self.kind} {self.image}"


class PipelineTrainer(_SageMaker):
    """A SageMaker pipeline. It is given the parameters ``TrainManifest``, ``TestManifest``, ``Output``, and these."""

    kind: Literal["sagemaker-pipeline"]
    pipeline: Annotated[str, Field(min_length=1, max_length=256)]
    parameters: dict[str, str] = Field(default_factory=dict)

    @property
    def title(self) -> str:
        """What models' records call it."""
        return f"{self.kind} {self.pipeline}"


Trainer = Annotated[SklearnTrainer | PythonTrainer | TrainingJobTrainer | PipelineTrainer, Field(discriminator="kind")]


class RetrainSettings(ProjectPart):
    """Whether published labels and reviews train a model, how, and who decides that it is used.

    ``test_share`` of the objects, always the same ones, are kept for testing. ``reviews`` names review projects whose
    final values are learned from too; that of the same name always is. ``schedule`` is the fallback: it trains on what
    no event started a run for.
    """

    enabled: bool = True
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    schedule: Literal["@daily", "@weekly", "@monthly"] | None = "@weekly"
    reviews: tuple[str, ...] = ()
    trainer: Trainer = SklearnTrainer()
    promote: Literal["rule", "approval"] = "rule"
    approvers: tuple[str, ...] = ()
