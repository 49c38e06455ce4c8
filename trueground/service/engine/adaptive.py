"""How many workers see an object: one more only while its label is not sure enough.

An easy object is done after the least number of answers, a hard one gets up to the most; so the same number of answers
is spent where it tells most. How sure a label is comes from the task type's own consolidation, which learns from the
other answers of the job how reliable each worker is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, select, text, update

from trueground.service.engine.assignment import may_work
from trueground.service.engine.functions import find_task_type
from trueground.service.engine.progress import counted_answers, usable_answers
from trueground.service.engine.queue_sql import NOT_ASKED_YET
from trueground.service.store.database import Database
from trueground.service.store.tables import IS_LEASED, answers, assignments, data_objects, labeling_jobs
from trueground.tasks.base import TaskType

NOWHERE = -1
"""The position of no object: nobody was asked about it."""
AT_ONCE = 500
BACKGROUND = 5000
"""The last answers of a job, from which workers' reliability is learned."""


def ask_more(db: Database, job: Row[Any], positions: Sequence[int]) -> set[int]:
    """Put back into the queue what has its answers and no sure label.

    Args:
        db: the store.
        job: the job's row.
        positions: objects that have the answers wanted so far.

    Returns:
        Those that one more worker is asked about.
    """
    task_type = find_task_type(job.post_function) or find_task_type(job.pre_function)
    if job.most_workers is None or task_type is None:
        return set()
    with db.read() as connection:
        query = select(data_objects.c.position).where(
            data_objects.c.job_id == job.id,
            data_objects.c.position.in_(positions),
            data_objects.c.answers >= data_objects.c.wanted,
            data_objects.c.wanted < job.most_workers,
        )
        open_to_more = list(connection.scalars(query.order_by(data_objects.c.position)))
        unsure = _unsure(connection, job, task_type, open_to_more) if open_to_more else []
        unsure = [position for position in unsure if _left_to_ask(db, connection, job, position)]
    if not unsure:
        return set()
    with db.write(routine=True) as connection:
        # The job's end takes its row for itself; what has ended is not opened again.
        ended = select(labeling_jobs.c.ended_at).where(labeling_jobs.c.id == job.id).with_for_update(read=True)
        if connection.scalar(ended) is not None:
            return set()
        connection.execute(
            update(data_objects)
            .where(
                data_objects.c.job_id == job.id,
                data_objects.c.position.in_(unsure),
                data_objects.c.state == "answered",
            )
            .values(wanted=data_objects.c.wanted + 1, free=data_objects.c.free + 1, returned=True, state="started")
        )
    return set(unsure)


def stop_waiting(db: Database, job: Row[Any]) -> None:
    """Let those answers be enough that there are, where nobody is left for one more: who was may be paused by now."""
    with db.read() as connection:
        working = len(_left_to_ask(db, connection, job, NOWHERE))
        if connection.execute(_waiting(job, working).limit(1)).first() is None:
            return
    with db.write(routine=True) as connection:
        # Nobody is given a task of the job meanwhile.
        ended = select(labeling_jobs.c.ended_at).where(labeling_jobs.c.id == job.id).with_for_update()
        if connection.scalar(ended) is not None:
            return
        waiting = connection.scalars(_waiting(job, working).limit(AT_ONCE)).all()
        over = [position for position in waiting if not _left_to_ask(db, connection, job, position)]
        these = (data_objects.c.job_id == job.id) & data_objects.c.position.in_(over)
        connection.execute(update(data_objects).where(these).values(state="answered", free=0))


def _waiting(job: Row[Any], working: int) -> Select[int]:
    """Objects with their least number of answers that nobody is at, and that all who work on the job may have seen."""
    held = exists(
        select(assignments.c.id).where(
            assignments.c.job_id == job.id, assignments.c.position == data_objects.c.position, IS_LEASED
        )
    )
    return select(data_objects.c.position).where(
        data_objects.c.job_id == job.id,
        data_objects.c.state == "started",
        data_objects.c.answers >= job.workers_per_object,
        data_objects.c.answers + data_objects.c.declines >= working,
        ~held,
    )


def _left_to_ask(db: Database, connection: Connection, job: Row[Any], position: int) -> list[str]:
    """Those who work on the job and were not asked about an object."""
    key = {"workteam": job.workteam, "job": job.id, "position": position}
    members = connection.scalars(text(NOT_ASKED_YET.sqlite), key).all()
    return [worker_id for worker_id in members if may_work(db, worker_id, job.id)]


def _unsure(connection: Connection, job: Row[Any], task_type: TaskType, positions: Sequence[int]) -> list[int]:
    usable = usable_answers(task_type, _answers(connection, job.id, positions), job.categories)
    sure = {
        int(label.object_id)
        for label in task_type.consolidate(usable, job.categories)
        if label.confidence >= job.confidence
    }
    return [position for position in positions if position not in sure]


def _answers(connection: Connection, job_id: int, positions: Sequence[int]) -> list[Any]:
    """What holds now of these objects, and the last answers of the job besides."""
    counted = counted_answers(job_id).where(data_objects.c.state != "gold")
    these = connection.execute(counted.where(answers.c.position.in_(positions))).all()
    others = connection.execute(
        counted.where(answers.c.position.not_in(positions)).order_by(answers.c.id.desc()).limit(BACKGROUND)
    ).all()
    return sorted(chain(these, others), key=lambda row: row.id)
