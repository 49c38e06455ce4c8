"""Who gets which task next: a leased queue over a job's data objects.

An object has free places for workers. A lease takes one; an answer keeps it; a lease that runs out or is given back
frees it again and marks the object as returned. Each worker has a cursor in each job: up to there, every object was
given to them or had no free place. So the next object is the first free one beyond the cursor, and when there is none,
a returned one before it: the cost does not grow with the job.

What is here are operations: each is run in a transaction that it may share with others (:mod:`.store.batches`), by
``db.batches.run`` in threads or ``db.batches.run_async`` in coroutines.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from trueground.service.engine import gold, queue_at_once
from trueground.service.engine import queue_sql as sql
from trueground.service.engine.errors import Closed, Invalid, NotYours
from trueground.service.engine.memory import JobFacts, memory_of
from trueground.service.store.batches import Batch, TryAgain
from trueground.service.store.database import Database

HELD_AT_ONCE = 2
"""Leases a worker may hold in one job: the task on the screen, and the one fetched ahead. Paused ones do not count."""


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
    line: str | None = None
    """The data object, where it was just leased."""
    task_input: str | None = None
    """What a pre-annotation function of the requester's own made of it, as JSON."""


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """What became of a submit. ``repeated``: it was answered before, and nothing changed."""

    job_name: str
    answered_by_me: int
    repeated: bool = False
    object_complete: bool = False


@dataclass(frozen=True, slots=True)
class Mine:
    """A worker's assignment with its object and their place in the job, all locked."""

    id: str
    worker_id: str
    facts: JobFacts
    ended: bool
    state: str
    position: int
    leased_at: datetime
    expires_at: datetime
    paused_at: datetime | None
    remaining_seconds: float | None
    object_state: str
    answers: int
    wanted: int
    declines: int
    answered: int
    gold_seen: int
    gold_right: int
    label: str | None

    @property
    def object(self) -> dict[str, Any]:
        """The key of its data object."""
        return {"job": self.facts.id, "position": self.position}


def next_assignment(
    db: Database, worker_id: str, job_name: str | None = None, holding: Collection[str] | None = None
) -> Assignment | None:
    """Lease the next data object to a worker.

    ``holding`` are the leases that the worker's page knows of, if it says so: one that it does not know of, since it
    was loaded anew or never got the answer, is given to it first.

    Without ``job_name``: from the job they were at last, else from the one of the highest priority, the oldest first,
    that has work for them. A worker who already holds two leases in the job gets the older one back. ``None`` where
    nothing is left for them (now: a lease of someone else may come back).
    """
    return db.batches.run(next_task(db, worker_id, job_name, holding))


def next_task(
    db: Database, worker_id: str, job_name: str | None = None, holding: Collection[str] | None = None
) -> Callable[[Batch], Assignment | None]:
    """The operation of :func:`next_assignment`."""

    def run(batch: Batch) -> Assignment | None:
        jobs = [job for job, name in memory_of(db).visible_jobs(worker_id) if job_name in (None, name)]
        for job in jobs:
            if (found := _next_in(db, batch, job, worker_id, holding)) is not None:
                return found
        # A lease may have run out since the background thread last looked.
        for job in jobs:
            if _expire(batch, job) and (found := _next_in(db, batch, job, worker_id, holding)) is not None:
                return found
        # Perhaps a job has all its answers.
        db.changed.set()
        return None

    return run


def lease_object(db: Database, worker_id: str, job_id: int, position: int) -> Assignment | None:
    """Lease one certain object, or give back the lease that the worker has of it; ``None`` if it has no free place."""

    def run(batch: Batch) -> Assignment | None:
        visible = {visible for visible, _name in memory_of(db).visible_jobs(worker_id)}
        if job_id not in visible or not _is_open(db, batch, job_id):
            return None
        facts = memory_of(db).facts(job_id)
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


def get_assignment(db: Database, assignment_id: str, worker_id: str) -> Assignment:
    """An assignment of this worker, whatever its state. Raises :class:`NotYours`."""

    def run(batch: Batch) -> Assignment:
        return as_assignment(own(db, batch, assignment_id, worker_id))

    return db.batches.run(run)


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
    return db.batches.run(submit(db, assignment_id, worker_id, content, seconds))


