"""What a worker holds right now: for a page that is opened again after a reload or a crash."""

from __future__ import annotations

from sqlalchemy import select

from trueground.service.engine.assignment import Assignment
from trueground.service.store.database import Database, now
from trueground.service.store.tables import assignments, labeling_jobs


def held_assignments(db: Database, worker_id: str, job_name: str) -> list[Assignment]:
    """The leases a worker holds in a job and has not put aside, the oldest first."""
    query = (
        select(assignments, labeling_jobs.c.name)
        .join(labeling_jobs, labeling_jobs.c.id == assignments.c.job_id)
        .where(
            assignments.c.worker_id == worker_id,
            assignments.c.state == "leased",
            assignments.c.paused_at.is_(None),
            assignments.c.expires_at > now(),
            labeling_jobs.c.name == job_name,
            labeling_jobs.c.status == "InProgress",
        )
        .order_by(assignments.c.leased_at)
    )
    with db.read() as connection:
        return [
            Assignment(row.id, row.job_id, row.name, row.position, worker_id, row.leased_at, row.expires_at)
            for row in connection.execute(query)
        ]
