"""Gold objects: data objects whose label is known, mixed unseen among a worker's tasks.

They are data objects of the job in the state ``gold``, behind those of the manifest, and never in its output.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select, update

from trueground.errors import InputError
from trueground.service.engine.errors import Invalid
from trueground.service.engine.functions import find_task_type
from trueground.service.engine.job_options import JobOptions
from trueground.service.engine.job_request import JobPlan
from trueground.service.engine.manifest import read_lines
from trueground.service.engine.memory import JobFacts
from trueground.service.engine.output_files import to_json
from trueground.service.store.database import Database
from trueground.service.store.tables import assignments, data_objects, job_workers, labeling_jobs
from trueground.storage import Storage
from trueground.tasks.base import AnswerError

GOLD_AT_MOST = 10_000
SET_ASIDE = "The worker was paused for their answers to objects whose label is known."
"""Why an answer counts no more."""
SEEN_AT_LEAST = 5
"""Gold objects that a worker has answered before anything follows from them."""


def is_due(facts: JobFacts, worker_id: str, progress: tuple[int, int, int]) -> bool:
    """Whether the worker's next task is to be a gold object: all of a qualification round, later a share of them.

    Args:
        facts: the job.
        worker_id: the worker.
        progress: their cursor, the gold objects they have answered, and the tasks they hold. The choice follows from
            these, so asking again does not change it, and it looks random.
    """
    if progress[1] < facts.qualification:
        return True
    if not facts.gold_share:
        return False
    digest = hashlib.blake2b(f"{facts.id}/{worker_id}/{progress}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) < facts.gold_share * 2**32


def turn_of(worker_id: str, seen: int) -> int:
    """Shuffles the order in which a worker gets the gold objects, below 1009: not all begin with the same."""
    return int.from_bytes(hashlib.blake2b(f"{worker_id}/{seen}".encode(), digest_size=2).digest()) % 1009


def is_right(facts: JobFacts, expected: str | None, content: Mapping[str, Any]) -> bool:
    """Whether an answer says what is known (``expected``: the value, as JSON)."""
    task_type = find_task_type(facts.post_function) or find_task_type(facts.pre_function)
    if task_type is None or expected is None:
        return True
    try:
        return bool(task_type.parse_answer(content, facts.categories) == json.loads(expected))
    except AnswerError:
        return False


def reason_to_pause(facts: JobFacts, seen: int, right: int) -> str | None:
    """Why a worker with these results gets no more tasks of the job, ``None`` if they may go on."""
    if not _is_below(facts.gold_limit, facts.qualification, seen, right):
        return None
    what = "the qualification round" if seen <= facts.qualification else "tasks with known answers"
    return f"{right} of {seen} answers in {what} were right, which is below the limit of {facts.gold_limit:.0%}"


def _is_below(limit: float | None, qualification: int, seen: int, right: int) -> bool:
    """Whether somebody with these results is not to go on."""
    needed = max(qualification, 1) if seen <= qualification else SEEN_AT_LEAST
    return limit is not None and seen >= needed and right < limit * seen


def shown_id(facts: JobFacts, position: int) -> str:
    """The id of an object as workers see it. That of a gold object looks like any other."""
    if position < facts.objects or facts.streaming or facts.kind == "review":
        return str(position)
    digest = hashlib.blake2b(f"{facts.id}/{position}".encode(), digest_size=8).digest()
    return str(int.from_bytes(digest) % max(facts.objects, 1))


@dataclass(frozen=True, slots=True)
class GoldObject:
    """One data object of a gold manifest."""

    line: str
    """The manifest line without its label."""
    label: str
    """The value that is right, as JSON."""


def read_gold(plan: JobPlan, options: JobOptions, storage: Storage) -> Iterator[GoldObject]:
    """The gold objects of a job that is being created; none where it asks for none.

    Raises:
        Invalid: the job's task type does not know labels, or there are too few or too many objects.
        InputError: a line cannot be read or carries no label; it names file and line.
    """
    if options.gold is None:
        return
    task_type = find_task_type(plan.post_function) or find_task_type(plan.pre_function)
    if task_type is None:
        raise Invalid("trueground:gold needs a built-in task type: labels of your own cannot be compared here")
    count = 0
    for number, line in enumerate(read_lines(storage, options.gold, plan.check_object), start=1):
        label = task_type.read_label(line.content, plan.attribute, plan.categories)
        if label is None:
            raise InputError("a gold object must carry its label", file=options.gold, line=number, field=plan.attribute)
        hidden = (plan.attribute, f"{plan.attribute}-metadata")
        content = {key: value for key, value in line.content.items() if key not in hidden}
        count += 1
        yield GoldObject(to_json(content).decode(), json.dumps(label.value))
    if not (options.qualification or 1) <= count <= GOLD_AT_MOST:
        least = f"at least {options.qualification or 1}" if count < GOLD_AT_MOST else f"at most {GOLD_AT_MOST}"
        raise Invalid(f"{options.gold} holds {count} gold objects; there must be {least}")


def set_aside_answers(db: Database, job_id: int) -> int:
    """Ask others about what workers answered who were paused for their gold objects; returns how many answers.

    Their answers stay in the store, and count no more. Only for jobs whose policy is ``ask-again``.
    """
    query = (
        select(
            assignments.c.id,
            assignments.c.position,
            labeling_jobs.c.gold_limit,
            labeling_jobs.c.qualification,
            job_workers.c.gold_seen,
            job_workers.c.gold_right,
        )
        .join(labeling_jobs, labeling_jobs.c.id == assignments.c.job_id)
        .join(job_workers, (job_workers.c.job_id == assignments.c.job_id) & _same_worker())
        .join(data_objects, (data_objects.c.job_id == assignments.c.job_id) & _same_position())
        .where(
            assignments.c.job_id == job_id,
            assignments.c.state == "submitted",
            job_workers.c.paused_at.is_not(None),
            job_workers.c.gold_seen > 0,
            data_objects.c.state != "gold",
        )
        .order_by(assignments.c.position)
    )
    with db.read() as connection:
        # Managers pause workers too, for other reasons.
        found = [
            row
            for row in connection.execute(query)
            if _is_below(row.gold_limit, row.qualification or 0, row.gold_seen, row.gold_right)
        ]
    if not found:
        return 0
    with db.write(routine=True) as connection:
        # The job's end takes its row for itself, and what has ended is not opened again.
        job = select(labeling_jobs.c.ended_at).where(labeling_jobs.c.id == job_id).with_for_update()
        if connection.scalar(job) is not None:
            return 0
        for row in found:
            changed = connection.execute(
                update(assignments)
                .where(assignments.c.id == row.id, assignments.c.state == "submitted")
                .values(state="discarded", reason=SET_ASIDE)
            )
            if changed.rowcount:
                connection.execute(
                    update(data_objects)
                    .where(data_objects.c.job_id == job_id, data_objects.c.position == row.position)
                    .values(
                        answers=data_objects.c.answers - 1, free=data_objects.c.free + 1, returned=True, state="started"
                    )
                )
    return len(found)


def _same_worker() -> ColumnElement[bool]:
    return job_workers.c.worker_id == assignments.c.worker_id


def _same_position() -> ColumnElement[bool]:
    return data_objects.c.position == assignments.c.position
