"""``trueground webhooks``: who is told of finished jobs and loops."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from trueground.cli.options import HomeOption, StoreOption
from trueground.cli.store import open_store

webhooks = typer.Typer(help="Webhooks: URLs that get an event when a job or loop ends.", no_args_is_help=True)


class EventKind(StrEnum):
    """What events tell of."""

    jobs = "labeling-jobs"
    loops = "human-loops"


def _detail_types() -> dict[EventKind, str]:
    """The type in an event's body, by the name it has here."""
    from trueground.service.engine import events

    return {EventKind.jobs: events.LABELING_JOB, EventKind.loops: events.HUMAN_LOOP}


@webhooks.command("add")
def add_webhook(
    url: Annotated[str, typer.Argument(help="The http:// or https:// URL that events are posted to.")],
    event: Annotated[
        list[EventKind] | None, typer.Option(help="Only these; may be repeated.", show_default="all events")
    ] = None,
    store: StoreOption = None,
    home: HomeOption = None,
) -> None:
    """Send future events to a URL. The secret that signs them is printed here and can never be read again."""
    from trueground.service.engine import webhooks as engine

    db, box, _ = open_store(home, store)
    types = _detail_types()
    number, secret = engine.add_webhook(db, box, url, [types[one] for one in event or ()])
    typer.echo(f"id = {number}\nsecret = {secret}")


@webhooks.command("list")
def list_webhooks(store: StoreOption = None, home: HomeOption = None) -> None:
    """All webhooks: id, URL, what they get, how many events wait for them and why."""
    from trueground.service.engine import webhooks as engine

    db, _, _ = open_store(home, store)
    kinds = {value: key.value for key, value in _detail_types().items()}
    for one in engine.list_webhooks(db):
        wanted = ", ".join(kinds[detail_type] for detail_type in one.detail_types) or "all events"
        waiting = f"{one.waiting} waiting" + (f": {one.error}" if one.error else "") if one.waiting else "up to date"
        typer.echo(f"{one.id}\t{one.url}\t{wanted}\t{waiting}")


@webhooks.command("remove")
def remove_webhook(
    webhook_id: Annotated[int, typer.Argument(help="Its id, as `list` shows it.")],
    store: StoreOption = None,
    home: HomeOption = None,
) -> None:
    """Send a URL no more events, nor those that wait for it."""
    from trueground.service.engine import webhooks as engine

    db, _, _ = open_store(home, store)
    engine.remove_webhook(db, webhook_id)
    typer.echo(f"webhook {webhook_id} removed")
