"""The labeling project: one YAML file that says what is labeled, by whom, and how good it must be.

What a file may say is the fields of :class:`Project`. A mistake is reported with file, line and field.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from trueground import storage as paths
from trueground.errors import InputError
from trueground.review.audit_settings import AuditSettings
from trueground.tasks import task_types
from trueground.yamlfile import line_of, read_yaml

JOB_NAME_CHARACTERS = 63
ATTRIBUTE_CHARACTERS = 127
SHARE = Annotated[float, Field(gt=0, lt=1)]
PRESETS = ("@once", "@continuous", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Instructions(_Part):
    """What people read: HTML."""

    short: str
    full: str


class Task(_Part):
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


class Data(_Part):
    """What is labeled: all files below a prefix, or the objects of a manifest."""

    prefix: str | None = None
    manifest: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Data:
        if (self.prefix is None) == (self.manifest is None):
            raise ValueError("give one of prefix and manifest")
        return self


class Gold(_Part):
    """Objects with known labels, mixed unseen among the tasks: their manifest, their share, and what follows."""

    manifest: Annotated[str, Field(min_length=1, max_length=256)]
    share: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    limit: Annotated[float, Field(gt=0, le=1)] | None = None
    policy: Literal["weigh", "ask-again"] = "weigh"
    qualification: Annotated[int, Field(ge=1, le=100)] | None = None


class People(_Part):
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


class Rounds(_Part):
    """How many rounds at the most, and how many objects people label in the first and in each later one."""

    maximum: Annotated[int, Field(ge=1, le=20)] = 5
    first: Annotated[int, Field(ge=2)] = 200
    each: Annotated[int, Field(ge=1)] = 200
    seed: int = 0


class AutoLabel(_Part):
    """The promise: machine labels are right in this share, with this confidence."""

    enabled: bool = True
    accuracy: SHARE = 0.95
    confidence: SHARE = 0.95


class VerificationSettings(_Part):
    """The second look: how many labels drawn at random, how many of the least sure, how many one person decides."""

    enabled: bool = True
    team: str = "reviewers"
    workers_per_object: Annotated[int, Field(ge=1, le=9)] = 1
    sample: Annotated[int, Field(ge=0)] = 200
    least_sure: Annotated[int, Field(ge=0)] = 50
    adjudicate: Annotated[int, Field(ge=0, le=100)] = 0


class Approval(_Part):
    """Whether somebody must agree in Airflow before labels are published; ``users``: only these (all if empty)."""

    required: bool = False
    users: tuple[str, ...] = ()


class Retrain(_Part):
    """Whether published labels train a model, and the share of objects it is tested on."""

    enabled: bool = True
    test_share: SHARE = 0.2


class Project(_Part):
    """A labeling project. URIs are absolute once it is loaded."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9](-*[a-z0-9]){0,40}$")]
    description: str = ""
    schedule: str | None = None
    connection: str = "trueground"
    task: Task
    label_attribute: str
    data: Data
    output: str
    people: People
    rounds: Rounds = Rounds()
    auto_label: AutoLabel = AutoLabel()
    verification: VerificationSettings = VerificationSettings()
    approval: Approval = Approval()
    retrain: Retrain = Retrain()
    audit: AuditSettings = AuditSettings()

    @field_validator("schedule")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        if value is None or value in PRESETS:
            return value
        if value.startswith("@") or len(value.split()) != 5 or not _valid_cron(value):
            raise ValueError(f"{value!r} is no schedule; use a cron expression of 5 fields, or {', '.join(PRESETS)}")
        return value

    @model_validator(mode="after")
    def _rules(self) -> Project:
        verified = self.verification.enabled
        _check_label_attribute(self.label_attribute, ATTRIBUTE_CHARACTERS - len("verify-") * verified)
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
    file = Path(path)
    content, lines = read_yaml(file)
    root = _root(data_root)
    try:
        for field in ("output", "data.prefix", "data.manifest", "people.gold.manifest"):
            _make_absolute(content, field, root)
        # By way of JSON, because only there a strict check takes a list for a tuple; what YAML made of an unquoted
        # date or key becomes the text that it was.
        return Project.model_validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        mistake = _explain(error)
    except InputError as error:
        mistake = error
    raise InputError(
        mistake.problem, file=str(file), line=line_of(mistake.field, lines), field=mistake.field, hint=mistake.hint
    )


