"""How far human loops are: of one flow definition, or those that one task of an Airflow run started.

The same figures as :mod:`.progress` and :mod:`.job_insight` have for labeling jobs, with loops for data objects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, select, true

from trueground.service.engine import origins, tags
from trueground.service.engine.errors import NotFound
from trueground.service.engine.flow_definitions import OPEN_LOOPS
from trueground.service.engine.flow_definitions import resource as flow_resource
from trueground.service.engine.job_insight import JobInsight, Share, answer_steps
from trueground.service.engine.origins import Origin
from trueground.service.engine.progress import JobProgress, WorkerProgress, is_last_revision
from trueground.service.store.database import Database
from trueground.service.store.tables import IS_LEASED, answers, assignments, human_loops, labeling_jobs, workers


@dataclass(frozen=True, slots=True)
class Review:
    """The human loops of one flow definition, or some of them, as a manager sees them."""

    progress: JobProgress
    insight: JobInsight
    runs: Sequence[Origin]
    """The runs of Airflow that started them, the newest first; at most 20."""


def reviews_overview(db: Database, *, workteam: str | None = None) -> list[JobProgress]:
    """The reviews of all flow definitions that were not deleted, or one work team's, the newest first."""
    query = _flows().order_by(labeling_jobs.c.created_at.desc())
    if workteam is not None:
        query = query.where(labeling_jobs.c.workteam == workteam)
    with db.read() as connection:
        return [_progress(connection, row, true()) for row in connection.execute(query).all()]


def review(db: Database, name: str) -> Review:
    """The reviews of one flow definition. Raises :class:`NotFound`."""
    with db.read() as connection:
        flow = connection.execute(_flows().where(labeling_jobs.c.name == name)).first()
        if flow is None:
            raise NotFound(f"there is no flow definition {name!r}")
        return _review(connection, flow, true())


def reviews_of_task(db: Database, origin: Origin) -> list[Review]:
    """The human loops that a task of Airflow started, by flow definition.

    Of a task that started none, those of its whole run: it may be the one that waits for them.
    """
    run = human_loops.c.origin_run == origin.run_key
    own = run & (human_loops.c.origin_task == origin.task_key)
    with db.read() as connection:
        for which in (own, run):
            jobs = select(human_loops.c.job_id).where(which).distinct()
            query = select(labeling_jobs).where(labeling_jobs.c.id.in_(jobs)).order_by(labeling_jobs.c.created_at)
            if flows := connection.execute(query).all():
                return [_review(connection, flow, which) for flow in flows]
    return []


def _flows() -> Select[tuple[Any, ...]]:
    return select(labeling_jobs).where(labeling_jobs.c.kind == "review", labeling_jobs.c.ended_at.is_(None))


def _review(connection: Connection, flow: Row[Any], which: ColumnElement[bool]) -> Review:
    progress = _progress(connection, flow, which, _workers(connection, flow.id, which))
    insight = JobInsight(
        priority=flow.priority,
        output=flow.request["OutputConfig"]["S3OutputPath"],
        steps=answer_steps(connection, _of_loops(flow.id, which, answers)),
        labels=(),
        failures=_failures(connection, flow.id, which),
        gold={},
        events=(),
        warnings=flow.warnings,
        rounds=(),
        promise=None,
    )
    return Review(progress, insight, _runs(connection, flow.id, which))


def _of_loops(job_id: int, which: ColumnElement[bool], table: Any) -> ColumnElement[bool]:
    """Whether a row of ``answers`` or ``assignments`` is of one of these loops."""
    loops = select(human_loops.c.position).where(human_loops.c.job_id == job_id, which)
    return and_(table.c.job_id == job_id, table.c.position.in_(loops))


def _progress(
    connection: Connection, flow: Row[Any], which: ColumnElement[bool], people: Sequence[WorkerProgress] = ()
) -> JobProgress:
    human = flow.request["HumanTaskConfig"]
    loops = human_loops.c.job_id == flow.id
    counts: dict[str, int] = dict(
        connection.execute(
            select(human_loops.c.status, func.count()).where(loops, which).group_by(human_loops.c.status)
        )
        .tuples()
        .all()
    )
    total = sum(counts.values())
    is_open = any(counts.get(status) for status in OPEN_LOOPS)
    given = select(func.count()).where(_of_loops(flow.id, which, answers), answers.c.revision == 0)
    held = select(func.count()).where(_of_loops(flow.id, which, assignments), IS_LEASED)
    ended = None if is_open else connection.scalar(select(func.max(human_loops.c.ended_at)).where(loops, which))
    stopped = counts.get("Stopped", 0)
    return JobProgress(
        name=flow.name,
        title=human["TaskTitle"],
        description=human["TaskDescription"],
        status="InProgress" if is_open else "Completed" if total else "Waiting",
        failure_reason=None,
        workteam=flow.workteam,
        created_at=flow.created_at,
        ended_at=ended,
        objects=total,
        answered=counts.get("Completed", 0),
        in_work=connection.scalar(
            select(func.count(assignments.c.position.distinct())).where(
                _of_loops(flow.id, which, assignments), IS_LEASED
            )
        )
        or 0,
        failed=counts.get("Failed", 0),
        already_labeled=0,
        machine=0,
        withheld=stopped,
        answers=connection.scalar(given) or 0,
        answers_wanted=(total - stopped) * flow.workers_per_object,
        workers_per_object=flow.workers_per_object,
        held=connection.scalar(held) or 0,
        workers=people,
        tags=tags.get(connection, flow_resource(flow.name)),
        kind="review",
    )


def _workers(connection: Connection, job_id: int, which: ColumnElement[bool]) -> tuple[WorkerProgress, ...]:
    seconds: dict[str, list[float]] = defaultdict(list)
    last: dict[str, datetime] = {}
    rows = connection.execute(
        select(answers.c.worker_id, answers.c.seconds, answers.c.submitted_at)
        .where(_of_loops(job_id, which, answers), is_last_revision())
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


def _failures(connection: Connection, job_id: int, which: ColumnElement[bool]) -> list[Share]:
    reason = func.coalesce(human_loops.c.failure_reason, "no reason was recorded").label("reason")
    query = (
        select(reason, func.count())
        .where(human_loops.c.job_id == job_id, human_loops.c.status == "Failed", which)
        .group_by(reason)
        .order_by(func.count().desc(), reason)
        .limit(20)
    )
    return [Share(text, count) for text, count in connection.execute(query)]


def _runs(connection: Connection, job_id: int, which: ColumnElement[bool]) -> list[Origin]:
    newest = func.max(human_loops.c.created_at)
    query = (
        select(human_loops.c.origin_run, func.min(human_loops.c.origin_task))
        .where(human_loops.c.job_id == job_id, human_loops.c.origin_run.is_not(None), which)
        .group_by(human_loops.c.origin_run)
        .order_by(newest.desc())
        .limit(20)
    )
    found = (origins.of_keys(run, task) for run, task in connection.execute(query))
    return [origin for origin in found if origin is not None]
