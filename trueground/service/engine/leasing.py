"""Who gets which task next: a leased queue over a job's data objects.

An object has free places for workers. A lease takes one; an answer keeps it; a lease that runs out or is given back
frees it again and marks the object as returned. Each worker has a cursor in each job: up to there, every object was
given to them or had no free place. So the next object is the first free one beyond the cursor, and when there is none,
a returned one before it: the cost does not grow with the job.

What is here are operations: each is run in a transaction that it may share with others (:mod:`.store.batches`), by
``db.batches.run`` in threads or ``db.batches.run_async`` in coroutines.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from trueground.service.engine import gold, queue_at_once
from trueground.service.engine import queue_sql as sql
from trueground.service.engine.assignment import Assignment, hold_off_end, may_work, own, show_on
from trueground.service.engine.errors import NotYours
from trueground.service.engine.memory import JobFacts, memory_of
from trueground.service.store.batches import Batch, Steps, TryAgain
from trueground.service.store.database import Database
from trueground.service.store.tables import IS_LEASED, assignments

HELD_AT_ONCE = 2
"""Leases a worker may hold in one job: the task on the screen, and the one fetched ahead. Paused ones do not count."""
HELD_BY_PAGES = 3 * HELD_AT_ONCE
"""The same for a worker whose pages know of each other: some tabs, each with two tasks."""


def next_assignment(
    db: Database,
    worker_id: str,
    job_name: str | None = None,
    holding: Collection[str] | None = None,
    page: str | None = None,
) -> Assignment | None:
    """Lease the next data object to a worker.

    ``holding`` are the leases that the worker's pages know of, if they say so: one that they do not know of, since the
    page was loaded anew or never got the answer, is given first. ``page`` is the page that asks: it never gets what
    ``holding`` has.

    Without ``job_name``: from the job they were at last, else from the one of the highest priority, the oldest first,
    that has work for them. A worker who already holds two leases in the job gets the older one back. ``None`` where
    nothing is left for them (now: a lease of someone else may come back).
    """
    return db.batches.run(next_task(db, worker_id, job_name, holding, page))


def next_task(
    db: Database,
    worker_id: str,
    job_name: str | None = None,
    holding: Collection[str] | None = None,
    page: str | None = None,
) -> Callable[[Batch], Steps[Assignment | None]]:
    """The operation of :func:`next_assignment`."""

    def run(batch: Batch) -> Steps[Assignment | None]:
        memory = memory_of(db)
        jobs = [job for job, name in memory.visible_jobs(worker_id) if job_name in (None, name)]
        for job in jobs:
            if (found := (yield from _next_in(db, batch, job, worker_id, holding, page))) is not None:
                memory.went_to(worker_id, job)
                return found
        # A lease may have run out since the background thread last looked.
        for job in jobs:
            if _expire(batch, job):
                found = yield from _next_in(db, batch, job, worker_id, holding, page)
                if found is not None:
                    memory.went_to(worker_id, job)
                    return found
        # Perhaps a job has all its answers.
        db.changed.set()
        return None

    return run


def lease_object(db: Database, worker_id: str, job_id: int, position: int) -> Assignment | None:
    """Lease one certain object, or give back the lease that the worker has of it; ``None`` if it has no free place."""

    def run(batch: Batch) -> Assignment | None:
        facts = memory_of(db).find(job_id)
        if facts is None or not may_work(db, worker_id, job_id) or not _is_open(batch, facts):
            return None
        _place(batch, job_id, worker_id)
        for lease in _held(batch, facts, worker_id):
            if lease.position == position:
                return lease
        found = batch.one(sql.CERTAIN, job=job_id, worker=worker_id, position=position, now=batch.now)
        if found is None:
            return None
        batch.change(sql.TAKE, job=job_id, position=position)
        return _lease(batch, facts, worker_id, found)

    return db.batches.run(run)


def release(db: Database, assignment_id: str, worker_id: str) -> None:
    """Give a lease back unanswered; without effect on one that is no longer held. Raises :class:`NotYours`."""

    def run(batch: Batch) -> None:
        mine = own(db, batch, assignment_id, worker_id)
        if mine.state == "leased":
            _give_back(batch, mine.id, mine.facts.id, mine.position, "released", gold=mine.object_state == "gold")

    db.batches.run(run)


def leave(db: Database, assignment_id: str, worker_id: str, page: str, *, keep: bool = False) -> None:
    """Note that a browser page no longer shows a task. A lease that no other page shows is given back.

    ``keep``: not even then, since the worker will come back for it.

    Raises :class:`NotYours`.
    """

    def run(batch: Batch) -> None:
        mine = own(db, batch, assignment_id, worker_id)
        if mine.state != "leased":
            return
        others = [known for known in (mine.pages or "").split() if known != page]
        # A task that was put aside is on no page.
        if others or keep or mine.paused_at is not None:
            batch.change(sql.SHOWN_ON, id=mine.id, pages=" ".join(others) or None)
        else:
            _give_back(batch, mine.id, mine.facts.id, mine.position, "released", gold=mine.object_state == "gold")

    db.batches.run(run)


def release_all(db: Database, worker_id: str) -> None:
    """Give back all that a worker holds or has put aside, in every job: they come back for none of it."""
    held = select(assignments.c.id).where(assignments.c.worker_id == worker_id, IS_LEASED)
    with db.read() as connection:
        leases = connection.scalars(held).all()
    for lease in leases:
        with suppress(NotYours):
            release(db, lease, worker_id)


def expire_leases(db: Database, job_id: int) -> int:
    """Put a job's objects whose lease ran out back into the queue; returns how many."""

    def run(batch: Batch) -> int:
        return _expire(batch, job_id)

    return db.batches.run(run)


