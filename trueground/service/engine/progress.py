"""How far jobs are, and who did what: what the portal shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from trueground.service.store.database import Database


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
    """Objects this worker could still get now."""


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
    withheld: int
    answers: int
    answers_wanted: int
    workers_per_object: int
    held: int
    """Leases held now."""
    agreement: float | None = None
    """Krippendorff's alpha or what the task type defines; only from :func:`job_progress`."""
    workers: Sequence[WorkerProgress] = field(default_factory=tuple)
    """Only from :func:`job_progress`."""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskView:
    """What a work page needs to show one assignment."""

    assignment_id: str
    job_name: str
    object_id: str
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


def jobs_overview(db: Database) -> list[JobProgress]:
    """All jobs, the newest first, without what needs a look at each answer."""


def job_progress(db: Database, name: str) -> JobProgress:
    """One job with its workers and agreement. Raises :class:`NotFound`."""


def find_by_tags(db: Database, wanted: dict[str, str]) -> list[JobProgress]:
    """The jobs that carry all these tags, the newest first."""


def task_view(db: Database, assignment_id: str, worker_id: str) -> TaskView:
    """What to show for a held assignment. Raises :class:`NotYours`."""
