"""Pausing a worker in one job: they get no more of its tasks until they are let back in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, exists, select, update

from trueground.service.engine import audit_log
from trueground.service.engine.errors import Invalid, NotFound
from trueground.service.store.database import Database, insert_or_ignore, now
from trueground.service.store.tables import job_workers, labeling_jobs, worker_groups, workers, workteam_groups

LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class Member:
    """Someone who may work on a job, or has."""

    worker_id: str
    username: str
    name: str
    answered: int
    paused_at: datetime | None
    pause_reason: str | None


def members(db: Database, job_name: str) -> list[Member]:
    """Who is in a labeling job's team or has worked on it, by user name. Raises :class:`NotFound`."""
    with db.read() as connection:
        job_id, workteam = _job(connection, job_name)
        in_team = exists(
            select(worker_groups.c.worker_id)
            .join(workteam_groups, workteam_groups.c.group_name == worker_groups.c.group_name)
            .where(workteam_groups.c.workteam == workteam, worker_groups.c.worker_id == workers.c.id)
        )
        mine = (job_workers.c.worker_id == workers.c.id) & (job_workers.c.job_id == job_id)
        query = (
            select(workers, job_workers.c.answered, job_workers.c.paused_at, job_workers.c.pause_reason)
            .outerjoin(job_workers, mine)
            .where((in_team & workers.c.disabled_at.is_(None)) | job_workers.c.worker_id.is_not(None))
            .order_by(workers.c.username)
        )
        return [
            Member(row.id, row.username, row.name, row.answered or 0, row.paused_at, row.pause_reason)
            for row in connection.execute(query)
        ]


def pause(db: Database, job_name: str, worker_id: str, reason: str) -> None:
    """Give a worker no more tasks of a labeling job; those they hold they may still answer.

    Raises:
        NotFound: there is no such job, or the worker has nothing to do with it.
        Invalid: the reason is none, or too long.
    """
    reason = " ".join(reason.split())
    if not reason or len(reason) > LONGEST_REASON or "\0" in reason:
        raise Invalid(f"say why, in at most {LONGEST_REASON} characters of text: the worker sees it")
    _set(db, job_name, worker_id, "PauseWorker", {"paused_at": now(), "pause_reason": reason})


def resume(db: Database, job_name: str, worker_id: str) -> None:
    """Let a paused worker back in. Raises :class:`NotFound`."""
    _set(db, job_name, worker_id, "ResumeWorker", {"paused_at": None, "pause_reason": None})


def _set(db: Database, job_name: str, worker_id: str, act: str, values: dict[str, object]) -> None:
    if worker_id not in {member.worker_id for member in members(db, job_name)}:
        raise NotFound("this worker has nothing to do with the job")
    with db.write() as connection:
        job_id, _ = _job(connection, job_name)
        row = {"job_id": job_id, "worker_id": worker_id, "cursor": -1}
        connection.execute(insert_or_ignore(connection, job_workers, row))
        mine = (job_workers.c.job_id == job_id) & (job_workers.c.worker_id == worker_id)
        connection.execute(update(job_workers).where(mine).values(**values))
        detail = {"job": f"labeling-job/{job_name}"}
        audit_log.record(connection, act=act, resource=f"worker/{worker_id}", detail=detail)


def _job(connection: Connection, name: str) -> tuple[int, str]:
    query = select(labeling_jobs.c.id, labeling_jobs.c.workteam).where(
        labeling_jobs.c.name == name, labeling_jobs.c.kind == "labeling"
    )
    row = connection.execute(query).first()
    if row is None:
        raise NotFound(f"there is no labeling job {name!r}")
    return row.id, row.workteam
