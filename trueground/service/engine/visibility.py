"""Which jobs a worker may see: those of their work teams that are open."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, exists, select

from trueground.service.store.database import now
from trueground.service.store.tables import labeling_jobs, worker_groups, workteam_groups


def is_member(worker_id: str) -> ColumnElement[bool]:
    """Whether the worker is in the job's work team: one of their groups is one of the team's."""
    return exists(
        select(workteam_groups.c.workteam)
        .join(worker_groups, worker_groups.c.group_name == workteam_groups.c.group_name)
        .where(workteam_groups.c.workteam == labeling_jobs.c.workteam, worker_groups.c.worker_id == worker_id)
    )


def open_jobs(worker_id: str, job_name: str | None = None) -> Select[tuple[object, ...]]:
    """Jobs in progress that the worker may see, the oldest first; or only the one of that name."""
    query = select(labeling_jobs).where(
        labeling_jobs.c.status == "InProgress", labeling_jobs.c.available_until > now(), is_member(worker_id)
    )
    if job_name is not None:
        query = query.where(labeling_jobs.c.name == job_name)
    return query.order_by(labeling_jobs.c.created_at, labeling_jobs.c.id)
