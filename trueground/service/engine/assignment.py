"""Who gets which task next: a leased queue over a job's data objects.

An object has N free places. A lease takes one; an answer keeps it; a lease that runs out or is given back frees it
again and marks the object as returned. Each worker has a cursor in each job: up to there, every object was given to
them or had no free place. So the next object is the first free one beyond the cursor, and when there is none, a
returned one before it: the cost does not grow with the job.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    case,
    exists,
    func,
    insert,
    literal_column,
    select,
    update,
)

from trueground.service.engine.errors import Closed, Invalid, NotYours
from trueground.service.engine.visibility import open_jobs
from trueground.service.store.database import Database, insert_or_ignore, now
from trueground.service.store.tables import answers, assignments, data_objects, job_workers, labeling_jobs

HELD_AT_ONCE = 2
"""Leases a worker may hold in one job: the task on the screen, and the one fetched ahead."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One lease: this object, this worker, until then."""

    id: str
    job_id: int
    job_name: str
    position: int
    """Line in the manifest from 0; as text it is AWS's ``datasetObjectId``."""
    worker_id: str
    leased_at: datetime
    expires_at: datetime
    state: str = "leased"


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """What became of a submit. ``repeated``: it was answered before, and nothing changed."""

    job_name: str
    answered_by_me: int
    repeated: bool = False
    object_complete: bool = False


def next_assignment(db: Database, worker_id: str, job_name: str | None = None) -> Assignment | None:
    """Lease the next data object to a worker.

    Without ``job_name``: from the oldest job that has work for them. A worker who already holds two leases in the
    job gets the older one back. ``None`` where nothing is left for them (now: a lease of someone else may come back).
    """
    with db.read() as connection:
        jobs = connection.execute(open_jobs(worker_id, job_name)).all()
    for job in jobs:
        if (found := _next_in(db, job, worker_id)) is not None:
            return found
    # A lease may have run out since the background thread last looked.
    for job in jobs:
        if expire_leases(db, job.id) and (found := _next_in(db, job, worker_id)) is not None:
            return found
    return None


def get_assignment(db: Database, assignment_id: str, worker_id: str) -> Assignment:
    """An assignment of this worker, whatever its state. Raises :class:`NotYours`."""
    with db.read() as connection:
        return _assignment(_own(connection, assignment_id, worker_id))


def submit_answer(
    db: Database, assignment_id: str, worker_id: str, content: Mapping[str, Any], seconds: float
) -> SubmitResult:
    """Keep a worker's answer. When this returns, the answer is on disk.

    Args:
        db: the store.
        assignment_id: the lease that is answered.
        worker_id: who answers.
        content: the form as submitted, element name to element output.
        seconds: how long the worker was at it.

    Raises:
        NotYours: no such assignment, or another worker's.
        Closed: the lease ran out or was given back, or the job has ended. Nothing was changed.
        Invalid: the content cannot be kept as JSON.
    """
    _check_content(content, seconds)
    with db.write() as connection:
        mine = _own(connection, assignment_id, worker_id)
        # The job's end waits for the submits that are under way, and those that come after it are refused.
        ended_at = connection.scalar(
            select(labeling_jobs.c.ended_at).where(labeling_jobs.c.id == mine.job_id).with_for_update(read=True)
        )
        mine = _own(connection, assignment_id, worker_id, lock=True)
        repeated = mine.state == "submitted"
        complete = False
        if not repeated:
            _check_open(mine, ended_at)
            complete = _keep(connection, mine, content, seconds)
        count = select(func.count()).where(answers.c.job_id == mine.job_id, answers.c.worker_id == worker_id)
        result = SubmitResult(mine.job_name, connection.scalar(count) or 0, repeated, complete)
    if complete:
        db.changed.set()
    return result


def release(db: Database, assignment_id: str, worker_id: str) -> None:
    """Give a lease back unanswered; without effect on one that is no longer held. Raises :class:`NotYours`."""
    with db.write() as connection:
        mine = _own(connection, assignment_id, worker_id, lock=True)
        if mine.state == "leased":
            _give_back(connection, mine, "released")


