"""What a worker sees of their own work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy import select

from trueground.service.store.database import Database, now
from trueground.service.store.tables import answers, assignments, job_workers, labeling_jobs

DAYS = 14
GOLD_FROM = 10
"""Gold objects seen before a worker is told how they did. With fewer, they could tell which objects were gold."""
GOLD_STEPS = 20
"""For the same reason the accuracy is rounded to twentieths."""


@dataclass(frozen=True, slots=True)
class OwnJob:
    """One worker's part in a job."""

    name: str
    title: str
    kind: str
    is_open: bool
    answers: int
    median_seconds: float
    last_at: datetime
    gold_accuracy: float | None


@dataclass(frozen=True, slots=True)
class OwnStatistics:
    """One worker's work."""

    answers: int
    today: int
    median_seconds: float | None
    seconds: float
    """Of work altogether."""
    days: Sequence[tuple[date, int]]
    """Answers a day (UTC), the last fourteen days."""
    jobs: Sequence[OwnJob]
    """The one with the newest answer first."""


def own_statistics(db: Database, worker_id: str) -> OwnStatistics:
    """What a worker has done so far."""
    with db.read() as connection:
        mine = select(assignments.c.job_id).where(assignments.c.worker_id == worker_id).distinct()
        jobs = connection.execute(
            select(
                labeling_jobs.c.id,
                labeling_jobs.c.name,
                labeling_jobs.c.kind,
                labeling_jobs.c.request,
                labeling_jobs.c.status,
                job_workers.c.gold_seen,
                job_workers.c.gold_right,
            )
            .outerjoin(
                job_workers,
                (job_workers.c.job_id == labeling_jobs.c.id) & (job_workers.c.worker_id == worker_id),
            )
            .where(labeling_jobs.c.id.in_(mine))
        ).all()
        rows = connection.execute(
            select(answers.c.job_id, answers.c.assignment_id, answers.c.seconds, answers.c.submitted_at)
            .where(answers.c.job_id.in_([job.id for job in jobs]), answers.c.worker_id == worker_id)
            .order_by(answers.c.revision)
        ).all()
    last_revision = {row.assignment_id: row for row in rows}.values()
    by_job: dict[int, list[Any]] = {}
    for row in last_revision:
        by_job.setdefault(row.job_id, []).append(row)
    today = now().astimezone(UTC).date()
    a_day = Counter(row.submitted_at.date() for row in last_revision)
    seconds = [row.seconds for row in last_revision]
    return OwnStatistics(
        answers=len(seconds),
        today=a_day[today],
        median_seconds=median(seconds) if seconds else None,
        seconds=sum(seconds),
        days=[(day, a_day[day]) for day in (today - timedelta(back) for back in range(DAYS - 1, -1, -1))],
        jobs=sorted(
            (_own_job(job, by_job[job.id]) for job in jobs if job.id in by_job),
            key=lambda job: job.last_at,
            reverse=True,
        ),
    )


def _own_job(job: Any, given: Sequence[Any]) -> OwnJob:
    human = job.request.get("HumanTaskConfig") or job.request.get("HumanLoopConfig") or {}
    accuracy = None
    if (job.gold_seen or 0) >= GOLD_FROM:
        accuracy = round(job.gold_right / job.gold_seen * GOLD_STEPS) / GOLD_STEPS
    return OwnJob(
        name=job.name,
        title=human.get("TaskTitle", job.name),
        kind=job.kind,
        is_open=job.status == "InProgress",
        answers=len(given),
        median_seconds=median(row.seconds for row in given),
        last_at=max(row.submitted_at for row in given),
        gold_accuracy=accuracy,
    )
