"""The ``trueground`` command: what people do outside Airflow."""

from __future__ import annotations

import sys

import typer

from trueground.cli import access, consolidate, manifest, serve, simulate
from trueground.errors import TruegroundError

app = typer.Typer(
    name="trueground",
    help="Label data sets and review predictions: the labeling service and the tools around it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.add_typer(access.workers, name="worker")
app.add_typer(access.teams, name="team")
app.add_typer(access.keys, name="keys")
app.add_typer(manifest.app, name="manifest")
app.command("consolidate")(consolidate.consolidate)
app.command("simulate-workers")(simulate.simulate_workers)


def main() -> None:
    """Run the command; an error of ours is a message, not a traceback."""
    try:
        app()
    except TruegroundError as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        sys.exit(1)