def expire_leases(db: Database, job_id: int) -> int:
    """Put a job's objects whose lease ran out back into the queue; returns how many."""
    due = (
        select(assignments)
        .where(assignments.c.job_id == job_id, assignments.c.state == _LEASED, assignments.c.expires_at <= now())
        .order_by(assignments.c.position)
    )
    with db.read() as connection:
        if connection.execute(due.limit(1)).first() is None:
            return 0
    with db.write() as connection:
        # Locks the job's end out: it gives leases back too, and two that do so in bulk could wait for each other.
        connection.execute(select(labeling_jobs.c.id).where(labeling_jobs.c.id == job_id).with_for_update(read=True))
        expired = connection.execute(due.with_for_update(skip_locked=True)).all()
        for lease in expired:
            _give_back(connection, lease, "expired")
    return len(expired)


# Constants in the SQL text, not bound values: only so can the partial indexes be used.
_NONE: ColumnElement[int] = literal_column("0")
_RETURNED: ColumnElement[bool] = literal_column("returned")
_LEASED: ColumnElement[str] = literal_column("'leased'")
_TAKEN: tuple[ColumnElement[str], ...] = (_LEASED, literal_column("'submitted'"))


def _next_in(db: Database, job: Row[Any], worker_id: str) -> Assignment | None:
    """The worker's next lease in one job."""
    with db.write() as connection:
        # Exclusively where a limit on the objects out at once is to be counted; otherwise only against the job's end.
        limited = job.max_objects_out is not None
        current = connection.execute(
            select(labeling_jobs.c.status, labeling_jobs.c.ended_at)
            .where(labeling_jobs.c.id == job.id)
            .with_for_update(read=not limited)
        ).one()
        if current.status != "InProgress" or current.ended_at is not None:
            return None
        cursor = _lock_cursor(connection, job.id, worker_id)
        held = connection.execute(
            select(assignments, labeling_jobs.c.name.label("job_name"))
            .join(labeling_jobs, labeling_jobs.c.id == assignments.c.job_id)
            .where(
                assignments.c.job_id == job.id,
                assignments.c.worker_id == worker_id,
                assignments.c.state == _LEASED,
                assignments.c.expires_at > now(),
            )
            .order_by(assignments.c.leased_at)
        ).all()
        if len(held) >= HELD_AT_ONCE:
            return _assignment(held[0])
        position = _choose(connection, job, worker_id, cursor)
        if position is None:
            return None
        connection.execute(
            update(data_objects)
            .where(data_objects.c.job_id == job.id, data_objects.c.position == position)
            .values(free=data_objects.c.free - 1, state="started")
        )
        leased_at = now()
        lease = Assignment(
            id=secrets.token_hex(16),
            job_id=job.id,
            job_name=job.name,
            position=position,
            worker_id=worker_id,
            leased_at=leased_at,
            expires_at=min(leased_at + timedelta(seconds=job.lease_seconds), job.available_until),
        )
        connection.execute(
            insert(assignments).values(
                id=lease.id,
                job_id=job.id,
                position=position,
                worker_id=worker_id,
                state="leased",
                leased_at=lease.leased_at,
                expires_at=lease.expires_at,
            )
        )
        return lease


def _lock_cursor(connection: Connection, job_id: int, worker_id: str) -> int:
    """The worker's cursor in the job, locked: two requests of one worker are served one after the other."""
    key = (job_workers.c.job_id == job_id) & (job_workers.c.worker_id == worker_id)
    query = select(job_workers.c.cursor).where(key).with_for_update()
    cursor = connection.scalar(query)
    if cursor is None:
        values = {"job_id": job_id, "worker_id": worker_id, "cursor": -1}
        connection.execute(insert_or_ignore(connection, job_workers, values))
        cursor = connection.scalar(query)
    assert cursor is not None
    return int(cursor)


def _choose(connection: Connection, job: Row[Any], worker_id: str, cursor: int) -> int | None:
    """The position to lease, its row locked; moves the worker's cursor."""
    mine = exists(
        select(assignments.c.id).where(
            assignments.c.job_id == data_objects.c.job_id,
            assignments.c.position == data_objects.c.position,
            assignments.c.worker_id == worker_id,
            assignments.c.state.in_(_TAKEN),
        )
    )
    query = (
        select(data_objects.c.position)
        .where(data_objects.c.job_id == job.id, data_objects.c.free > _NONE, ~mine)
        .order_by(data_objects.c.position)
        .limit(1)
    )
    allowed = query
    if job.max_objects_out is not None and _objects_out(connection, job.id) >= job.max_objects_out:
        allowed = query.where(data_objects.c.state == "started")

    first = connection.scalar(query.where(data_objects.c.position > cursor))
    if first is not None:
        found = _lock_first(connection, allowed.where(data_objects.c.position > cursor))
        # Where another process held the first object just now, it stays ahead of the cursor, to be found next time.
        reached = first if found == first else first - 1
        if reached > cursor:
            connection.execute(
                update(job_workers)
                .where(job_workers.c.job_id == job.id, job_workers.c.worker_id == worker_id)
                .values(cursor=reached)
            )
        if found is not None:
            return found
    return _lock_first(connection, allowed.where(_RETURNED, data_objects.c.position <= cursor))


