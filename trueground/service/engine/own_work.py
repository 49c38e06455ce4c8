"""What workers do with tasks that are theirs: drafts, pauses, a second look at their last answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select

from trueground.service.engine import gold
from trueground.service.engine import queue_sql as sql
from trueground.service.engine.answering import check_not_empty, content_as_text, problem_of
from trueground.service.engine.assignment import (
    Assignment,
    as_assignment,
    check_editable,
    check_open,
    check_unchanged,
    is_handed_out,
    own,
    show_on,
)
from trueground.service.engine.errors import Invalid, NotYours
from trueground.service.engine.memory import memory_of
from trueground.service.engine.visibility import may_stay
from trueground.service.store.batches import Batch
from trueground.service.store.database import Database, now
from trueground.service.store.tables import IS_LEASED, answers, assignments, data_objects, drafts, labeling_jobs

PAUSED_AT_MOST = 10
"""Tasks a worker may have put aside."""
PAUSE_TIME = timedelta(days=1)
"""How long a task may be put aside before others get it."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer that is not submitted yet."""

    content: Mapping[str, Any]
    seconds: float
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """One of a worker's own answers, as it now stands."""

    assignment_id: str
    object_id: str
    """As the worker saw it."""
    content: Mapping[str, Any]
    seconds: float
    submitted_at: datetime
    editable: bool
    revision: int


def save_draft(db: Database, assignment_id: str, worker_id: str, content: Mapping[str, Any], seconds: float) -> None:
    """Keep what is typed so far. Raises :class:`NotYours`, :class:`Closed`, :class:`Invalid`."""
    text = content_as_text(content, seconds)

    def run(batch: Batch) -> None:
        check_open(batch, own(db, batch, assignment_id, worker_id))
        batch.change(sql.SAVE_DRAFT, id=assignment_id, content=text, seconds=float(seconds), now=batch.now)

    db.batches.run(run)


def draft_of(db: Database, assignment_id: str, worker_id: str) -> Draft | None:
    """The draft of a worker's assignment; none of one that they no longer hold. Raises :class:`NotYours`."""
    with db.read() as connection:
        found = connection.execute(
            select(assignments.c.id, drafts)
            .select_from(assignments)
            .outerjoin(drafts, (drafts.c.assignment_id == assignments.c.id) & IS_LEASED)
            .where(assignments.c.id == assignment_id, assignments.c.worker_id == worker_id)
        ).first()
    if found is None:
        raise NotYours("there is no such task among yours")
    return None if found.saved_at is None else Draft(found.content, found.seconds, found.saved_at)


def pause(db: Database, assignment_id: str, worker_id: str) -> None:
    """Put a task aside: nobody else gets it for a day, and its time limit stands still.

    Raises:
        NotYours: no such assignment, or another worker's.
        Closed: it is no longer held.
        Invalid: too many are put aside already.
    """
    if len(paused_assignments(db, worker_id)) >= PAUSED_AT_MOST:
        raise Invalid(f"you have put {PAUSED_AT_MOST} tasks aside; go on with one of them first")

    def run(batch: Batch) -> None:
        mine = own(db, batch, assignment_id, worker_id)
        check_open(batch, mine)
        if mine.paused_at is None:
            remaining = (mine.expires_at - batch.now).total_seconds()
            until = min(batch.now + PAUSE_TIME, mine.facts.available_until)
            batch.change(sql.PAUSE, id=mine.id, now=batch.now, remaining=remaining, until=until)

    db.batches.run(run)


def resume(db: Database, assignment_id: str, worker_id: str, page: str | None = None) -> Assignment:
    """Go on with a task that was put aside, on this page. Raises :class:`NotYours`, :class:`Closed`."""

    def run(batch: Batch) -> Assignment:
        mine = own(db, batch, assignment_id, worker_id)
        check_open(batch, mine)
        if mine.paused_at is not None:
            rest = timedelta(seconds=mine.remaining_seconds or 0.0)
            expires_at = min(batch.now + rest, mine.facts.available_until)
            # As if the pause had not been: the time between is nobody's work.
            leased_at = mine.leased_at + (batch.now - mine.paused_at)
            batch.change(sql.RESUME, id=mine.id, leased_at=leased_at, expires_at=expires_at)
        show_on(batch, mine.id, mine.pages, page)
        return as_assignment(own(db, batch, assignment_id, worker_id))

    return db.batches.run(run)


def paused_assignments(db: Database, worker_id: str) -> list[Assignment]:
    """What a worker has put aside and can still go on with, the oldest first."""
    paused = assignments.c.paused_at
    return _leases(db, worker_id, paused.is_not(None), oldest_by=paused)