def _next_in(
    db: Database, batch: Batch, job_id: int, worker_id: str, holding: Collection[str] | None, page: str | None
) -> Steps[Assignment | None]:
    """The worker's next lease in one job."""
    facts = memory_of(db).find(job_id)
    if facts is None:
        return None
    lease_id = f"{facts.id}-{secrets.token_hex(12)}"
    most = HELD_AT_ONCE if holding is None or page is None else HELD_BY_PAGES
    usual = yield from queue_at_once.lease(batch, facts, worker_id, lease_id, most, holding, page)
    if usual is not None:
        position, line, task_input, expires_at = usual
        return Assignment(
            lease_id, job_id, facts.name, position, worker_id, batch.now, expires_at, line=line, task_input=task_input
        )
    if not _is_open(batch, facts):
        return None
    cursor, _answered, gold_seen, _right, paused_at, _reason = _place(batch, job_id, worker_id)
    if paused_at is not None:
        return None
    held = _held(batch, facts, worker_id)
    unknown = [lease for lease in held if lease.id not in holding] if holding is not None else []
    again = unknown or (held if holding is None or page is None else [])
    if unknown or len(held) >= most:
        return _again(batch, again, page)
    if gold.is_due(facts, worker_id, (cursor, gold_seen, len(held))):
        found = batch.one(sql.GOLD, job=job_id, worker=worker_id, turn=gold.turn_of(worker_id, gold_seen))
        if found is not None:
            batch.change(sql.MOVE_CURSOR, job=job_id, worker=worker_id, cursor=cursor, now=batch.now)
            return _lease(batch, facts, worker_id, found, page)
        if gold_seen < facts.qualification:
            # All gold objects are on their screens or answered: the work itself waits for the outcome.
            return _again(batch, again, page)
    found, cursor = _choose(batch, facts, worker_id, cursor)
    batch.change(sql.MOVE_CURSOR, job=job_id, worker=worker_id, cursor=cursor, now=batch.now)
    if found is None:
        return None
    batch.change(sql.TAKE, job=job_id, position=found[0])
    return _lease(batch, facts, worker_id, found, page)


def _is_open(batch: Batch, facts: JobFacts) -> bool:
    status, ended_at = hold_off_end(batch, facts)
    return status == "InProgress" and ended_at is None


