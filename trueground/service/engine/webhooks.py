"""Webhooks: URLs that get every event of the types they ask for, at least once, in order for each resource."""

from __future__ import annotations

import json
import logging
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx
from sqlalchemy import Row, delete, exists, func, insert, select, update

from trueground.service.engine import audit_log
from trueground.service.engine.background import Background
from trueground.service.engine.errors import Invalid, NotFound
from trueground.service.engine.events import DETAIL_TYPES, envelope
from trueground.service.engine.threads import in_thread
from trueground.service.security import SecretBox
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import deliveries, events, webhooks
from trueground.service.webhook_signature import new_secret, sign

log = logging.getLogger(__name__)

AT_ONCE = 100
TIMEOUT_SECONDS = 10.0
LONGEST_PAUSE = 900.0
"""Seconds between two tries at most; there is no last one: a webhook that is gone for good is to be removed."""
LONGEST_REST = 60.0
"""Seconds that a webhook is left alone at most where nobody answered: its other events would fare no better."""
KEPT = timedelta(days=90)
"""How long events are kept that every webhook has."""
ERROR_CHARACTERS = 500
URL_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Webhook:
    """A registered URL, and how it is doing."""

    id: int
    url: str
    detail_types: tuple[str, ...]
    created_at: datetime
    waiting: int
    """Events that it does not have yet."""
    error: str | None
    """Why the oldest of them could not be delivered."""


def add_webhook(db: Database, box: SecretBox, url: str, detail_types: Sequence[str] = ()) -> tuple[int, str]:
    """Register a URL for future events. Only an administrator of the service may: it makes the service call the URL.

    Args:
        db: the store.
        box: encrypts the secret.
        url: an ``http`` or ``https`` URL. Redirects are not followed.
        detail_types: which events it gets; all where none is named.

    Returns:
        Its id and the secret with which deliveries are signed. It cannot be read again.

    Raises:
        Invalid: the URL or a type cannot be used.
    """
    _check_url(url)
    for unknown in set(detail_types) - set(DETAIL_TYPES):
        raise Invalid(f"there are no events of the type {unknown!r}; there are: {', '.join(DETAIL_TYPES)}")
    secret = new_secret()
    values = {"url": url, "secret": box.encrypt(secret), "detail_types": list(detail_types), "created_at": now()}
    with db.write() as connection:
        webhook_id: int = connection.execute(insert(webhooks).values(**values).returning(webhooks.c.id)).scalar_one()
        audit_log.record(connection, act="AddWebhook", resource=f"webhook/{webhook_id}", detail={"host": _host(url)})
    return webhook_id, secret


def list_webhooks(db: Database) -> list[Webhook]:
    """All webhooks, the oldest first."""
    open_ones = (deliveries.c.webhook_id == webhooks.c.id) & deliveries.c.delivered_at.is_(None)
    waiting = select(func.count()).select_from(deliveries).where(open_ones).scalar_subquery()
    error = select(deliveries.c.error).where(open_ones).order_by(deliveries.c.event_id).limit(1).scalar_subquery()
    query = select(webhooks, waiting.label("waiting"), error.label("error")).order_by(webhooks.c.id)
    with db.read() as connection:
        return [
            Webhook(row.id, row.url, tuple(row.detail_types), row.created_at, row.waiting, row.error)
            for row in connection.execute(query)
        ]


def remove_webhook(db: Database, webhook_id: int) -> None:
    """Send nothing more to a webhook, nor what it does not have yet. Raises :class:`NotFound`."""
    with db.write() as connection:
        if connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id)).rowcount == 0:
            raise NotFound(f"there is no webhook {webhook_id}")
        audit_log.record(connection, act="RemoveWebhook", resource=f"webhook/{webhook_id}")


def secrets_of(db: Database, box: SecretBox) -> list[str]:
    """The secrets of all webhooks, for a receiver that has this store too."""
    with db.read() as connection:
        return [box.decrypt(secret) for secret in connection.scalars(select(webhooks.c.secret))]


