"""A labeling project as a form: flat values under the dotted places of its fields, such as ``people.team``.

What a value may be is what :class:`~trueground.project.Project` says; nothing is typed twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from trueground.errors import InputError
from trueground.project import URIS, Project
from trueground.project_files import ProjectFile, check_project
from trueground.review import project as review_project
from trueground.review.project import ReviewProject, ReviewRun
from trueground.run import Run, folder_name
from trueground.storage import Storage, as_uri, join

CLAIM = "form-run.txt"
"""In a data set's output: which run labels it."""


def field_schema(place: str, model: type[BaseModel] = Project) -> dict[str, Any]:
    """The JSON schema of one field of a kind of project: its type, range, pattern and default.

    A field that may be left out has the types ``[…, "null"]``. Raises :class:`KeyError` where there is no such field.
    """
    schema = _schema(model)
    node: dict[str, Any] = schema
    for part in place.split("."):
        reference = node.get("$ref", "").rpartition("/")[2]
        node = (schema["$defs"][reference] if reference else node)["properties"][part]
    found = {key: value for key, value in node.items() if key not in ("title", "description")}
    if "anyOf" in found:
        (kind,) = (option for option in found.pop("anyOf") if option != {"type": "null"})
        found = {**found, **kind, "type": [kind["type"], "null"]}
    return found


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def content_of(values: Mapping[str, Any], made: str = "labels") -> dict[str, Any]:
    """The project file that a form's values amount to; what was left empty is left out.

    The output is the folder ``<name>/<made>`` below the data root.
    """
    return changed({"output": f"{values.get('name')}/{made}"}, values)


def changed(content: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Put values at their dotted places, in place; those that are empty change nothing."""
    for place, value in values.items():
        if value is None or value == "":
            continue
        *parents, key = place.split(".")
        part = content
        for parent in parents:
            part = part.setdefault(parent, {})
        part[key] = value
    return content


def project_of(content: dict[str, Any], *, data_root: str | None = None) -> Project:
    """The project of :func:`content_of`. Raises :class:`InputError` with the field of the first mistake."""
    return check_project(content, Project, uris=URIS, data_root=data_root)


def review_project_of(content: dict[str, Any], *, data_root: str | None = None) -> ReviewProject:
    """The same for a review project."""
    return check_project(content, ReviewProject, uris=review_project.URIS, data_root=data_root)


def claim(project: ProjectFile, run_name: str, storage: Storage) -> None:
    """Let this run, and no other, have the name: a second form of the same name would ask people twice.

    Raises:
        InputError: another run has it.
    """
    file = join(project.output, CLAIM)
    if not storage.exists(file):
        storage.write_text(file, run_name + "\n")
    owner = storage.read_text(file).strip()
    if owner != run_name:
        raise InputError(
            f"the run {owner!r} works on {project.name!r}, or did",
            field="name",
            hint="Clear what failed in that run to go on with it, or choose another name.",
        )


def kept_run(name: str, storage: Storage, *, data_root: str) -> Run:
    """The run that labels, or labeled, the data set of this name by form.

    Raises:
        InputError: there is none.
    """
    run_name, content = _kept(name, "labels", storage, data_root)
    return Run(project_of(content, data_root=data_root), run_name, storage)


def kept_review_run(name: str, storage: Storage, *, data_root: str) -> ReviewRun:
    """The same of predictions that are reviewed by form."""
    run_name, content = _kept(name, "reviews", storage, data_root)
    return ReviewRun(review_project_of(content, data_root=data_root), run_name, storage)


def _kept(name: str, made: str, storage: Storage, data_root: str) -> tuple[str, dict[str, Any]]:
    output = join(as_uri(data_root), name, made)
    try:
        run_name = storage.read_text(join(output, CLAIM)).strip()
        content = json.loads(storage.read_text(join(output, "runs", folder_name(run_name), "project.json")))
    except FileNotFoundError:
        raise InputError(f"no form of the name {name!r} made {made}", field="name") from None
    return run_name, content
