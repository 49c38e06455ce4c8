"""How far jobs are, and who did what: what the portal shows."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, exists, func, literal_column, select

from trueground.service.engine import part_answered, tags
from trueground.service.engine.errors import NotFound, NotYours
from trueground.service.engine.functions import find_task_type, task_input
from trueground.service.engine.job_rows import OPEN, count_states, find_job
from trueground.service.engine.jobs import resource
from trueground.service.engine.visibility import open_jobs
from trueground.service.store.database import Database
from trueground.service.store.tables import (
    ASKED,
    IS_LEASED,
    answers,
    assignments,
    data_objects,
    job_workers,
    labeling_jobs,
    workers,
)
from trueground.tasks.base import Answer, TaskType

NOT_ASKED = ("labeled", "machine", "withheld")
"""The states of data objects that people are not asked about."""


@dataclass(frozen=True, slots=True)
class Work:
    """One job as a worker sees it in the list of work."""

    name: str
    title: str
    description: str
    keywords: tuple[str, ...]
    objects: int
    """Data objects that people are asked about."""
    answered: int
    """Those that have all their answers."""
    answered_by_me: int
    available: int
    """Objects this worker could still get now, with those that they hold."""
    open: int = 0
    """Objects that may still get answers, of this worker or others."""
    held: int = 0
    """Tasks that this worker has open, or had when they left: not those that are put aside."""
    kind: str = "labeling"
    """``labeling``, or ``review`` for the human loops of a flow definition."""
    priority: int = 0
    paused: str | None = None
    """Why this worker gets no more tasks of the job."""
    qualification: tuple[int, int] | None = None
    """How many tasks of the round before the work itself are answered, and how many it has; ``None`` without one, or
    after it."""


@dataclass(frozen=True, slots=True)
class WorkerProgress:
    """What one worker did in a job."""

    worker_id: str
    username: str
    name: str
    answers: int
    median_seconds: float
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class JobProgress:
    """One job as a manager sees it."""

    name: str
    title: str
    description: str
    status: str
    failure_reason: str | None
    workteam: str
    created_at: datetime
    ended_at: datetime | None
    objects: int
    answered: int
    """Objects with all their answers."""
    in_work: int
    """Objects handed out at least once that miss answers."""
    failed: int
    already_labeled: int
    machine: int
    """Those that automated labeling labeled."""
    withheld: int
    answers: int
    answers_wanted: int
    workers_per_object: int
    held: int
    """Leases held now."""
    unanswered: int = 0
    """Open objects without any answer."""
    part_answered: int = 0
    """Labeled objects with fewer answers than were asked for."""
    partly: int = 0
    """Open objects with some of their answers."""
    agreement: float | None = None
    """Krippendorff's alpha or what the task type defines; only from :func:`job_progress`."""
    workers: Sequence[WorkerProgress] = field(default_factory=tuple)
    """Only from :func:`job_progress`."""
    tags: dict[str, str] = field(default_factory=dict)
    kind: str = "labeling"
    """``labeling``, or ``review`` for human loops."""


@dataclass(frozen=True, slots=True)
class TaskView:
    """What a work page needs to show one assignment."""

    assignment_id: str
    job_name: str
    workteam: str
    expires_at: datetime
    template: str
    task_input: dict[str, Any]
    """``task.input`` of the template."""
    request: dict[str, Any]
    """The job's CreateLabelingJob request (title, description, keywords, time limit, …)."""
    categories: tuple[str, ...]
    label_config: dict[str, Any]
    """The label category configuration file."""


def work_for(db: Database, worker_id: str) -> list[Work]:
    """The open jobs of a worker's teams, the oldest first."""
    with db.read() as connection:
        found = [_work(connection, job, worker_id) for job in connection.execute(open_jobs(worker_id)).all()]
    # A flow definition never ends; it is work only while there is something to review.
    return [work for work in found if work.kind != "review" or work.open]


def jobs_overview(db: Database, *, workteam: str | None = None) -> list[JobProgress]:
    """All jobs, or one work team's, the newest first, without what needs a look at each answer."""
    query = select(labeling_jobs).where(labeling_jobs.c.kind == "labeling").order_by(labeling_jobs.c.created_at.desc())
    if workteam is not None:
        query = query.where(labeling_jobs.c.workteam == workteam)
    with db.read() as connection:
        return [_progress(connection, row) for row in connection.execute(query).all()]


def job_progress(db: Database, name: str) -> JobProgress:
    """One job with its workers and agreement. Raises :class:`NotFound`."""
    with db.read() as connection:
        job = find_job(connection, name)
        return replace(
            _progress(connection, job),
            workers=_workers(connection, job.id),
            agreement=_agreement(connection, job),
        )


