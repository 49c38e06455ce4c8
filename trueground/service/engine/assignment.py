"""A worker's assignment: one data object leased to one worker, and how an operation takes hold of it.

Assignments come from :mod:`.leasing` and are answered in :mod:`.answering`; what else their workers do with them is in
:mod:`.own_work`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trueground.service.engine import queue_sql as sql
from trueground.service.engine.errors import Closed, NotYours
from trueground.service.engine.memory import JobFacts, memory_of
from trueground.service.store.batches import Batch, TryAgain
from trueground.service.store.database import Database


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


def get_assignment(db: Database, assignment_id: str, worker_id: str) -> Assignment:
    """An assignment of this worker, whatever its state. Raises :class:`NotYours`."""

    def run(batch: Batch) -> Assignment:
        return as_assignment(own(db, batch, assignment_id, worker_id))

    return db.batches.run(run)


def may_work(db: Database, worker_id: str, job_id: int) -> bool:
    """Whether a worker may be given tasks of a job, as far as that depends on who they are."""
    return any(visible == job_id for visible, _name in memory_of(db).visible_jobs(worker_id))


def own(db: Database, batch: Batch, assignment_id: str, worker_id: str) -> Mine:
    """A worker's assignment, locked against the job's end and everybody else. Raises :class:`NotYours`."""
    facts = job_of(db, batch, assignment_id, worker_id)
    _status, ended_at = hold_off_end(batch, facts)
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
        ended_at is not None,
        found[0],
        found[1],
        batch.time(found[2]),
        batch.time(found[3]),
        None if found[4] is None else batch.time(found[4]),
        *found[5:],
    )


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


def hold_off_end(batch: Batch, facts: JobFacts) -> tuple[str, Any]:
    """Hold off the job's end; its status and when it ended. Once in a transaction."""
    question = sql.holding_off_end(facts.id, alone=facts.max_objects_out is not None)
    status, ended_at = batch.share(question) or ("Failed", batch.now)
    return status, ended_at


def job_of(db: Database, batch: Batch, assignment_id: str, worker_id: str) -> JobFacts:
    """The job of an assignment. Raises :class:`NotYours`."""
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
    return facts
