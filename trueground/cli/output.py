"""``trueground output``: a labeling job's files, made again from the store."""

from __future__ import annotations

from typing import Annotated

import typer

from trueground.cli.options import DataRootOption, HomeOption, StoreOption
from trueground.cli.store import open_store

output = typer.Typer(help="The output of labeling jobs.", no_args_is_help=True)


@output.command("rebuild")
def rebuild(
    job: Annotated[str, typer.Argument(help="Name of a labeling job that has ended.")],
    store: StoreOption = None,
    data_root: DataRootOption = None,
    home: HomeOption = None,
) -> None:
    """Write worker responses and the output manifest of a job again, from the store alone, byte for byte."""
    from trueground.service.engine.rebuilding import rebuild_output
    from trueground.service.settings import ServiceSettings

    db, _, _ = open_store(home, store)
    settings = ServiceSettings.from_environment(home=home, store_url=store, data_root=data_root)
    typer.echo(rebuild_output(db, settings.storage(), settings, job))
