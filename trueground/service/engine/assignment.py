"""A worker's assignment: one data object leased to one worker, and how an operation takes hold of it.

Assignments come from :mod:`.leasing` and are answered in :mod:`.answering`; what else their workers do with them is in
:mod:`.own_work`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from trueground.service.engine import queue_sql as sql
from trueground.service.engine.errors import Answered, Closed, NotYours
from trueground.service.engine.memory import JobFacts, memory_of
from trueground.service.store.batches import Batch, TryAgain
from trueground.service.store.database import Database

PAGES_AT_MOST = 20
"""Browser pages that are known to show a task; of more, the oldest are forgotten."""


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
    pages: str | None = None
    """The browser pages that show it, by spaces."""
    again: bool = False
    """The worker held it already, and gets it back."""
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
    pages: str | None

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


def show_on(batch: Batch, assignment_id: str, pages: str | None, page: str | None) -> None:
    """Note that a browser page shows a task now. ``pages``: those that did before."""
    known = (pages or "").split()
    if page is not None and page not in known:
        batch.change(sql.SHOWN_ON, id=assignment_id, pages=" ".join([*known[1 - PAGES_AT_MOST :], page]))


def check_editable(batch: Batch, mine: Mine) -> None:
    """Whether an answer can still be changed. Raises :class:`Closed` that says why not."""
    if mine.state != "submitted":
        raise Closed("not-submitted", "You have not answered this task, or your answer was set aside.")
    if mine.ended:
        raise Closed("job-ended", "The job has ended; this answer can no longer be changed.")
    settled = mine.facts.automated and batch.one(sql.IS_CONSOLIDATED, **mine.object) is not None
    if settled or is_handed_out(mine.facts, mine.object_state):
        raise Closed("consolidated", "The result has been handed on; this answer can no longer be changed.")


def is_handed_out(job: JobFacts | Row[Any], state: str) -> bool:
    """Whether the object's result left the service already: human loops and streaming jobs do not wait for an end."""
    if job.kind != "review" and not job.streaming:
        return False
    # A gold object looks like the others: if one answer is enough for those, it is too late at once.
    return job.workers_per_object == 1 if state == "gold" else state != "started"


def check_unchanged(batch: Batch, mine: Mine, content: Mapping[str, Any], revision: int | None = None) -> bool:
    """Whether this is an answer that the worker gave before, so that it need not be kept again.

    ``revision``: the one that the worker saw and changed; ``None`` where they meant to give their first answer, which
    may be any that they gave.

    Raises:
        Answered: another answer is stored than the worker can know of.
    """
    given = batch.all(sql.REVISIONS, id=mine.id)
    texts = [_canonical(json.loads(row[0])) for row in given]
    if _canonical(content) in (texts if revision is None else texts[-1:]):
        return True
    last, submitted_at, number = given[-1]
    if number == revision:
        return False
    try:
        check_editable(batch, mine)
        editable = True
    except Closed:
        editable = False
    raise Answered(json.loads(last), batch.time(submitted_at), editable=editable)


def _canonical(content: Any) -> str:
    return json.dumps(content, sort_keys=True)


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
        mine.pages,
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