def submit(
    db: Database, assignment_id: str, worker_id: str, content: Mapping[str, Any], seconds: float
) -> Callable[[Batch], SubmitResult]:
    """The operation of :func:`submit_answer`. Raises :class:`Invalid`."""
    text = content_as_text(content, seconds)

    def run(batch: Batch) -> SubmitResult:
        facts, ended = _job_of(db, batch, assignment_id, worker_id)
        usual = None if ended else queue_at_once.keep(batch, facts, worker_id, assignment_id, text, seconds)
        if usual is not None:
            answered, state = usual
            return _kept(db, facts, answered, state)
        mine = own(db, batch, assignment_id, worker_id)
        if mine.state in ("submitted", "discarded"):
            return SubmitResult(mine.facts.name, mine.answered, repeated=True)
        check_open(batch, mine)
        return _keep(db, batch, mine, content, text, seconds)

    return run


def release(db: Database, assignment_id: str, worker_id: str) -> None:
    """Give a lease back unanswered; without effect on one that is no longer held. Raises :class:`NotYours`."""

    def run(batch: Batch) -> None:
        mine = own(db, batch, assignment_id, worker_id)
        if mine.state == "leased":
            _give_back(batch, mine.id, mine.facts.id, mine.position, "released", gold=mine.object_state == "gold")

    db.batches.run(run)


def decline(db: Database, assignment_id: str, worker_id: str, reason: str) -> None:
    """Refuse a task for good, with a reason; the worker is not asked about this object again.

    An object that two workers declined (or as many as are asked about it, if those are more; or everybody in the team)
    is set aside with their reasons, or labeled from the answers it has.

    Raises:
        NotYours: no such assignment, or another worker's.
        Closed: it is no longer held.
        Invalid: there is no reason.
    """
    reason = " ".join(reason.split())[:500]
    if not reason:
        raise Invalid("say why you decline this task")

    def run(batch: Batch) -> None:
        mine = own(db, batch, assignment_id, worker_id)
        check_open(batch, mine)
        batch.change(sql.CLOSE, id=mine.id, state="declined", reason=reason)
        if mine.object_state == "gold":
            return
        members = (batch.one(sql.TEAM_SIZE, workteam=mine.facts.workteam) or (0,))[0]
        enough = mine.declines + 1 >= min(max(mine.wanted, 2), max(members, 1))
        free = (batch.one(sql.FREE_PLACES, **mine.object) or (0,))[0]
        state, failure = mine.object_state, None
        if enough:
            free = -1
            if not (batch.one(sql.OTHERS_AT_IT, **mine.object, id=mine.id) or (0,))[0]:
                state = "answered" if mine.answers else "failed"
                failure = None if mine.answers else _declined(batch, mine)
        batch.change(sql.DECLINED, **mine.object, free=free + 1, state=state, failure_reason=failure)

    db.batches.run(run)
    db.changed.set()


def expire_leases(db: Database, job_id: int) -> int:
    """Put a job's objects whose lease ran out back into the queue; returns how many."""

    def run(batch: Batch) -> int:
        return _expire(batch, job_id)

    return db.batches.run(run)


def own(db: Database, batch: Batch, assignment_id: str, worker_id: str) -> Mine:
    """A worker's assignment, locked against the job's end and everybody else. Raises :class:`NotYours`."""
    facts, ended = _job_of(db, batch, assignment_id, worker_id)
    statement = sql.MINE_WAITING if batch.waiting else sql.MINE
    found = batch.one(statement, id=assignment_id, worker=worker_id, job=facts.id)
    if found is None:
        if batch.waiting or not batch.locks:
            raise NotYours("there is no such task among yours")
        raise TryAgain
    return Mine(
        assignment_id,
        worker_id,
        facts,
        ended,
        found[0],
        found[1],
        batch.time(found[2]),
        batch.time(found[3]),
        None if found[4] is None else batch.time(found[4]),
        *found[5:],
    )


