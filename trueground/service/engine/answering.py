"""A worker's answer or refusal: kept, counted, and what becomes of the data object.

Like those of :mod:`.leasing`, operations that share a transaction with others (:mod:`.store.batches`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trueground.service.engine import gold, queue_at_once
from trueground.service.engine import queue_sql as sql
from trueground.service.engine.assignment import Mine, check_open, check_unchanged, hold_off_end, job_of, may_work, own
from trueground.service.engine.errors import Invalid
from trueground.service.engine.functions import find_task_type
from trueground.service.engine.memory import JobFacts
from trueground.service.store.batches import Batch, Steps
from trueground.service.store.database import Database
from trueground.tasks.base import AnswerError


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """What became of a submit. ``repeated``: it was answered before, and nothing changed."""

    job_name: str
    answered_by_me: int
    repeated: bool = False
    object_complete: bool = False


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
        Answered: it has another answer already, which stays. The same answer again is taken, and changes nothing.
        Closed: the lease ran out or was given back, or the job has ended. Nothing was changed.
        Invalid: the content cannot be kept as JSON, is empty, or is none that the job's task type can read.
    """
    return db.batches.run(submit(db, assignment_id, worker_id, content, seconds))


def submit(
    db: Database, assignment_id: str, worker_id: str, content: Mapping[str, Any], seconds: float
) -> Callable[[Batch], Steps[SubmitResult]]:
    """The operation of :func:`submit_answer`. Raises :class:`Invalid`."""
    text = content_as_text(content, seconds)
    check_not_empty(content)

    def run(batch: Batch) -> Steps[SubmitResult]:
        facts = job_of(db, batch, assignment_id, worker_id)
        problem = problem_of(facts, content)
        if problem is not None:
            # A stranger does not learn from it what the labels are.
            check_open(batch, own(db, batch, assignment_id, worker_id))
            raise Invalid(problem)
        usual = yield from queue_at_once.keep(batch, facts, worker_id, assignment_id, text, seconds)
        if usual is not None:
            answered, state = usual
            return _kept(db, facts, answered, state)
        mine = own(db, batch, assignment_id, worker_id)
        if mine.state in ("submitted", "discarded"):
            check_unchanged(batch, mine, content)
            return SubmitResult(mine.facts.name, mine.answered, repeated=True)
        check_open(batch, mine)
        return _keep(db, batch, mine, content, text, seconds)

    return run


def decline(db: Database, assignment_id: str, worker_id: str, reason: str) -> None:
    """Refuse a task for good, with a reason; the worker is not asked about this object again.

    An object that two workers declined (or as many as are asked about it, if those are more), or about which nobody is
    left to ask, is set aside with their reasons, or labeled from the answers it has.

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
            if mine.gold_seen < mine.facts.qualification:
                # It counts as wrong: who declined all of the round would wait for the work itself for ever.
                _count_work(batch, mine, mine.answered, mine.gold_seen + 1, mine.gold_right)
            return
        enough = mine.declines + 1 >= max(mine.wanted, 2) or not _somebody_is_left(db, batch, mine)
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


def check_not_empty(content: Mapping[str, Any]) -> None:
    """Raise :class:`Invalid` for a form in which nothing was filled in: it is not an answer."""
    if not content:
        raise Invalid("The answer is empty: nothing was filled in. Answer the task, or skip it.")


def problem_of(facts: JobFacts, content: Mapping[str, Any]) -> str | None:
    """Why a job's task type cannot make a label of an answer; ``None`` if it can, or if other things are made of it."""
    task_type = find_task_type(facts.post_function)
    if task_type is None:
        return None
    try:
        task_type.parse_answer(content, facts.categories)
    except AnswerError as error:
        return f"The answer was not accepted: {error}. The requester has to correct the template or the labels."
    return None


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
    elif mine.answers + 1 >= mine.wanted:
        state = "answered"
    elif _is_last(db, batch, mine):
        state = "answered"
        batch.change(sql.ASK_NO_MORE, **mine.object)
    batch.change(sql.COUNT_ANSWER, **mine.object, state=state)
    _count_work(batch, mine, mine.answered + 1, seen, right)
    return _kept(db, mine.facts, mine.answered + 1, state)


def _count_work(batch: Batch, mine: Mine, answered: int, seen: int, right: int) -> None:
    """Store how much the worker has done in the job, and pause them where their gold objects say so."""
    key = {"job": mine.facts.id, "worker": mine.worker_id}
    batch.change(sql.COUNT_WORK, **key, answered=answered, gold_seen=seen, gold_right=right)
    if mine.object_state == "gold" and (reason := gold.reason_to_pause(mine.facts, seen, right)) is not None:
        batch.change(sql.PAUSE_WORKER, **key, reason=reason, now=batch.now)


def _kept(db: Database, facts: JobFacts, answered: int, state: str) -> SubmitResult:
    """What to say of an answer that is kept. ``state``: its object's, now."""
    complete = state == "answered"
    if complete and facts.kind == "review":
        # A human loop ends with its object. A labeling job goes on, so it is looked at now and then.
        db.changed.set()
    return SubmitResult(facts.name, answered, object_complete=complete)


def _is_last(db: Database, batch: Batch, mine: Mine) -> bool:
    """Whether no more answers can come, because some declined."""
    if not mine.declines or (batch.one(sql.OTHERS_AT_IT, **mine.object, id=mine.id) or (0,))[0]:
        return False
    free = (batch.one(sql.FREE_PLACES, **mine.object) or (0,))[0]
    return not free or not _somebody_is_left(db, batch, mine)


def _somebody_is_left(db: Database, batch: Batch, mine: Mine) -> bool:
    """Whether anybody could still be asked about the object. Of a job that is being stopped, it ends unasked."""
    status, _ended_at = hold_off_end(batch, mine.facts)
    members = batch.all(sql.NOT_ASKED_YET, workteam=mine.facts.workteam, **mine.object)
    return status != "InProgress" or any(may_work(db, worker_id, mine.facts.id) for (worker_id,) in members)


def _declined(batch: Batch, mine: Mine) -> str:
    reasons = sorted({str(row[0]) for row in batch.all(sql.REASONS, **mine.object)})
    return f"Declined by {mine.declines + 1} workers: {'; '.join(reasons)}"[:1024]