def load_projects(
    folder: str | os.PathLike[str], *, data_root: str | None = None
) -> tuple[dict[str, Project], dict[str, InputError]]:
    """All project files of a folder: the good ones and the mistakes, both by file name."""
    good: dict[str, Project] = {}
    mistakes: dict[str, InputError] = {}
    names: dict[str, str] = {}
    for file in sorted(path for path in Path(folder).glob("[!.]*") if path.suffix in (".yaml", ".yml")):
        try:
            project = load_project(file, data_root=data_root)
            if project.name in names:
                raise InputError(
                    f"{names[project.name]} has the same name", file=str(file), field="name", hint="Choose another."
                )
            names[project.name] = file.name
            good[file.name] = project
        except InputError as error:
            mistakes[file.name] = error
    return good, mistakes


def _valid_cron(expression: str) -> bool:
    try:
        # Comes with Airflow; by name, because a library without it works too.
        croniter = importlib.import_module("croniter")
    except ImportError:
        return all(re.fullmatch(r"[0-9A-Za-z*/,#?-]+", part) for part in expression.split())
    return bool(croniter.croniter.is_valid(expression))


def _check_label_attribute(name: str, longest: int) -> None:
    """AWS's rules for ``LabelAttributeName``; class labels must not end in ``-ref``."""
    if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", name):
        problem = "letters and digits are needed, with hyphens between them"
    elif len(name) > longest:
        problem = f"{len(name)} characters, more than {longest}"
    elif name.endswith("-metadata"):
        problem = "it must not end in -metadata"
    elif name in ("source", "source-ref"):
        problem = "that is the name of the object itself"
    elif name.endswith("-ref"):
        problem = "only labels that are files end in -ref"
    else:
        return
    raise InputError(f"{name!r} cannot be a label attribute: {problem}", field="label_attribute")


def _root(data_root: str | None) -> str:
    root = data_root or os.environ.get("TRUEGROUND_DATA_ROOT") or "data"
    return root.rstrip("/") if "://" in root else paths.file_uri(Path(root).resolve())


def _make_absolute(content: Any, field: str, root: str) -> None:
    """Put the data root before a relative path; what is no text is left for the validation to refuse."""
    *parents, key = field.split(".")
    for parent in parents:
        content = content.get(parent) if isinstance(content, dict) else None
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, str) or not value.strip():
        return
    uri = value if "://" in value else _below(root, value)
    scheme = urlsplit(uri).scheme
    if scheme not in paths.SCHEMES:
        raise InputError(f"{value!r} is no URI that can be read", field=field, hint="Use s3://, file://, or a path.")
    if scheme == "s3" and ".." in uri.split("/"):
        raise InputError(f"{value!r}: '..' leads nowhere on S3", field=field, hint="Write the path without it.")
    try:
        paths.Storage(data_root=root if root.startswith("file:") else None).check(uri)
    except InputError as error:
        hint = f"Relative paths start at {root}."
        raise InputError(f"{value!r}: {error.problem}", field=field, hint=hint) from None
    content[key] = uri.rstrip("/") if key == "output" else uri


def _below(root: str, path: str) -> str:
    if path.startswith(("/", "~")):
        return paths.file_uri(path)
    return paths.join(root, quote(path) if root.startswith("file:") else path)


def _explain(error: ValidationError) -> InputError:
    # A field that is misspelled is also missing: the first tells what to do.
    first = min(error.errors(), key=lambda mistake: mistake["type"] != "extra_forbidden")
    field = ".".join(str(part) for part in first["loc"])
    problem, hint = first["msg"].removeprefix("Value error, "), None
    match first["type"]:
        case "extra_forbidden":
            problem, hint = "there is no such field", _suggestion(first["loc"])
        case "missing":
            problem, hint = "the field is missing", "Write it, or copy it from a project that works."
        case "string_type":
            problem, hint = f"{first['input']!r} is no text", 'Put it in quotes: "…".'
        case "string_pattern_mismatch":
            problem = f"{first['input']!r} is no name: small letters, digits and hyphens between them, at most 41"
        case "value_error":
            pass
        case _:
            problem = f"{first['input']!r}: {problem[:1].lower()}{problem[1:]}"
    return InputError(problem, field=field or None, hint=hint)


def _suggestion(place: tuple[int | str, ...]) -> str:
    """The field that was meant: a similar one here, or the same one in another part."""
    *parents, wrong = (str(part) for part in place)
    known = [name for path, name in _fields(Project) if path == tuple(parents)]
    if close := difflib.get_close_matches(wrong, known, 1):
        return f"Did you mean {close[0]}?"
    if elsewhere := [".".join((*path, name)) for path, name in _fields(Project) if name == wrong]:
        return f"Did you mean {' or '.join(elsewhere)}?"
    return f"Known here: {', '.join(known)}."


def _fields(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, info in model.model_fields.items():
        yield path, name
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _fields(info.annotation, (*path, name))