def _place(batch: Batch, job_id: int, worker_id: str) -> tuple[Any, ...]:
    """The worker's place in the job, locked: two requests of one worker are served one after the other."""
    key = {"job": job_id, "worker": worker_id}
    found = batch.one(sql.PLACE_WAITING if batch.waiting else sql.PLACE, **key)
    if found is None:
        if batch.locks and not batch.waiting:
            raise TryAgain
        batch.change(sql.NEW_PLACE, **key)
        found = batch.one(sql.PLACE_WAITING, **key)
    assert found is not None
    return found


def _held(batch: Batch, facts: JobFacts, worker_id: str) -> list[Assignment]:
    rows = batch.all(sql.HELD, worker=worker_id, job=facts.id, now=batch.now)
    return [
        Assignment(
            row[0], facts.id, facts.name, row[1], worker_id, batch.time(row[2]), batch.time(row[3]), pages=row[4]
        )
        for row in rows
    ]


def _again(batch: Batch, leases: list[Assignment], page: str | None) -> Assignment | None:
    """The first of these leases, which its worker holds already, for a page that did not know of it."""
    if not leases:
        return None
    lease = leases[0]
    show_on(batch, lease.id, lease.pages, page)
    line, task_input = batch.one(sql.LINE, job=lease.job_id, position=lease.position) or (None, None)
    return replace(lease, line=line, task_input=task_input, again=True)


def _choose(batch: Batch, facts: JobFacts, worker_id: str, cursor: int) -> tuple[tuple[Any, ...] | None, int]:
    """The object to lease, its row locked, and the worker's cursor afterwards."""
    key = {"job": facts.id, "worker": worker_id, "now": batch.now, "cursor": cursor}
    started = False
    if facts.max_objects_out is not None:
        started = (batch.one(sql.OBJECTS_OUT, job=facts.id) or (0,))[0] >= facts.max_objects_out
    found = batch.one(sql.AHEAD[started, False], **key)
    first = found
    if batch.locks or started:
        # The cursor never passes an object that another process holds just now, or that may not go out yet.
        first = batch.one(sql.FIRST_AHEAD, **key)
    if first is not None:
        reached = first[0] if found is not None and found[0] == first[0] else first[0] - 1
        cursor = max(cursor, reached)
    if found is None:
        found = batch.one(sql.RETURNED[started, False], **key)
    if found is None and batch.locks and (first is not None or batch.one(sql.FIRST_RETURNED, **key) is not None):
        # All that is left is locked by others right now, or more may not go out.
        if not batch.waiting:
            raise TryAgain
        found = batch.one(sql.AHEAD[started, True], **key) or batch.one(sql.RETURNED[started, True], **key)
    return found, cursor


def _lease(
    batch: Batch, facts: JobFacts, worker_id: str, found: tuple[Any, ...], page: str | None = None
) -> Assignment:
    position, line, task_input, available_until = found
    ends = [batch.now + timedelta(seconds=facts.lease_seconds), facts.available_until]
    if available_until is not None:
        ends.append(batch.time(available_until))
    lease = Assignment(
        id=f"{facts.id}-{secrets.token_hex(12)}",
        job_id=facts.id,
        job_name=facts.name,
        position=position,
        worker_id=worker_id,
        leased_at=batch.now,
        expires_at=min(ends),
        line=line,
        task_input=task_input,
    )
    batch.change(
        sql.LEASE,
        id=lease.id,
        job=facts.id,
        position=position,
        worker=worker_id,
        leased_at=lease.leased_at,
        expires_at=lease.expires_at,
        page=page,
    )
    return lease


def _expire(batch: Batch, job_id: int) -> int:
    due = batch.all(sql.DUE, job=job_id, now=batch.now)
    for assignment_id, position, state in due:
        _give_back(batch, assignment_id, job_id, position, "expired", gold=state == "gold")
    return len(due)


def _give_back(batch: Batch, assignment_id: str, job_id: int, position: int, state: str, *, gold: bool) -> None:
    batch.change(sql.CLOSE, id=assignment_id, state=state, reason=None)
    if not gold:
        batch.change(sql.FREE_AGAIN, job=job_id, position=position)