def _job_of(db: Database, batch: Batch, assignment_id: str, worker_id: str) -> tuple[JobFacts, bool]:
    """The job of an assignment, its end held off, and whether it has ended before. Raises :class:`NotYours`."""
    key = {"id": assignment_id, "worker": worker_id}
    # The job's row is locked first, so its number must be known: newer assignments tell it in their id.
    known = assignment_id.partition("-")[0] if "-" in assignment_id else ""
    if known.isascii() and known.isdigit() and len(known) < 19:
        job_id = int(known)
    else:
        row = batch.one(sql.JOB_OF_ASSIGNMENT, **key) if assignment_id.isprintable() else None
        if row is None:
            raise NotYours("there is no such task among yours")
        job_id = row[0]
    facts = memory_of(db).find(job_id)
    if facts is None:
        raise NotYours("there is no such task among yours")
    _status, ended_at = _lock(batch, facts)
    return facts, ended_at is not None


def check_open(batch: Batch, mine: Mine) -> None:
    """Whether a lease can be answered still. Raises :class:`Closed` that says why not."""
    if mine.ended:
        raise Closed("job-ended", "The job has ended; this answer was not taken.")
    if mine.state == "released":
        raise Closed("released", "You gave this task back; this answer was not taken.")
    if mine.state == "declined":
        raise Closed("declined", "You declined this task; this answer was not taken.")
    if mine.state in ("submitted", "discarded"):
        raise Closed("submitted", "You answered this task already.")
    if mine.state == "expired" or mine.expires_at <= batch.now:
        raise Closed("expired", "The time for this task is over; this answer was not taken.")


def content_as_text(content: Mapping[str, Any], seconds: float) -> str:
    """An answer as the store keeps it. Raises :class:`Invalid`."""
    if not isinstance(content, Mapping):
        raise Invalid("an answer is an object of element names and their outputs")
    try:
        text = json.dumps(content, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise Invalid(f"the answer cannot be kept as JSON: {error}") from None
    if not 0 <= seconds < float("inf"):
        raise Invalid("the time spent must be zero or more seconds")
    return text


def as_assignment(mine: Mine) -> Assignment:
    """What the world sees of it."""
    return Assignment(
        mine.id,
        mine.facts.id,
        mine.facts.name,
        mine.position,
        mine.worker_id,
        mine.leased_at,
        mine.expires_at,
        mine.state,
    )


def _next_in(
    db: Database, batch: Batch, job_id: int, worker_id: str, holding: Collection[str] | None
) -> Assignment | None:
    """The worker's next lease in one job."""
    if not _is_open(db, batch, job_id):
        return None
    facts = memory_of(db).facts(job_id)
    lease_id = f"{facts.id}-{secrets.token_hex(12)}"
    usual = queue_at_once.lease(batch, facts, worker_id, lease_id, HELD_AT_ONCE, holding)
    if usual is not None:
        position, line, task_input, expires_at = usual
        return Assignment(
            lease_id, job_id, facts.name, position, worker_id, batch.now, expires_at, line=line, task_input=task_input
        )
    cursor, _answered, gold_seen, _right, paused_at, _reason = _place(batch, job_id, worker_id)
    if paused_at is not None:
        return None
    held = _held(batch, facts, worker_id)
    unknown = [lease for lease in held if lease.id not in holding] if holding is not None else []
    if unknown or len(held) >= HELD_AT_ONCE:
        return _with_line(batch, (unknown or held)[0])
    if gold.is_due(facts, worker_id, (cursor, gold_seen, len(held))):
        found = batch.one(sql.GOLD, job=job_id, worker=worker_id, turn=gold.turn_of(worker_id, gold_seen))
        if found is not None:
            batch.change(sql.MOVE_CURSOR, job=job_id, worker=worker_id, cursor=cursor, now=batch.now)
            return _lease(batch, facts, worker_id, found)
        if gold_seen < facts.qualification:
            # All gold objects are on their screens or answered: the work itself waits for the outcome.
            return _with_line(batch, held[0]) if held else None
    found, cursor = _choose(batch, facts, worker_id, cursor)
    batch.change(sql.MOVE_CURSOR, job=job_id, worker=worker_id, cursor=cursor, now=batch.now)
    if found is None:
        return None
    batch.change(sql.TAKE, job=job_id, position=found[0])
    return _lease(batch, facts, worker_id, found)


def _is_open(db: Database, batch: Batch, job_id: int) -> bool:
    facts = memory_of(db).find(job_id)
    if facts is None:
        return False
    status, ended_at = _lock(batch, facts)
    return status == "InProgress" and ended_at is None


def _lock(batch: Batch, facts: JobFacts) -> tuple[str, Any]:
    """Hold off the job's end; its status and when it ended. Once in a transaction."""
    found = batch.shared.get(facts.id)
    if found is None:
        statement = sql.SHARE_JOB if facts.max_objects_out is None else sql.LOCK_JOB
        found = batch.shared[facts.id] = batch.one(statement, job=facts.id) or ("Failed", batch.now)
    status, ended_at = found
    return status, ended_at


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
        Assignment(row[0], facts.id, facts.name, row[1], worker_id, batch.time(row[2]), batch.time(row[3]))
        for row in rows
    ]