def find_by_tags(db: Database, wanted: dict[str, str]) -> list[JobProgress]:
    """The jobs that carry all these tags, the newest first."""
    with db.read() as connection:
        found = tags.resources_with(connection, wanted)
        names = [name.removeprefix("labeling-job/") for name in found if name.startswith("labeling-job/")]
        query = select(labeling_jobs).where(labeling_jobs.c.name.in_(names), labeling_jobs.c.kind == "labeling")
        rows = connection.execute(query.order_by(labeling_jobs.c.created_at.desc())).all()
        return [_progress(connection, row) for row in rows]


def task_view(db: Database, assignment_id: str, worker_id: str) -> TaskView:
    """What to show for an assignment of this worker. Raises :class:`NotYours`."""
    with db.read() as connection:
        row = connection.execute(
            select(
                labeling_jobs,
                assignments.c.position,
                assignments.c.expires_at,
                data_objects.c.line,
                data_objects.c.task_input,
            )
            .join(assignments, assignments.c.job_id == labeling_jobs.c.id)
            .join(
                data_objects,
                (data_objects.c.job_id == assignments.c.job_id) & (data_objects.c.position == assignments.c.position),
            )
            .where(assignments.c.id == assignment_id, assignments.c.worker_id == worker_id)
        ).first()
    if row is None:
        raise NotYours("there is no such task among yours")
    return _task_view(row, assignment_id)


def preview(db: Database, job_id: int, position: int) -> TaskView:
    """What to show of an object before anybody takes it. Raises :class:`NotFound`."""
    query = (
        select(
            labeling_jobs,
            data_objects.c.position,
            labeling_jobs.c.available_until.label("expires_at"),
            data_objects.c.line,
            data_objects.c.task_input,
        )
        .join(data_objects, data_objects.c.job_id == labeling_jobs.c.id)
        .where(labeling_jobs.c.id == job_id, data_objects.c.position == position)
    )
    with db.read() as connection:
        row = connection.execute(query).first()
    if row is None:
        raise NotFound("there is no such task")
    return _task_view(row, "")


def _task_view(row: Row[Any], assignment_id: str) -> TaskView:
    return TaskView(
        assignment_id=assignment_id,
        job_name=row.name,
        workteam=row.workteam,
        expires_at=row.expires_at,
        template=row.template,
        task_input=(
            task_input(row.pre_function, json.loads(row.line), row.categories)
            if row.task_input is None
            else row.task_input
        ),
        request=row.request,
        categories=tuple(row.categories),
        label_config=row.label_config,
    )


# All, and those that are no gold objects: what is left to do does not tell of these.
_HELD = (
    select(func.count(), func.count().filter(data_objects.c.state != "gold"))
    .select_from(assignments)
    .join(
        data_objects,
        (data_objects.c.job_id == assignments.c.job_id) & (data_objects.c.position == assignments.c.position),
    )
    .where(
        assignments.c.job_id == bindparam("job"),
        assignments.c.worker_id == bindparam("worker"),
        IS_LEASED,
        assignments.c.paused_at.is_(None),
    )
)


def _work(connection: Connection, job: Row[Any], worker_id: str) -> Work:
    human = job.request["HumanTaskConfig"]
    counts = count_states(connection, job.id)
    mine = exists(
        select(assignments.c.id).where(
            assignments.c.job_id == data_objects.c.job_id,
            assignments.c.position == data_objects.c.position,
            assignments.c.worker_id == worker_id,
            ASKED,
        )
    )
    free = select(func.count()).where(data_objects.c.job_id == job.id, data_objects.c.free > literal_column("0"), ~mine)
    held, counted = connection.execute(_HELD, {"job": job.id, "worker": worker_id}).one()
    me = connection.execute(
        select(job_workers).where(job_workers.c.job_id == job.id, job_workers.c.worker_id == worker_id)
    ).first()
    gold_seen = me.gold_seen if me else 0
    return Work(
        name=job.name,
        title=human["TaskTitle"],
        description=human["TaskDescription"],
        keywords=tuple(human.get("TaskKeywords", ())),
        objects=job.objects - sum(counts.get(state, 0) for state in NOT_ASKED),
        answered=counts.get("answered", 0) + counts.get("written", 0),
        answered_by_me=me.answered if me else 0,
        available=(connection.scalar(free) or 0) + counted,
        open=sum(counts.get(state, 0) for state in OPEN),
        held=held,
        kind=job.kind,
        priority=job.priority,
        paused=(me.pause_reason or "ask who runs the labeling") if me and me.paused_at else None,
        qualification=(gold_seen, job.qualification) if gold_seen < (job.qualification or 0) else None,
    )