class Deliverer(Background):
    """Delivers events to webhooks: each of them in a thread of its own, so that a slow one holds up only itself."""

    name: ClassVar[str] = "webhooks"

    def __init__(self, db: Database, settings: ServiceSettings, box: SecretBox) -> None:
        super().__init__(db, settings.poll_interval)
        self._settings, self._box = settings, box
        self._running: dict[int, Future[None]] = {}
        # How often in a row nobody answered at a webhook, and until when it is left alone.
        self._resting: dict[int, tuple[int, float]] = {}
        self._next_cleaning = now()

    def tick(self) -> None:
        """Begin what is due; a webhook that is still at an earlier batch is left alone."""
        self._running = {key: running for key, running in self._running.items() if not running.done()}
        batches: dict[int, list[Row[Any]]] = defaultdict(list)
        for row in self._due():
            batches[row.webhook_id].append(row)
        for webhook_id, rows in batches.items():
            if webhook_id not in self._running:
                self._running[webhook_id] = in_thread(f"webhook-{webhook_id}", partial(self._deliver, rows))
        if now() >= self._next_cleaning:
            self._clean()
            self._next_cleaning = now() + timedelta(hours=1)

    def finish(self) -> None:
        """Wait for what was begun, and raise what went wrong in it."""
        for running in list(self._running.values()):
            running.result()

    def stop(self) -> None:
        """Stop; a delivery that is under way is waited for, so that it is not sent twice."""
        super().stop()
        wait(self._running.values(), TIMEOUT_SECONDS)

    def _due(self) -> Sequence[Row[Any]]:
        """The first event of each resource that a webhook does not have, where its time has come."""
        earlier, earlier_event = deliveries.alias(), events.alias()
        waits = exists(
            select(earlier.c.event_id)
            .join(earlier_event, earlier_event.c.id == earlier.c.event_id)
            .where(
                earlier.c.webhook_id == deliveries.c.webhook_id,
                earlier.c.event_id < deliveries.c.event_id,
                earlier.c.delivered_at.is_(None),
                earlier_event.c.resource == events.c.resource,
            )
        )
        query = (
            select(
                deliveries,
                webhooks.c.url,
                webhooks.c.secret,
                events.c.resource,
                events.c.detail_type,
                events.c.body,
            )
            .join(events, events.c.id == deliveries.c.event_id)
            .join(webhooks, webhooks.c.id == deliveries.c.webhook_id)
            .where(
                deliveries.c.delivered_at.is_(None),
                deliveries.c.next_at <= now(),
                webhooks.c.disabled_at.is_(None),
                ~waits,
            )
            .order_by(deliveries.c.event_id)
            .limit(AT_ONCE)
        )
        at = time.monotonic()
        busy = [*self._running, *(key for key, (_, until) in self._resting.items() if until > at)]
        if busy:
            query = query.where(deliveries.c.webhook_id.not_in(busy))
        with self._db.read() as connection:
            return connection.execute(query).all()

    def _deliver(self, rows: Sequence[Row[Any]]) -> None:
        """Deliver events to one webhook. Where it cannot be reached at all, the rest is left for later."""
        secret, webhook_id = self._box.decrypt(rows[0].secret), rows[0].webhook_id
        with httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False) as client:
            for row in rows:
                if self._stopping.is_set() or not self.keep_lease():
                    return
                error, reached = self._post(client, secret, row)
                self._note(row, error)
                if not reached:
                    failures = self._resting.get(webhook_id, (0, 0.0))[0] + 1
                    self._resting[webhook_id] = (failures, time.monotonic() + pause(failures, LONGEST_REST))
                    return
                self._resting.pop(webhook_id, None)

    def _post(self, client: httpx.Client, secret: str, row: Row[Any]) -> tuple[str | None, bool]:
        """What went wrong, if anything did, and whether anybody was there."""
        event = envelope(self._settings, row)
        body = json.dumps(event).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "trueground", **sign(secret, event["id"], body)}
        try:
            # What the receiver says beyond its status is not read: it could be endless.
            with client.stream("POST", row.url, content=body, headers=headers) as response:
                if response.is_success:
                    return None, True
                return f"the receiver answered {response.status_code}", True
        except httpx.HTTPError as error:
            return f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS], False

    def _note(self, row: Row[Any], error: str | None) -> None:
        at, attempts = now(), row.attempts + 1
        values: dict[str, Any] = {"attempts": attempts, "error": error}
        if error is None:
            values["delivered_at"] = at
        else:
            log.warning("event %d did not reach webhook %d (attempt %d)", row.event_id, row.webhook_id, attempts)
            values["next_at"] = at + timedelta(seconds=pause(attempts))
        with self._db.write(routine=True) as connection:
            connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.webhook_id == row.webhook_id,
                    deliveries.c.event_id == row.event_id,
                    deliveries.c.delivered_at.is_(None),
                )
                .values(**values)
            )

    def _clean(self) -> None:
        wanted = exists().where(deliveries.c.event_id == events.c.id, deliveries.c.delivered_at.is_(None))
        with self._db.write(routine=True) as connection:
            connection.execute(delete(events).where(events.c.created_at < now() - KEPT, ~wanted))


def pause(attempts: int, most: float = LONGEST_PAUSE) -> float:
    """Seconds until the next try: twice as long each time, and never the same for all who wait."""
    longest = min(2.0 ** min(attempts, 20), most)
    return random.uniform(longest / 2, longest)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url or len(url) > URL_CHARACTERS:
        raise Invalid("a webhook is an http:// or https:// URL")
    if parts.username is not None or parts.password is not None:
        raise Invalid("a webhook's URL cannot hold a password: deliveries are signed instead")


def _host(url: str) -> str:
    return urlsplit(url).netloc
