"""``trueground project``: check a project file before it asks anybody anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueground.cli.options import DataRootOption, HomeOption, StoreOption

if TYPE_CHECKING:
    from trueground.preconditions import CountMembers

app = typer.Typer(help="Labeling and review projects.", no_args_is_help=True)


@app.command("check")
def check(
    files: Annotated[list[Path], typer.Argument(help="Project files (YAML).")],
    templates: Annotated[
        Path | None, typer.Option(help="The folder of templates.", show_default="include/templates beside the file")
    ] = None,
    endpoint_url: Annotated[
        str | None,
        typer.Option(
            envvar="TRUEGROUND_ENDPOINT_URL",
            help="The labeling service that is asked for the teams, with AWS's usual credentials.",
            show_default="the store on this machine",
        ),
    ] = None,
    data_root: DataRootOption = None,
    store: StoreOption = None,
    home: HomeOption = None,
) -> None:
    """Check what a project file says, and that its teams, templates, data and models are there.

    Ends with 1 where something is wrong. Example: trueground project check include/projects/digits.yaml
    """
    from trueground.errors import InputError
    from trueground.preconditions import missing
    from trueground.review.project import load_any_project
    from trueground.storage import Storage

    members = _asking(endpoint_url) if endpoint_url else _in_store(home, store)
    wrong = 0
    for file in files:
        try:
            project = load_any_project(file, data_root=data_root)
            storage = Storage()
            folder = templates or file.resolve().parents[1] / "templates"
            problems = missing(project, storage, members=members, templates=folder, projects=file.parent)
        except InputError as error:
            problems = [error]
        for problem in problems:
            typer.echo(f"{file}: {problem}" if problem.file != str(file) else str(problem))
        wrong += len(problems)
        if not problems:
            typer.echo(f"{file}: nothing is missing")
    if wrong:
        raise typer.Exit(1)


def _in_store(home: Path | None, store: str | None) -> CountMembers:
    from trueground.cli.store import open_store
    from trueground.errors import InputError
    from trueground.service.engine import teams
    from trueground.service.engine.errors import NotFound

    db, _, settings = open_store(home, store)

    def count(team: str) -> int | None:
        name = team.rpartition("/")[2]
        try:
            found = teams.describe_workteam(db, settings, name)
        except NotFound:
            raise InputError(f"there is no work team {name!r}", hint=f"Make it: trueground team add {name}") from None
        with db.read() as connection:
            return teams.count_members(connection, found.name)

    return count


def _asking(endpoint_url: str) -> CountMembers:
    import boto3

    from trueground.work_teams import counting

    return counting(boto3.client("sagemaker", endpoint_url=endpoint_url))
