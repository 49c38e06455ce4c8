"""Which jobs a worker may see: those of their work teams that are open."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BindParameter, ColumnElement, Select, case, exists, select

from trueground.service.engine.errors import NotYours
from trueground.service.rights import ROLES, may
from trueground.service.store.database import Database, now
from trueground.service.store.tables import (
    assignments,
    labeling_jobs,
    tags,
    worker_groups,
    workers,
    workteam_groups,
    workteams,
)

Worker = str | BindParameter[str]
"""A worker's id, or what it is put into when the query is run: one that is run all the time is built once."""


def is_member(worker_id: Worker) -> ColumnElement[bool]:
    """Whether the worker is in the job's work team: one of their groups is one of the team's."""
    return exists(
        select(workteam_groups.c.workteam)
        .join(worker_groups, worker_groups.c.group_name == workteam_groups.c.group_name)
        .where(workteam_groups.c.workteam == labeling_jobs.c.workteam, worker_groups.c.worker_id == worker_id)
    )


def may_enter(worker_id: Worker) -> ColumnElement[bool]:
    """Whether the job is for people like the worker: a vendor's are for its own jobs only, and a job with the tag
    ``trueground:role`` = ``reviewer`` is for reviewers and those above them.
    """
    kind = case((labeling_jobs.c.kind == "review", "flow-definition/"), else_="labeling-job/")
    for_reviewers = exists(
        select(tags.c.key)
        .where(
            tags.c.resource == kind + labeling_jobs.c.name,
            tags.c.key == "trueground:role",
            tags.c.value == "reviewer",
        )
        # Of the job outside, two selects up.
        .correlate(labeling_jobs)
    )
    return exists(
        select(workers.c.id).where(
            workers.c.id == worker_id,
            workers.c.disabled_at.is_(None),
            workers.c.vendor.is_(None) | (workers.c.vendor == labeling_jobs.c.workteam),
            workers.c.role.in_([role for role in ROLES if may(role, "review")]) | ~for_reviewers,
        )
    )


def open_jobs(
    worker_id: Worker, job_name: str | None = None, at: BindParameter[datetime] | None = None
) -> Select[tuple[object, ...]]:
    """Jobs in progress that the worker may see, or only the one of that name: by priority, the oldest first.

    ``at``: when the query is run, if that is not now.
    """
    query = select(labeling_jobs).where(
        labeling_jobs.c.status == "InProgress",
        labeling_jobs.c.available_until > (now() if at is None else at),
        is_member(worker_id),
        may_enter(worker_id),
    )
    if job_name is not None:
        query = query.where(labeling_jobs.c.name == job_name)
    return query.order_by(labeling_jobs.c.priority.desc(), labeling_jobs.c.created_at, labeling_jobs.c.id)


def may_stay(worker_id: str) -> ColumnElement[bool]:
    """Whether tasks of the job that the worker was given are still theirs: not where their account is closed, or they
    left the work team. Nobody is a member of the public's teams.
    """
    public = exists(
        select(workteams.c.name).where(workteams.c.name == labeling_jobs.c.workteam, workteams.c.kind == "public")
    )
    return (public | is_member(worker_id)) & may_enter(worker_id)


def check_link(db: Database, assignment_id: str, worker_id: str) -> None:
    """Raise :class:`NotYours` where :func:`may_look` says no."""
    if not may_look(db, assignment_id, worker_id):
        raise NotYours("there is no such task among yours")


def may_look(db: Database, assignment_id: str, worker_id: str) -> bool:
    """Whether a worker may still see a task that they were given; see :func:`may_stay`."""
    if not assignment_id.isprintable():
        return False
    query = (
        select(assignments.c.id)
        .join(labeling_jobs, labeling_jobs.c.id == assignments.c.job_id)
        .where(
            assignments.c.id == assignment_id,
            assignments.c.worker_id == worker_id,
            may_stay(worker_id),
        )
    )
    with db.read() as connection:
        return connection.execute(query).first() is not None
