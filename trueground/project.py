"""The labeling project: one YAML file that says what is labeled, by whom, and how good it must be.

What a file may say is the fields of :class:`Project`. A mistake is reported with file, line and field.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import Field, field_validator, model_validator

from trueground.errors import InputError
from trueground.models.settings import RetrainSettings
from trueground.project_files import ProjectFile, ProjectPart, check_label_attribute, read_project, read_projects
from trueground.review.audit_settings import AuditSettings
from trueground.tasks import task_types

JOB_NAME_CHARACTERS = 63
SHARE = Annotated[float, Field(gt=0, lt=1)]
URIS = ("output", "data.prefix", "data.manifest", "people.gold.manifest")
"""Fields that may be paths from the data root."""


class Instructions(ProjectPart):
    """What people read: HTML."""

    short: str
    full: str


class Task(ProjectPart):
    """What people are asked."""

    type: str
    labels: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field(min_length=2)
    title: Annotated[str, Field(min_length=1, max_length=128)]
    description: Annotated[str, Field(min_length=1, max_length=255)]
    keywords: tuple[Annotated[str, Field(min_length=1, max_length=30)], ...] = Field((), max_length=5)
    instructions: Instructions
    template: str | None = None

    @field_validator("type")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in task_types():
            raise ValueError(f"there is no task type {value!r}; known are {', '.join(sorted(task_types()))}")
        return value

    @field_validator("labels")
    @classmethod
    def _unique(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for label in value:
            if value.count(label) > 1:
                raise ValueError(f"the label {label!r} stands there twice")
        return value

    @field_validator("template")
    @classmethod
    def _folder(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[a-z0-9][a-z0-9-]*", value):
            raise ValueError("the name of a folder of include/templates/ is needed: small letters, digits and -")
        return value


class Data(ProjectPart):
    """What is labeled: all files below a prefix, or the objects of a manifest.

    Where either has ``{night}`` in it, each run reads that of its own night: ``incoming/{night}`` is
    ``incoming/2026-01-31``. ``column`` is the column with the text in the CSV files below the prefix: its name, or its
    number where there is no header. Without it, the column is recognized by its name.
    """

    prefix: str | None = None
    manifest: str | None = None
    column: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Data:
        if (self.prefix is None) == (self.manifest is None):
            raise ValueError("give one of prefix and manifest")
        if self.column is not None and self.prefix is None:
            raise ValueError("column is of the CSV files below a prefix; a manifest has none")
        return self

    def of_night(self, night: str) -> Data:
        """The data of one night (an ISO date)."""
        named = {name: _of_night(uri, night) for name, uri in self if name in ("prefix", "manifest")}
        return self.model_copy(update=named)


def _of_night(uri: str | None, night: str) -> str | None:
    # The URIs of files are quoted.
    return uri and uri.replace("{night}", night).replace(quote("{night}"), night)


class Gold(ProjectPart):
    """Objects with known labels, mixed unseen among the tasks: their manifest, their share, and what follows."""

    manifest: Annotated[str, Field(min_length=1, max_length=256)]
    share: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    limit: Annotated[float, Field(gt=0, le=1)] | None = None
    policy: Literal["weigh", "ask-again"] = "weigh"
    qualification: Annotated[int, Field(ge=1, le=100)] | None = None


class People(ProjectPart):
    """Who labels. Times are in seconds.

    With ``most_workers_per_object``, ``workers_per_object`` is the least: one more is asked only while an object's
    label is less sure than ``confidence``.
    """

    team: Annotated[str, Field(min_length=1)]
    workers_per_object: Annotated[int, Field(ge=1, le=9)] = 3
    most_workers_per_object: Annotated[int, Field(ge=1, le=9)] | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    gold: Gold | None = None
    task_time_limit: Annotated[int, Field(ge=30, le=28_800)] = 300
    availability: Annotated[int, Field(ge=60, le=2_592_000)] = 864_000

    @model_validator(mode="after")
    def _least_and_most(self) -> People:
        if self.most_workers_per_object is not None and self.most_workers_per_object < self.workers_per_object:
            raise ValueError("most_workers_per_object cannot be less than workers_per_object")
        return self


class Rounds(ProjectPart):
    """How many rounds at the most, and how many objects people label in the first and in each later one."""

    maximum: Annotated[int, Field(ge=1, le=20)] = 5
    first: Annotated[int, Field(ge=2)] = 200
    each: Annotated[int, Field(ge=1)] = 200
    seed: int = 0


class AutoLabel(ProjectPart):
    """The promise: machine labels are right in this share, with this confidence."""

    enabled: bool = True
    accuracy: SHARE = 0.95
    confidence: SHARE = 0.95


class VerificationSettings(ProjectPart):
    """The second look: how many labels drawn at random, how many of the least sure, how many one person decides."""

    enabled: bool = True
    team: str = "reviewers"
    workers_per_object: Annotated[int, Field(ge=1, le=9)] = 1
    sample: Annotated[int, Field(ge=0)] = 200
    least_sure: Annotated[int, Field(ge=0)] = 50
    adjudicate: Annotated[int, Field(ge=0, le=100)] = 0


class Approval(ProjectPart):
    """Whether somebody must agree in Airflow before labels are published; ``users``: only these (all if empty)."""

    required: bool = False
    users: tuple[str, ...] = ()


class Project(ProjectFile):
    """A labeling project. URIs are absolute once it is loaded."""

    kind: Literal["label"] = "label"
    task: Task
    label_attribute: str
    data: Data
    people: People
    rounds: Rounds = Rounds()
    auto_label: AutoLabel = AutoLabel()
    verification: VerificationSettings = VerificationSettings()
    approval: Approval = Approval()
    retrain: RetrainSettings = RetrainSettings()
    audit: AuditSettings = AuditSettings()

    @model_validator(mode="after")
    def _rules(self) -> Project:
        verified = self.verification.enabled
        if self.retrain.trainer.kind.startswith("sagemaker") and not self.output.startswith("s3://"):
            raise InputError(
                f"SageMaker reads and writes s3://, the output is {self.output}",
                field="retrain.trainer",
                hint="Set output to an s3:// URI, or choose the trainer sklearn or python.",
            )
        check_label_attribute(self.label_attribute, prefix="verify-" * verified)
        if self.task.type == "label-verification":
            raise InputError(
                "a project makes labels, this task type judges them",
                field="task.type",
                hint="Name what people label; verification.enabled adds the judging.",
            )
        if verified and self.people.team == self.verification.team:
            raise InputError(
                f"{self.people.team!r} labels: nobody judges their own labels",
                field="verification.team",
                hint="Name another team than people.team, or set verification.enabled to false.",
            )
        return self

    @property
    def teams(self) -> dict[str, str]:
        """The work teams that its jobs go to, by field."""
        verifying = {"verification.team": self.verification.team} if self.verification.enabled else {}
        return {"people.team": self.people.team, **verifying}

    @property
    def prefixes(self) -> dict[str, str]:
        """The folder whose files are labeled."""
        return {"data.prefix": self.data.prefix} if self.data.prefix is not None else {}

    def job_name(self, run: str, step: str) -> str:
        """The name of a labeling job: the same for the same project, run and step, different for any other.

        At most 63 letters, digits and hyphens, as Ground Truth demands; the digest at its end keeps it unique.
        """
        parts = json.dumps([self.name, self.output, run, step])
        digest = hashlib.sha256(parts.encode()).hexdigest()[:12]
        readable = re.sub(r"[^a-zA-Z0-9]+", "-", f"{self.name}-{step}").strip("-")
        return f"{readable[: JOB_NAME_CHARACTERS - 13].rstrip('-')}-{digest}"


def load_project(path: str | os.PathLike[str], *, data_root: str | None = None) -> Project:
    """Read a project file.

    Args:
        path: the YAML file.
        data_root: where relative paths start, a folder or an ``s3://`` prefix; ``TRUEGROUND_DATA_ROOT`` or ``data``
            by default.

    Raises:
        InputError: with file, line and field of the first mistake.
    """
    return read_project(path, Project, uris=URIS, data_root=data_root)


def load_projects(
    folder: str | os.PathLike[str], *, data_root: str | None = None
) -> tuple[dict[str, Project], dict[str, InputError]]:
    """All labeling projects of a folder: the good ones and the mistakes, both by file name.

    A file that nobody can tell the kind of is a mistake here.
    """
    return read_projects(folder, "label", Project, uris=URIS, data_root=data_root)
