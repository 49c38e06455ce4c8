"""How a labeling job ends: no more answers, then its output, then its last status. Each step is one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from trueground.service.engine import events
from trueground.service.engine.job_rows import EXPIRED, OPEN, count_states, end_of_open_objects
from trueground.service.engine.jobs import resource
from trueground.service.engine.output import NO_LABEL
from trueground.service.store.bulk import in_parts
from trueground.service.store.database import now
from trueground.service.store.tables import IS_LEASED, answers, assignments, data_objects, labeling_jobs

NOTHING_LABELED = "No data object was labeled before the task availability lifetime ended"


def end(connection: Connection, job: Row[Any], *, failing: bool, because: str | None = None) -> None:
    """Take no more answers. What has at least one is labeled from those; the rest fails, or stays unlabeled.

    ``because``: why the job is stopped and fails as a whole.
    """
    query = select(labeling_jobs.c.ended_at).where(labeling_jobs.c.id == job.id).with_for_update()
    if connection.scalar(query) is not None:
        return
    expires_all = failing and job.auto_accuracy is not None
    connection.execute(update(assignments).where(assignments.c.job_id == job.id, IS_LEASED).values(state="expired"))
    connection.execute(
        update(data_objects)
        # Those that no round of automated labeling came to are over as well.
        .where(data_objects.c.job_id == job.id, data_objects.c.state.in_((*OPEN, "withheld") if expires_all else OPEN))
        .values(**end_of_open_objects(EXPIRED if failing else None))
    )
    if job.streaming:
        # What was labeled was handed out, and cannot be edited.
        _set_ended(connection, job, because)
        return
    # An edit may have come while the file was being written. From now on there are none, so it is written once more.
    edited = select(answers.c.position).where(answers.c.job_id == job.id, answers.c.revision > 0)
    connection.execute(
        update(data_objects)
        .where(data_objects.c.job_id == job.id, data_objects.c.state == "written", data_objects.c.position.in_(edited))
        .values(state="answered")
    )
    _set_ended(connection, job, because)


def _set_ended(connection: Connection, job: Row[Any], because: str | None) -> None:
    connection.execute(
        update(labeling_jobs)
        .where(labeling_jobs.c.id == job.id)
        .values(ended_at=now(), modified_at=now(), failure_reason=because)
    )


def complete(connection: Connection, job: Row[Any], unlabeled: list[int]) -> None:
    """All files are there: say so."""
    current = connection.execute(
        select(labeling_jobs.c.status, labeling_jobs.c.stop_requested_at, labeling_jobs.c.failure_reason)
        .where(labeling_jobs.c.id == job.id)
        .with_for_update()
    ).one()
    if current.status not in ("InProgress", "Stopping"):
        return
    for some in in_parts(unlabeled):
        these = (data_objects.c.job_id == job.id) & data_objects.c.position.in_(some)
        connection.execute(update(data_objects).where(these).values(state="failed", failure_reason=NO_LABEL))
    counts = count_states(connection, job.id)
    reason = current.failure_reason or _nothing_labeled(connection, job, counts)
    stopped = current.stop_requested_at is not None or counts.get("withheld")
    close(connection, job, "Failed" if reason else "Stopped" if stopped else "Completed", reason)


def close(connection: Connection, job: Row[Any], status: str, reason: str | None) -> None:
    """The job's last status, and the event that tells of it; once."""
    at = now()
    closed = connection.execute(
        update(labeling_jobs)
        .where(labeling_jobs.c.id == job.id, labeling_jobs.c.status.in_(("InProgress", "Stopping")))
        .values(status=status, failure_reason=reason, modified_at=at)
    )
    if closed.rowcount:
        detail = {"LabelingJobStatus": status}
        events.record(connection, resource=resource(job.name), detail_type=events.LABELING_JOB, detail=detail, at=at)


def _nothing_labeled(connection: Connection, job: Row[Any], counts: Mapping[str, int]) -> str | None:
    """Why a job failed whose objects all did. ``counts``: its objects by state."""
    if not counts.get("failed") or any(counts.get(state) for state in ("written", "labeled", "machine")):
        return None
    this = (data_objects.c.job_id == job.id) & (data_objects.c.state == "failed")
    query = select(data_objects.c.failure_reason).where(this).group_by(data_objects.c.failure_reason)
    reason: str = connection.scalars(query.order_by(func.count().desc(), data_objects.c.failure_reason)).first() or ""
    return NOTHING_LABELED if reason == EXPIRED else reason