def _progress(connection: Connection, job: Row[Any]) -> JobProgress:
    human = job.request["HumanTaskConfig"]
    counts = count_states(connection, job.id)
    given = select(func.count()).where(answers.c.job_id == job.id, answers.c.revision == literal_column("0"))
    held = select(func.count()).where(assignments.c.job_id == job.id, assignments.c.state == literal_column("'leased'"))
    started = counts.get("started", 0)
    some = select(func.count()).where(
        data_objects.c.job_id == job.id, data_objects.c.state == "started", data_objects.c.answers > 0
    )
    partly = (connection.scalar(some) or 0) if started else 0
    return JobProgress(
        name=job.name,
        title=human["TaskTitle"],
        description=human["TaskDescription"],
        status=job.status,
        failure_reason=job.failure_reason,
        workteam=job.workteam,
        created_at=job.created_at,
        ended_at=job.ended_at,
        objects=job.objects,
        answered=counts.get("answered", 0) + counts.get("written", 0),
        in_work=counts.get("started", 0),
        failed=counts.get("failed", 0),
        already_labeled=counts.get("labeled", 0),
        machine=counts.get("machine", 0),
        withheld=counts.get("withheld", 0),
        answers=connection.scalar(given) or 0,
        answers_wanted=(job.objects - sum(counts.get(state, 0) for state in NOT_ASKED)) * job.workers_per_object,
        workers_per_object=job.workers_per_object,
        held=connection.scalar(held) or 0,
        unanswered=started - partly + counts.get("waiting", 0) + counts.get("unprepared", 0),
        partly=partly,
        part_answered=_part_answered(connection, job),
        tags=tags.get(connection, resource(job.name)),
    )


def _part_answered(connection: Connection, job: Row[Any]) -> int:
    if not part_answered.was_cut_short(job):
        return 0
    some = select(func.count()).where(
        data_objects.c.job_id == job.id,
        data_objects.c.state.in_(("answered", "written")),
        data_objects.c.answers < data_objects.c.wanted,
    )
    return connection.scalar(some) or 0


def _workers(connection: Connection, job_id: int) -> tuple[WorkerProgress, ...]:
    """Who answered how much, the most diligent first."""
    seconds: dict[str, list[float]] = defaultdict(list)
    last: dict[str, datetime] = {}
    rows = connection.execute(
        select(answers.c.worker_id, answers.c.seconds, answers.c.submitted_at)
        .where(answers.c.job_id == job_id, is_last_revision())
        .order_by(answers.c.id)
    )
    for row in rows:
        seconds[row.worker_id].append(row.seconds)
        last[row.worker_id] = row.submitted_at
    people = connection.execute(select(workers).where(workers.c.id.in_(seconds))).all()
    found = [
        WorkerProgress(row.id, row.username, row.name, len(seconds[row.id]), median(seconds[row.id]), last[row.id])
        for row in people
    ]
    return tuple(sorted(found, key=lambda worker: (-worker.answers, worker.username)))


def _agreement(connection: Connection, job: Row[Any]) -> float | None:
    task_type = find_task_type(job.post_function) or find_task_type(job.pre_function)
    if task_type is None:
        return None
    rows = connection.execute(
        select(answers).where(answers.c.job_id == job.id, is_last_revision()).order_by(answers.c.id)
    )
    return task_type.agreement(usable_answers(task_type, rows, job.categories), job.categories)


def counted_answers(job_id: int) -> Select[tuple[int, int, str, Any]]:
    """The answers of a job that stand (id, position, worker and content), with their assignments and objects joined."""
    return (
        select(answers.c.id, answers.c.position, answers.c.worker_id, answers.c.content)
        .join(assignments, assignments.c.id == answers.c.assignment_id)
        .join(
            data_objects,
            (data_objects.c.job_id == answers.c.job_id) & (data_objects.c.position == answers.c.position),
        )
        .where(answers.c.job_id == job_id, assignments.c.state == "submitted", is_last_revision())
    )


def usable_answers(task_type: TaskType, rows: Iterable[Any], categories: Sequence[str]) -> list[Answer]:
    """Rows of answers as the task type takes them, without those that it cannot read."""
    return [
        Answer(str(row.position), row.worker_id, row.content)
        for row in rows
        if task_type.can_parse(row.content, categories)
    ]


def is_last_revision() -> ColumnElement[bool]:
    """Whether a row of ``answers`` is how its worker left it: of an edited answer, the last edit."""
    newer = answers.alias()
    later = select(newer.c.id).where(
        newer.c.assignment_id == answers.c.assignment_id, newer.c.revision > answers.c.revision
    )
    return ~exists(later)
