"""What all project files have in common: how they are read, and how a mistake in one is told.

A project is one YAML file of ``include/projects/``; its ``kind`` says what pipeline it declares.
"""

from __future__ import annotations

import difflib
import importlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args
from urllib.parse import quote, urlsplit
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo

from trueground import storage as paths
from trueground.errors import InputError
from trueground.outputs import refuse_overlap
from trueground.yamlfile import line_of, read_yaml

KINDS = ("label", "review-predictions")
"""What a project file may declare; ``label`` where it does not say."""
ATTRIBUTE_CHARACTERS = 127
PRESETS = ("@once", "@continuous", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")


class ProjectPart(BaseModel):
    """A part of a project: a field that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


RESERVED = ("dataset", "predictions")
"""Names of no project: ``label_dataset``, ``continue_dataset`` and ``review_predictions`` are the forms' DAGs."""


class ProjectFile(ProjectPart):
    """What every kind of project says.

    ``timezone`` is that of its schedules and nights, by default Airflow's ``default_timezone``. ``paused`` is the
    reason why its DAG starts paused; without one it does not.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9](-*[a-z0-9]){0,40}$")]
    description: str = ""
    schedule: str | None = None
    timezone: str | None = None
    paused: str | None = None
    connection: str = "trueground"
    output: str

    @property
    def teams(self) -> dict[str, str]:
        """The work teams, by name or ARN, that its work goes to, by the fields that name them."""
        raise NotImplementedError

    @property
    def prefixes(self) -> dict[str, str]:
        """The folders of which every file is read, by the fields that name them."""
        raise NotImplementedError

    @field_validator("name")
    @classmethod
    def _own_name(cls, value: str) -> str:
        if value in RESERVED:
            raise ValueError(f"{value!r} is taken: the DAGs of the forms are called so")
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str | None) -> str | None:
        if value is not None and value not in available_timezones():
            close = difflib.get_close_matches(value, available_timezones(), 1)
            raise ValueError(
                f"{value!r} is not a time zone; use a name such as Europe/Berlin or UTC"
                + (f". Did you mean {close[0]}?" if close else "")
            )
        return value

    @field_validator("schedule")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        if value is None or value in PRESETS:
            return value
        if value.startswith("@") or len(value.split()) != 5 or not _valid_cron(value):
            raise ValueError(f"{value!r} is no schedule; use a cron expression of 5 fields, or {', '.join(PRESETS)}")
        return value


Kind = TypeVar("Kind", bound=ProjectFile)


def read_project(
    path: str | os.PathLike[str], model: type[Kind], *, uris: Sequence[str], data_root: str | None = None
) -> Kind:
    """Read a project file of one kind.

    Args:
        path: the YAML file.
        model: what it may say.
        uris: fields, by their dotted places, that may be paths from the data root; they become absolute.
        data_root: where relative paths start, a folder or an ``s3://`` prefix; ``TRUEGROUND_DATA_ROOT`` or ``data``
            by default.

    Raises:
        InputError: with file, line and field of the first mistake.
    """
    file = Path(path)
    content, lines = read_yaml(file)
    return check_project(content, model, uris=uris, data_root=data_root, file=str(file), lines=lines)


def check_project(
    content: dict[str, Any],
    model: type[Kind],
    *,
    uris: Sequence[str],
    data_root: str | None = None,
    file: str | None = None,
    lines: Mapping[str, int] | None = None,
) -> Kind:
    """The project that a mapping declares; arguments and errors as :func:`read_project` has them.

    Args:
        content: what the file, or a form, says. Paths in it become absolute in place.
        model: what it may say.
        uris: fields that may be paths from the data root.
        data_root: where relative paths start.
        file: what it was read from, for the error.
        lines: the line of each field, for the error.

    Raises:
        InputError: with the field of the first mistake.
    """
    root = _root(data_root)
    try:
        for field in uris:
            _make_absolute(content, field, root)
        # By way of JSON, because only there a strict check takes a list for a tuple; what YAML made of an unquoted
        # date or key becomes the text that it was.
        project = model.model_validate_json(json.dumps(content, default=str), strict=True)
        refuse_overlap(project.prefixes, project.output, "the project's own output")
        return project
    except ValidationError as error:
        mistake = _explain(model, error)
    except InputError as error:
        mistake = error
    raise _in_file(mistake, file, lines or {})


def read_projects(
    folder: str | os.PathLike[str], kind: str, model: type[Kind], *, uris: Sequence[str], data_root: str | None = None
) -> tuple[dict[str, Kind], dict[str, InputError]]:
    """All project files of one kind in a folder: the good ones and the mistakes, both by file name.

    A file whose kind cannot be read, or is none of :data:`KINDS`, is a mistake among the labeling projects. For the
    other arguments see :func:`read_project`.
    """
    good: dict[str, Kind] = {}
    mistakes: dict[str, InputError] = {}
    names: dict[str, str] = {}
    outputs: dict[str, str] = {}
    lines_of: dict[str, dict[str, int]] = {}
    for file in sorted(path for path in Path(folder).glob("[!.]*") if path.suffix in (".yaml", ".yml")):
        try:
            content, lines = read_yaml(file)
        except InputError as error:
            if kind == KINDS[0]:
                mistakes[file.name] = error
            continue
        if (output := _output_of(content, data_root)) is not None:
            outputs[file.name] = output
        own = content.get("kind")
        if kind != (own if own in KINDS else KINDS[0]):
            continue
        try:
            project = check_project(content, model, uris=uris, data_root=data_root, file=str(file), lines=lines)
            if project.name in names:
                raise InputError(
                    f"{names[project.name]} has the same name", file=str(file), field="name", hint="Choose another."
                )
            names[project.name] = file.name
            good[file.name], lines_of[file.name] = project, lines
        except InputError as error:
            mistakes[file.name] = error
    for name, project in list(good.items()):
        try:
            for other, output in outputs.items():
                refuse_overlap(project.prefixes, output, f"the output of {other}")
        except InputError as error:
            mistakes[name] = _in_file(error, str(Path(folder) / name), lines_of[name])
            del good[name]
    return good, mistakes


def _output_of(content: Mapping[str, Any], data_root: str | None) -> str | None:
    """The output that a file names, of whatever kind its project is; ``None`` where it names none that can be."""
    found = {"output": content.get("output")}
    try:
        _make_absolute(found, "output", _root(data_root))
    except InputError:
        return None
    output = found["output"]
    return output if isinstance(output, str) and "://" in output else None


def _in_file(mistake: InputError, file: str | None, lines: Mapping[str, int]) -> InputError:
    line = line_of(mistake.field, dict(lines))
    return InputError(mistake.problem, file=file, line=line, field=mistake.field, hint=mistake.hint)


def check_label_attribute(name: str, *, prefix: str = "") -> None:
    """AWS's rules for ``LabelAttributeName``; class labels must not end in ``-ref``.

    ``prefix``: what will be put before the name. Raises :class:`InputError` for the field ``label_attribute``.
    """
    longest = ATTRIBUTE_CHARACTERS - len(prefix)
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


def _valid_cron(expression: str) -> bool:
    try:
        # Comes with Airflow; by name, because a library without it works too.
        croniter = importlib.import_module("croniter")
    except ImportError:
        return all(re.fullmatch(r"[0-9A-Za-z*/,#?-]+", part) for part in expression.split())
    return bool(croniter.croniter.is_valid(expression))


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


def _explain(model: type[BaseModel], error: ValidationError) -> InputError:
    # A field that is misspelled is also missing: the first tells what to do.
    first = min(error.errors(), key=lambda mistake: mistake["type"] != "extra_forbidden")
    place, part = _place(model, first["loc"])
    field = ".".join(place)
    problem, hint = first["msg"].removeprefix("Value error, "), None
    match first["type"]:
        case "extra_forbidden":
            problem, hint = "there is no such field", _suggestion(model, place, part)
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


def _place(model: type[BaseModel], place: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel] | None]:
    """A field's place as the file has it, and the part of the project that it stands in.

    Where there are several kinds of a part, pydantic puts the kind between the part and its fields.
    """
    names: list[str] = []
    part, inner = None, {"": model}
    for item in map(str, place):
        if item in inner:
            inner = {"": inner[item]}
            continue
        names.append(item)
        part = inner.get("")
        info = part.model_fields.get(item) if part else None
        inner = {} if info is None else _kinds(info)
    return names, part


def _kinds(info: FieldInfo) -> dict[str, type[BaseModel]]:
    """The parts that a field may hold: by their kind, or under an empty name where there is only one."""
    if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
        return {"": info.annotation}
    if not isinstance(info.discriminator, str):
        return {}
    members = get_args(info.annotation)
    return {kind: one for one in members for kind in get_args(one.model_fields[info.discriminator].annotation)}


def _suggestion(model: type[BaseModel], place: Sequence[str], part: type[BaseModel] | None) -> str:
    """The field that was meant: a similar one here, or the same one in another part."""
    wrong = place[-1]
    known = list(part.model_fields) if part else []
    if close := difflib.get_close_matches(wrong, known, 1):
        return f"Did you mean {close[0]}?"
    if elsewhere := [".".join((*path, name)) for path, name in _fields(model) if name == wrong]:
        return f"Did you mean {' or '.join(elsewhere)}?"
    return f"Known here: {', '.join(known)}."


def _fields(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, info in model.model_fields.items():
        yield path, name
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _fields(info.annotation, (*path, name))
