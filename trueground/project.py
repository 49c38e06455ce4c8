"""The labeling project: one YAML file that says what is labeled, by whom, and how good it must be.

What a file may say is the fields of :class:`Project`. A mistake is reported with file, line and field.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from trueground import storage as paths
from trueground.errors import InputError
from trueground.tasks import task_type, task_types

JOB_NAME_CHARACTERS = 63
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


class People(_Part):
    """Who labels. Times are in seconds."""

    team: Annotated[str, Field(min_length=1)]
    workers_per_object: Annotated[int, Field(ge=1, le=9)] = 3
    task_time_limit: Annotated[int, Field(ge=30, le=28_800)] = 300
    availability: Annotated[int, Field(ge=60, le=2_592_000)] = 864_000


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
    """The second look: how many labels drawn at random, and how many of the least sure."""

    enabled: bool = True
    team: str = "reviewers"
    workers_per_object: Annotated[int, Field(ge=1, le=9)] = 1
    sample: Annotated[int, Field(ge=0)] = 200
    least_sure: Annotated[int, Field(ge=0)] = 50


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

    @field_validator("schedule")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        if value is None or value in PRESETS:
            return value
        if value.startswith("@") or len(value.split()) not in (5, 6):
            raise ValueError(f"{value!r} is no schedule; use a cron expression of 5 fields, or {', '.join(PRESETS)}")
        from croniter import croniter

        if not croniter.is_valid(value):
            raise ValueError(f"{value!r} is not a valid cron expression")
        return value

    @model_validator(mode="after")
    def _rules(self) -> Project:
        _check_label_attribute(self.label_attribute)
        if self.task.type == "label-verification":
            raise ValueError("label-verification judges labels; a project makes them: choose another task.type")
        if self.people.team == self.verification.team and self.verification.enabled:
            raise ValueError("verification.team must be another team than people.team: nobody judges their own labels")
        return self

    def job_name(self, run: str, step: str) -> str:
        """The name of a labeling job: the same for the same project, run and step, different for any other.

        At most 63 letters, digits and hyphens, as Ground Truth demands; the digest at its end keeps it unique.
        """
        digest = hashlib.sha256("\n".join((self.name, self.output, run, step)).encode()).hexdigest()[:12]
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
    content, lines = _read_yaml(file)
    root = _root(data_root)
    try:
        for field in ("output", "data.prefix", "data.manifest"):
            _make_absolute(content, field, root)
        return Project.model_validate(content)
    except ValidationError as error:
        raise _explain(error, file, lines) from None
    except InputError as error:
        raise InputError(
            error.problem, file=str(file), line=_line_of(error.field, lines), field=error.field, hint=error.hint
        ) from None


def load_projects(
    folder: str | os.PathLike[str], *, data_root: str | None = None
) -> tuple[dict[str, Project], dict[str, InputError]]:
    """All project files of a folder: the good ones and the mistakes, both by file name."""
    good: dict[str, Project] = {}
    mistakes: dict[str, InputError] = {}
    names: dict[str, str] = {}
    for file in sorted(Path(folder).glob("*.yaml")):
        try:
            project = load_project(file, data_root=data_root)
            if project.name in names:
                raise InputError(f"{names[project.name]} has the same name", file=str(file), field="name")
            names[project.name] = file.name
            good[file.name] = project
        except InputError as error:
            mistakes[file.name] = error
    return good, mistakes


def _check_label_attribute(name: str) -> None:
    """AWS's rules for ``LabelAttributeName``; class labels must not end in ``-ref``."""
    if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,126}", name):
        problem = "letters, digits and single or repeated hyphens between them are needed, at most 127"
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
    if not isinstance(value, str):
        return
    scheme = urlsplit(value).scheme
    if "://" not in value:
        value = paths.join(root, value)
        scheme = urlsplit(root).scheme
    if scheme not in paths.SCHEMES:
        raise InputError(f"{value!r} is no URI that can be read", field=field, hint="Use s3://, file://, or a path.")
    if root.startswith("file:") and scheme == "file":
        try:
            paths.Storage(data_root=root).check(value)
        except InputError as error:
            raise InputError(error.problem, field=field, hint=f"Relative paths start at {root}.") from None
    content[key] = value.rstrip("/") if key == "output" else value


def _read_yaml(file: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The content, and the line of each key by its dotted path."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        raise InputError("there is no such project file", file=str(file)) from None
    except UnicodeDecodeError:
        raise InputError("not UTF-8", file=str(file)) from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InputError(f"not YAML: {error.problem}", file=str(file), line=mark.line + 1 if mark else None) from None
    if not isinstance(node, yaml.MappingNode):
        raise InputError("a project is a mapping of fields", file=str(file), line=1, hint="Copy digits.yaml.")
    lines: dict[str, int] = {}
    for field, line in _keys(node):
        if field in lines:
            raise InputError(f"it stands in line {lines[field]} already", file=str(file), line=line, field=field)
        lines[field] = line
    return content, lines


def _keys(node: yaml.Node, before: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            field = f"{before}{key.value}"
            yield field, key.start_mark.line + 1
            yield from _keys(value, f"{field}.")
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield f"{before}{number}", item.start_mark.line + 1
            yield from _keys(item, f"{before}{number}.")


def _explain(error: ValidationError, file: Path, lines: Mapping[str, int]) -> InputError:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    problem, hint = first["msg"].removeprefix("Value error, "), None
    if first["type"] == "extra_forbidden":
        problem, hint = "there is no such field", _suggestion(first["loc"])
    elif first["type"] == "missing":
        problem = "the field is missing"
    elif first["type"] == "string_type":
        problem, hint = f"{first['input']!r} is no text", 'Put it in quotes: "…".'
    return InputError(problem, file=str(file), line=_line_of(field, lines), field=field or None, hint=hint)


def _suggestion(place: tuple[int | str, ...]) -> str:
    model: type[BaseModel] = Project
    for part in place[:-1]:
        kind = model.model_fields[str(part)].annotation
        assert isinstance(kind, type)
        model = kind
    known = list(model.model_fields)
    close = difflib.get_close_matches(str(place[-1]), known, 1)
    return f"Did you mean {close[0]}?" if close else f"Known here: {', '.join(known)}."


def _line_of(field: str | None, lines: Mapping[str, int]) -> int | None:
    """The line of a field, or of the nearest part of the file around it."""
    while field:
        if field in lines:
            return lines[field]
        field = field.rpartition(".")[0]
    return None