def held_assignments(db: Database, worker_id: str, job_name: str) -> list[Assignment]:
    """The leases a worker holds in a job and has not put aside, the oldest first; none where they left its team."""
    unpaused = assignments.c.paused_at.is_(None) & (labeling_jobs.c.name == job_name)
    return _leases(db, worker_id, unpaused & may_stay(worker_id), oldest_by=assignments.c.leased_at)


def _leases(
    db: Database, worker_id: str, which: ColumnElement[bool], *, oldest_by: ColumnElement[datetime]
) -> list[Assignment]:
    query = (
        select(assignments, labeling_jobs.c.name)
        .join(labeling_jobs, labeling_jobs.c.id == assignments.c.job_id)
        .where(
            assignments.c.worker_id == worker_id,
            assignments.c.state == "leased",
            assignments.c.expires_at > now(),
            labeling_jobs.c.status == "InProgress",
            which,
        )
        .order_by(oldest_by)
    )
    with db.read() as connection:
        return [
            Assignment(row.id, row.job_id, row.name, row.position, worker_id, row.leased_at, row.expires_at)
            for row in connection.execute(query)
        ]


def recent_answers(db: Database, worker_id: str, job_name: str, limit: int = 20) -> list[GivenAnswer]:
    """A worker's last answers in a job, the latest first."""
    newer = answers.alias()
    last = select(func.max(newer.c.revision)).where(newer.c.assignment_id == answers.c.assignment_id).scalar_subquery()
    query = (
        select(
            answers,
            data_objects.c.state,
            data_objects.c.iteration.label("asked_in"),
            labeling_jobs.c.ended_at,
            labeling_jobs.c.kind,
            labeling_jobs.c.streaming,
            labeling_jobs.c.workers_per_object,
            labeling_jobs.c.auto_accuracy,
            labeling_jobs.c.iteration,
        )
        .join(assignments, assignments.c.id == answers.c.assignment_id)
        .join(labeling_jobs, labeling_jobs.c.id == answers.c.job_id)
        .join(
            data_objects,
            (data_objects.c.job_id == answers.c.job_id) & (data_objects.c.position == answers.c.position),
        )
        .where(
            labeling_jobs.c.name == job_name,
            answers.c.worker_id == worker_id,
            assignments.c.state == "submitted",
            answers.c.revision == last,
        )
        .order_by(answers.c.id.desc())
        .limit(limit)
    )
    with db.read() as connection:
        return [
            GivenAnswer(
                row.assignment_id,
                gold.shown_id(memory_of(db).facts(row.job_id), row.position),
                row.content,
                row.seconds,
                row.submitted_at,
                editable=_is_editable(row),
                revision=row.revision,
            )
            for row in connection.execute(query)
        ]


def edit_answer(
    db: Database,
    assignment_id: str,
    worker_id: str,
    content: Mapping[str, Any],
    seconds: float,
    revision: int | None = None,
) -> None:
    """Answer again what one has answered. The first answer stays in the store; the last one counts.

    ``revision``: the one that the worker saw and changed; ``None``: whichever it is, this answer replaces it.

    Raises:
        NotYours: no such assignment, or another worker's.
        Answered: the worker changed it meanwhile, in another tab.
        Closed: it was never answered, or its object has been consolidated.
        Invalid: the content cannot be kept as JSON, is empty, or is none that the job's task type can read.
    """
    text = content_as_text(content, seconds)
    check_not_empty(content)

    def run(batch: Batch) -> None:
        mine = own(db, batch, assignment_id, worker_id)
        if (problem := problem_of(mine.facts, content)) is not None:
            raise Invalid(problem)
        check_editable(batch, mine)
        last = batch.one(sql.LAST_REVISION, id=mine.id)
        assert last is not None
        newest, accepted_at, before = last
        if check_unchanged(batch, mine, content, newest if revision is None else revision):
            return
        batch.change(
            sql.KEEP,
            assignment=mine.id,
            revision=newest + 1,
            **mine.object,
            worker=worker_id,
            content=text,
            # The time of the first look and of this one; no more than has passed, whatever the page says.
            seconds=min(before + float(seconds), (batch.now - batch.time(accepted_at)).total_seconds()),
            accepted_at=batch.time(accepted_at),
            now=batch.now,
        )
        batch.change(sql.WRITE_AGAIN, **mine.object)

    db.batches.run(run)
    db.changed.set()


def _is_editable(row: Row[Any]) -> bool:
    settled = row.auto_accuracy is not None and row.asked_in is not None and row.asked_in < row.iteration
    return row.ended_at is None and not settled and not is_handed_out(row, row.state)
