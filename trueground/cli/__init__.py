"""The ``trueground`` command: what people do outside Airflow."""

from __future__ import annotations

import sys

import typer

from trueground.cli import access, consolidate, manifest, output, people, project, review, serve, simulate, webhooks
from trueground.cli.store import user
from trueground.errors import TruegroundError
from trueground.service.engine.actors import Actor, acting

app = typer.Typer(
    name="trueground",
    help="Label data sets and review predictions: the labeling service and the tools around it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.add_typer(people.workers, name="worker")
app.add_typer(access.teams, name="team")
app.add_typer(people.vendors, name="vendor")
app.add_typer(output.output, name="output")
app.command("audit")(people.audit)
app.add_typer(access.keys, name="keys")
app.add_typer(webhooks.webhooks, name="webhooks")
app.add_typer(project.app, name="project")
app.add_typer(manifest.app, name="manifest")
app.add_typer(review.app, name="review")
app.command("consolidate")(consolidate.consolidate)
app.command("simulate-workers")(simulate.simulate_workers)


def main() -> None:
    """Run the command; an error of ours is a message, not a traceback."""
    try:
        # What a command does is in the audit log under the name of the machine's user.
        with acting(Actor(f"command/{user()}")):
            app()
    except TruegroundError as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        typer.secho(f"error: {error.filename}: {error.strerror or error}.", err=True, fg="red")
        sys.exit(1)