def _lock_first(connection: Connection, query: Any) -> int | None:
    """The first position a query finds, locked; one that another process is taking is passed over if there is more."""
    found: int | None = connection.scalar(query.with_for_update(of=data_objects, skip_locked=True))
    if connection.dialect.name == "sqlite":
        return found
    # All that is left may be locked by others right now: wait for one of them, and look again if it is gone then.
    while found is None and connection.scalar(query) is not None:
        found = connection.scalar(query.with_for_update(of=data_objects))
    return found


def _objects_out(connection: Connection, job_id: int) -> int:
    out = select(func.count()).where(data_objects.c.job_id == job_id, data_objects.c.state == "started")
    return connection.scalar(out) or 0


def _own(connection: Connection, assignment_id: str, worker_id: str, *, lock: bool = False) -> Row[Any]:
    query = (
        select(
            assignments,
            labeling_jobs.c.name.label("job_name"),
            labeling_jobs.c.workers_per_object.label("workers_per_object"),
        )
        .join(labeling_jobs, labeling_jobs.c.id == assignments.c.job_id)
        .where(assignments.c.id == assignment_id, assignments.c.worker_id == worker_id)
    )
    found = connection.execute(query.with_for_update(of=assignments) if lock else query).first()
    if found is None:
        raise NotYours("there is no such task among yours")
    return found


def _check_content(content: Mapping[str, Any], seconds: float) -> None:
    if not isinstance(content, Mapping):
        raise Invalid("an answer is an object of element names and their values")
    try:
        json.dumps(content, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"the answer cannot be kept as JSON: {error}") from None
    if not 0 <= seconds < float("inf"):
        raise Invalid("the time spent must be zero or more seconds")


def _check_open(mine: Row[Any], ended_at: datetime | None) -> None:
    if ended_at is not None:
        raise Closed("job-ended", "The job has ended; this answer was not taken.")
    if mine.state == "released":
        raise Closed("released", "You gave this task back; this answer was not taken.")
    if mine.state == "expired" or mine.expires_at <= now():
        raise Closed("expired", "The time for this task is over; this answer was not taken.")


def _keep(connection: Connection, mine: Row[Any], content: Mapping[str, Any], seconds: float) -> bool:
    """Store the answer; whether the object now has all of its answers."""
    connection.execute(
        insert(answers).values(
            assignment_id=mine.id,
            job_id=mine.job_id,
            position=mine.position,
            worker_id=mine.worker_id,
            content=dict(content),
            # Never longer than the lease has been held, whatever the page says.
            seconds=min(float(seconds), (now() - mine.leased_at).total_seconds()),
            accepted_at=mine.leased_at,
            submitted_at=now(),
        )
    )
    connection.execute(update(assignments).where(assignments.c.id == mine.id).values(state="submitted"))
    total = data_objects.c.answers + 1
    state = connection.scalar(
        update(data_objects)
        .where(data_objects.c.job_id == mine.job_id, data_objects.c.position == mine.position)
        .values(
            answers=total,
            state=case((total >= mine.workers_per_object, "answered"), else_=data_objects.c.state),
        )
        .returning(data_objects.c.state)
    )
    return bool(state == "answered")


def _give_back(connection: Connection, lease: Row[Any], state: str) -> None:
    connection.execute(update(assignments).where(assignments.c.id == lease.id).values(state=state))
    connection.execute(
        update(data_objects)
        .where(data_objects.c.job_id == lease.job_id, data_objects.c.position == lease.position)
        .values(free=data_objects.c.free + 1, returned=True)
    )


def _assignment(row: Row[Any]) -> Assignment:
    return Assignment(
        row.id, row.job_id, row.job_name, row.position, row.worker_id, row.leased_at, row.expires_at, row.state
    )
