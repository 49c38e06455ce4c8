"""Who gets which task next: a leased queue over a job's data objects.

An object has N free places. A lease takes one; an answer keeps it; a lease that runs out or is given back frees it
again and marks the object as returned. Each worker has a cursor in each job: up to there, every object was given to
them or had no free place. So the next object is the first free one beyond the cursor, and when there is none, a
returned one before it: the cost does not grow with the job.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, case, exists, func, insert, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from trueground.service.engine import visibility
from trueground.service.engine.errors import Closed, NotYours
from trueground.service.store.database import Database, now
from trueground.service.store.tables import answers, assignments, data_objects, job_workers, labeling_jobs

HELD_AT_ONCE = 2
"""Leases a worker may hold in one job: the task on the screen, and the one fetched ahead."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One lease: this object, this worker, until then."""

    id: str
    job_id: int
    job_name: str
    position: int
    """Line in the manifest from 0; as text it is AWS's ``datasetObjectId``."""
    worker_id: str
    leased_at: datetime
    expires_at: datetime
    state: str = "leased"


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """What became of a submit. ``repeated``: it was answered before, and nothing changed."""

    job_name: str
    answered_by_me: int
    repeated: bool = False
    object_complete: bool = False


def next_assignment(db: Database, worker_id: str, job_name: str | None = None) -> Assignment | None:
    """Lease the next data object to a worker.

    Without ``job_name``: from the oldest job that has work for them. A worker who already holds two leases in the
    job gets the older one back. ``None`` where nothing is left for them (now: a lease of someone else may come back).
    """


def get_assignment(db: Database, assignment_id: str, worker_id: str) -> Assignment:
    """An assignment of this worker, whatever its state. Raises :class:`NotYours`."""


def submit_answer(
    db: Database, assignment_id: str, worker_id: str, content: Mapping[str, Any], seconds: float
) -> SubmitResult:
    """Keep a worker's answer. When this returns, the answer is on disk.

    Raises:
        NotYours: no such assignment, or another worker's.
        Closed: the lease ran out or was given back, or the job has ended. Nothing was changed.
    """


def release(db: Database, assignment_id: str, worker_id: str) -> None:
    """Give a lease back unanswered; without effect on one that is no longer held. Raises :class:`NotYours`."""


def expire_leases(db: Database, job_id: int | None = None) -> int:
    """Put objects whose lease ran out back into the queue; returns how many."""
