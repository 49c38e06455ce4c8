"""The audit log: what managers, admins and programs did. Append-only; the store itself refuses changes.

People stand in it by their ids (``worker/<id>``), never by name, so that erasing a person's data needs no change to
it. Secrets never stand in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from trueground.service.engine.actors import Actor, actor_now
from trueground.service.engine.pages import Page, page_of
from trueground.service.engine.user_names import find_by_username
from trueground.service.store.database import Database, now
from trueground.service.store.tables import audit_log, workers


def record(
    connection: Connection,
    *,
    act: str,
    resource: str,
    detail: Mapping[str, Any] | None = None,
    actor: Actor | None = None,
) -> None:
    """Note an act, in the transaction that does it: either both are there afterwards, or neither.

    Args:
        connection: the transaction.
        act: what was done, as a short name: ``CreateLabelingJob``, ``invite``.
        resource: what it was done to, as in the last part of an ARN; people by their id.
        detail: what else is worth knowing; no secrets and no names of people.
        actor: who did it, where it is not whoever :func:`acting` names.
    """
    who = actor or actor_now()
    values = {"at": now(), "actor": who.id, "act": act, "resource": resource, "detail": dict(detail or {})}
    connection.execute(insert(audit_log).values(**values, address=who.address))


@dataclass(frozen=True, slots=True)
class Entry:
    """One act."""

    id: int
    at: datetime
    actor: str
    act: str
    resource: str
    detail: dict[str, Any]
    address: str | None
    names: dict[str, str]
    """User names, as they are now, of the people whose ids stand in ``actor`` and ``resource``."""


def entries(
    db: Database,
    *,
    actor: str | None = None,
    act: str | None = None,
    resource: str | None = None,
    after: datetime | None = None,
    before: datetime | None = None,
    limit: int = 100,
    token: str | None = None,
) -> Page[Entry]:
    """A page of the log, the newest first.

    Args:
        db: the store.
        actor, resource: only entries whose actor or resource contains this; a user name stands for its account.
        act: only entries of this act.
        after, before: only entries of this time; the first is included, the second is not.
        limit: how many at most.
        token: where the page before this one ended. Raises :class:`Invalid` if it is not one of this list.
    """
    query = select(audit_log)
    with db.read() as connection:
        for column, text in ((audit_log.c.actor, actor), (audit_log.c.resource, resource)):
            if text:
                known = find_by_username(connection, text)
                sought = f"worker/{known.id}" if known else text
                query = query.where(column.contains(sought, autoescape=True))
        if act:
            query = query.where(audit_log.c.act == act)
        if after is not None:
            query = query.where(audit_log.c.at >= after)
        if before is not None:
            query = query.where(audit_log.c.at < before)
        page = page_of(connection, query, audit_log.c.at, audit_log.c.id, descending=True, limit=limit, token=token)
        sought_ids = {part.removeprefix("worker/") for row in page.items for part in (row.actor, row.resource)}
        people = select(workers.c.id, workers.c.username).where(workers.c.id.in_(sought_ids))
        names = {f"worker/{row.id}": row.username for row in connection.execute(people)}
    found = [
        Entry(
            id=row.id,
            at=row.at,
            actor=row.actor,
            act=row.act,
            resource=row.resource,
            detail=row.detail,
            address=row.address,
            names={part: names[part] for part in (row.actor, row.resource) if part in names},
        )
        for row in page.items
    ]
    return Page(found, page.token)


def acts(db: Database) -> list[str]:
    """The names of the acts that stand in the log."""
    with db.read() as connection:
        return list(connection.scalars(select(audit_log.c.act).distinct().order_by(audit_log.c.act)))