def _with_line(batch: Batch, lease: Assignment) -> Assignment:
    line, task_input = batch.one(sql.LINE, job=lease.job_id, position=lease.position) or (None, None)
    return replace(lease, line=line, task_input=task_input)


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


def _lease(batch: Batch, facts: JobFacts, worker_id: str, found: tuple[Any, ...]) -> Assignment:
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
    )
    return lease


def _keep(
    db: Database, batch: Batch, mine: Mine, content: Mapping[str, Any], text: str, seconds: float
) -> SubmitResult:
    """Store the answer and count it."""
    batch.change(
        sql.KEEP,
        assignment=mine.id,
        revision=0,
        **mine.object,
        worker=mine.worker_id,
        content=text,
        # Never longer than the lease has been held, whatever the page says.
        seconds=min(float(seconds), (batch.now - mine.leased_at).total_seconds()),
        accepted_at=mine.leased_at,
        now=batch.now,
    )
    batch.change(sql.SUBMITTED, id=mine.id)
    state = mine.object_state
    seen, right = mine.gold_seen, mine.gold_right
    if state == "gold":
        seen, right = seen + 1, right + gold.is_right(mine.facts, mine.label, content)
    elif mine.answers + 1 >= mine.wanted or _is_last(batch, mine):
        state = "answered"
    batch.change(sql.COUNT_ANSWER, **mine.object, state=state)
    batch.change(
        sql.COUNT_WORK,
        job=mine.facts.id,
        worker=mine.worker_id,
        answered=mine.answered + 1,
        gold_seen=seen,
        gold_right=right,
    )
    if state == "gold" and (reason := gold.reason_to_pause(mine.facts, seen, right)) is not None:
        batch.change(sql.PAUSE_WORKER, job=mine.facts.id, worker=mine.worker_id, reason=reason, now=batch.now)
    return _kept(db, mine.facts, mine.answered + 1, state)


def _kept(db: Database, facts: JobFacts, answered: int, state: str) -> SubmitResult:
    """What to say of an answer that is kept. ``state``: its object's, now."""
    complete = state == "answered"
    if complete and facts.kind == "review":
        # A human loop ends with its object. A labeling job goes on, so it is looked at now and then.
        db.changed.set()
    return SubmitResult(facts.name, answered, object_complete=complete)


def _is_last(batch: Batch, mine: Mine) -> bool:
    """Whether nobody is left to be asked, because too many declined."""
    if not mine.declines or (batch.one(sql.FREE_PLACES, **mine.object) or (0,))[0]:
        return False
    return not (batch.one(sql.OTHERS_AT_IT, **mine.object, id=mine.id) or (0,))[0]


def _declined(batch: Batch, mine: Mine) -> str:
    reasons = sorted({str(row[0]) for row in batch.all(sql.REASONS, **mine.object)})
    return f"Declined by {mine.declines + 1} workers: {'; '.join(reasons)}"[:1024]


def _expire(batch: Batch, job_id: int) -> int:
    due = batch.all(sql.DUE, job=job_id, now=batch.now)
    for assignment_id, position, state in due:
        _give_back(batch, assignment_id, job_id, position, "expired", gold=state == "gold")
    return len(due)


def _give_back(batch: Batch, assignment_id: str, job_id: int, position: int, state: str, *, gold: bool) -> None:
    batch.change(sql.CLOSE, id=assignment_id, state=state, reason=None)
    if not gold:
        batch.change(sql.FREE_AGAIN, job=job_id, position=position)
