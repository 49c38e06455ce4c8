"""Who holds which task until when, for managers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select

from trueground.service.store.database import Database
from trueground.service.store.tables import IS_LEASED, assignments, data_objects, labeling_jobs, workers

MOST = 200
"""Held tasks that are shown at once."""


@dataclass(frozen=True, slots=True)
class Held:
    """A task that somebody has open or has put aside."""

    worker_id: str
    username: str
    name: str
    job: str
    kind: str
    """``labeling`` or ``review``."""
    title: str
    object_id: str
    """Its line in the manifest from 0, or the name of its human loop."""
    since: datetime
    until: datetime
    """Then others get it, if it is not answered."""
    aside: bool
    """The worker has put it aside."""
    open: bool
    """A browser page is known that shows it; otherwise it waits for its worker to come back."""


def held_in(db: Database, job_name: str, kind: str = "labeling") -> list[Held]:
    """The tasks of a job that people hold, those that come back first at the top."""
    return _held(db, (labeling_jobs.c.name == job_name) & (labeling_jobs.c.kind == kind))


def held_by(db: Database, worker_id: str) -> list[Held]:
    """The tasks that one worker holds."""
    return _held(db, assignments.c.worker_id == worker_id)


def held_counts(db: Database) -> dict[str, int]:
    """How many tasks each worker holds; those who hold none are left out."""
    query = select(assignments.c.worker_id, func.count()).where(IS_LEASED).group_by(assignments.c.worker_id)
    with db.read() as connection:
        return dict(connection.execute(query).tuples().all())


def _held(db: Database, which: ColumnElement[bool]) -> list[Held]:
    query: Any = (
        select(
            assignments,
            workers.c.username,
            workers.c.name.label("person"),
            labeling_jobs.c.name.label("job"),
            labeling_jobs.c.kind,
            labeling_jobs.c.request,
            data_objects.c.dedup_key,
        )
        .join(workers, workers.c.id == assignments.c.worker_id)
        .join(labeling_jobs, labeling_jobs.c.id == assignments.c.job_id)
        .join(
            data_objects,
            (data_objects.c.job_id == assignments.c.job_id) & (data_objects.c.position == assignments.c.position),
        )
        .where(IS_LEASED, which)
        .order_by(assignments.c.expires_at, assignments.c.id)
        .limit(MOST)
    )
    with db.read() as connection:
        return [
            Held(
                worker_id=row.worker_id,
                username=row.username,
                name=row.person,
                job=row.job,
                kind=row.kind,
                title=row.request["HumanTaskConfig"]["TaskTitle"],
                object_id=(row.dedup_key if row.kind == "review" else None) or str(row.position),
                since=row.leased_at,
                until=row.expires_at,
                aside=row.paused_at is not None,
                open=bool(row.pages),
            )
            for row in connection.execute(query)
        ]
