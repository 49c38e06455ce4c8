"""What must be there before a run of a project asks anybody anything: teams with members, templates, data, a model.

The first task of each pipeline checks it, and ``trueground project check``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from trueground.errors import InputError
from trueground.project import Data, Project
from trueground.project_files import ProjectFile
from trueground.review.project import ReviewProject
from trueground.storage import Storage

CountMembers = Callable[[str], int | None]
"""How many people are in a work team, ``None`` where that cannot be known; raises :class:`InputError` for no team."""


def missing(
    project: ProjectFile, storage: Storage, *, members: CountMembers, templates: Path, projects: Path
) -> list[InputError]:
    """All that a project needs and that is not there, each with the field that names it.

    Args:
        project: the project, of either kind.
        storage: how to reach its files.
        members: counts the people of a team.
        templates: the folder with a folder for each template.
        projects: the folder of the project files, where one names another.
    """
    found: list[InputError] = []
    for check in _checks(project, storage, members, templates, projects):
        try:
            check()
        except InputError as error:
            found.append(error)
    return found


def together(problems: Sequence[InputError], file: str | None = None) -> InputError:
    """One error that names all of several, each with what to do about it."""
    texts = [str(InputError(one.problem, file=one.file, field=one.field, hint=one.hint)) for one in problems]
    if len(texts) == 1:
        return InputError(texts[0], file=file)
    listed = "".join(f"\n  {text}" for text in texts)
    return InputError(f"{len(texts)} things are missing:{listed}", file=file)


def _checks(
    project: ProjectFile, storage: Storage, members: CountMembers, templates: Path, projects: Path
) -> Iterator[Callable[[], None]]:
    for field, team in project.teams.items():
        yield partial(_team, field, team, members)
    if isinstance(project, Project):
        yield partial(_template, templates / (project.task.template or project.task.type), "task.template")
        if project.verification.enabled:
            yield partial(_template, templates / "label-verification", "verification.enabled")
        yield partial(_data, storage, project.data, "data")
        if project.people.gold is not None:
            yield partial(_file, storage, project.people.gold.manifest, "people.gold.manifest")
    elif isinstance(project, ReviewProject):
        yield from _checks_of_review(project, storage, templates, projects)


def _checks_of_review(
    project: ReviewProject, storage: Storage, templates: Path, projects: Path
) -> Iterator[Callable[[], None]]:
    from trueground.review.kinds import review_kind

    source = project.source
    template = templates / (project.review.template or review_kind(source.service).template)
    yield partial(_template, template, "review.template")
    if isinstance(source, Data):
        yield partial(_data, storage, source, "source")
    if source.kind == "file":
        yield partial(_file, storage, source.predictions, "source.predictions")
    if source.kind == "documents":
        yield _reader_of_documents
    if source.kind == "model":
        named = {"source.project": source.project, "source.other": source.other}
        for field, file in named.items():
            if file is not None:
                yield partial(_model, storage, projects / file, field)


def _team(field: str, team: str, members: CountMembers) -> None:
    try:
        count = members(team)
    except InputError as error:
        raise InputError(error.problem, field=error.field or field, hint=error.hint) from None
    if count == 0:
        raise InputError(
            f"nobody is in the work team {team!r}, so its tasks would wait for ever",
            field=field,
            hint=f"Add somebody: trueground team add {team} --worker NAME, or invite them in the portal.",
        )


def _template(folder: Path, field: str) -> None:
    if not (folder / "template.liquid.html").is_file():
        raise InputError(
            f"there is no template {folder.name!r}",
            field=field,
            hint=f"Make {folder / 'template.liquid.html'}, or name another.",
        )


def _data(storage: Storage, data: Data, place: str) -> None:
    if data.of_night("2000-01-01") != data:
        return  # Tonight's may come later: a night without data is skipped.
    if data.manifest is not None:
        _file(storage, data.manifest, f"{place}.manifest")
    elif next(storage.list(str(data.prefix)), None) is None:
        raise InputError("there are no files", file=data.prefix, field=f"{place}.prefix", hint="Put the data there.")


def _file(storage: Storage, uri: str, field: str) -> None:
    if not storage.exists(uri):
        raise InputError(
            "there is no such file", file=uri, field=field, hint="Put it there, or correct the project file."
        )


def _reader_of_documents() -> None:
    for package in ("rapidocr", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"the reader of documents is not installed ({package})",
                field="source.kind",
                hint="Install it: make documents, or pip install 'trueground[documents]'.",
            )


def _model(storage: Storage, file: Path, field: str) -> None:
    from trueground.models import current_model
    from trueground.project import load_project

    try:
        labeling = load_project(file, data_root=str(storage.data_root) if storage.data_root else None)
    except InputError as error:
        raise InputError(f"{file.name}: {error.problem}", field=field, hint=error.hint) from None
    if current_model(storage, labeling.output) is None:
        raise InputError(
            f"{labeling.name} has no model yet",
            field=field,
            hint=f"Run label_{labeling.name.replace('-', '_')} first: its labels train one.",
        )
