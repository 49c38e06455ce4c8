"""People of Mechanical Turk: accounts that tell nobody who they are, and what they hand in.

Mechanical Turk opens our page with ids that nobody signed: whoever knows the page's address could invent them. So what
is handed in is kept, but counts as an answer only once Mechanical Turk itself says that this worker handed it in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, select, update

from trueground.service.engine import answering, assignment, leasing
from trueground.service.engine.assignment import Assignment
from trueground.service.engine.errors import Closed, Invalid, NotFound
from trueground.service.engine.memory import memory_of
from trueground.service.engine.output_rows import PUBLIC
from trueground.service.engine.public_request import TEAM
from trueground.service.security import SecretBox
from trueground.service.store.database import Database, insert_or_ignore, now
from trueground.service.store.tables import (
    assignments,
    data_objects,
    drafts,
    labeling_jobs,
    public_tasks,
    worker_groups,
    workers,
    workteam_groups,
    workteams,
)

SOURCE = PUBLIC
CONFIRMING_SECONDS = 900
"""How long a place is kept for what was handed in, until Mechanical Turk confirms it."""


@dataclass(frozen=True, slots=True)
class PublicTask:
    """One data object as Mechanical Turk shows it."""

    job_id: int
    position: int
    request: Mapping[str, Any]
    hit_id: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker has of a task. ``lease``: to be answered; else handed in already, or nothing was free."""

    lease: Assignment | None
    handed_in: bool = False


def create_public_team(db: Database) -> None:
    """The work team of the public workforce; its one group has the accounts that :func:`worker_of` makes."""
    created = now()
    values = {
        "name": TEAM,
        "kind": "public",
        "description": "Amazon Mechanical Turk",
        "request": {"WorkteamName": "default", "MemberDefinitions": [], "Description": "Amazon Mechanical Turk"},
        "created_at": created,
        "updated_at": created,
    }
    with db.write() as connection:
        connection.execute(insert_or_ignore(connection, workteams, values))
        connection.execute(insert_or_ignore(connection, workteam_groups, {"workteam": TEAM, "group_name": TEAM}))


def worker_of(db: Database, box: SecretBox, turk_worker: str) -> str:
    """The worker id here of somebody at Mechanical Turk; the account is made when they first come.

    A keyed hash: the same person is the same worker in every job, and nobody without the key learns who it is.
    """
    subject = box.pseudonym("mturk worker", turk_worker)
    worker_id = subject[:16]
    values = {
        "id": worker_id,
        # Its colon keeps it apart from the user names that people choose.
        "username": f"mturk:{worker_id}",
        "name": "Mechanical Turk worker",
        "role": "worker",
        "source": SOURCE,
        "subject": subject,
        # Mechanical Turk tells them of work itself.
        "notices_off_at": now(),
        "created_at": now(),
    }
    with db.read() as connection:
        if connection.scalar(select(workers.c.id).where(workers.c.id == worker_id)) is not None:
            return worker_id
    with db.write() as connection:
        connection.execute(insert_or_ignore(connection, workers, values))
        member = {"worker_id": worker_id, "group_name": TEAM}
        connection.execute(insert_or_ignore(connection, worker_groups, member))
    return worker_id


def public_task(db: Database, job_id: int, position: int) -> PublicTask:
    """A task at Mechanical Turk. Raises :class:`NotFound`."""
    query = (
        select(public_tasks, labeling_jobs.c.request)
        .join(labeling_jobs, labeling_jobs.c.id == public_tasks.c.job_id)
        .where(public_tasks.c.job_id == job_id, public_tasks.c.position == position)
    )
    with db.read() as connection:
        row = connection.execute(query).first()
    if row is None:
        raise NotFound("there is no such task")
    return PublicTask(row.job_id, row.position, row.request, row.hit_id)


def take(db: Database, worker_id: str, task: PublicTask) -> Place:
    """A place at this task for a worker who has accepted it at Mechanical Turk; the same one if they come again."""
    mine = latest(db, task.job_id, task.position, worker_id)
    if mine is not None and (mine.state == "submitted" or mine.draft is not None):
        return Place(None, handed_in=True)
    return Place(leasing.lease_object(db, worker_id, task.job_id, task.position))


def hand_in(db: Database, assignment_id: str, worker_id: str, content: Mapping[str, Any], seconds: float) -> None:
    """Keep what a worker handed in. When this returns it is on disk; handed in again, the first one holds.

    Raises:
        NotYours: no such assignment, or another worker's.
        Closed: the time for it is over.
        Invalid: it cannot be kept.
    """
    answering.content_as_text(content, seconds)
    answering.check_not_empty(content)
    lease = assignment.get_assignment(db, assignment_id, worker_id)
    if lease.state == "submitted":
        return
    if (problem := answering.problem_of(memory_of(db).facts(lease.job_id), content)) is not None:
        raise Invalid(problem)
    kept_until = now() + timedelta(seconds=CONFIRMING_SECONDS)
    with db.write() as connection:
        mine = (assignments.c.id == assignment_id) & (assignments.c.state == "leased")
        held = update(assignments).where(mine, assignments.c.expires_at > now()).values(expires_at=kept_until)
        if connection.execute(held).rowcount == 0:
            raise Closed("expired", "The time for this task is over; this answer was not taken.")
        values = {"assignment_id": assignment_id, "content": dict(content), "seconds": seconds, "saved_at": now()}
        connection.execute(insert_or_ignore(connection, drafts, values))


def confirm(db: Database, task: PublicTask, worker_id: str) -> bool:
    """Make what a worker handed in an answer, now that Mechanical Turk says it was they; may be repeated.

    Returns:
        Whether we have what they handed in, so that they have earned their reward.
    """
    mine = latest(db, task.job_id, task.position, worker_id)
    if mine is None:
        return False
    if mine.state == "submitted":
        return True
    if mine.draft is None:
        return False
    lease_id = mine.id
    if mine.state != "leased" or mine.expires_at <= now():
        # Mechanical Turk was slow, and the place was given up: another one, if there is one left.
        lease = leasing.lease_object(db, worker_id, task.job_id, task.position)
        if lease is None:
            return True
        lease_id = lease.id
    try:
        answering.submit_answer(db, lease_id, worker_id, mine.draft, mine.seconds)
    except (Closed, Invalid):
        # Too late for the job, but not for the worker, who did what was asked.
        return True
    return True


def latest(db: Database, job_id: int, position: int, worker_id: str) -> Row[Any] | None:
    """The last assignment of a worker at an object, with what was handed in."""
    query = (
        select(assignments, drafts.c.content.label("draft"), drafts.c.seconds)
        .join(
            data_objects,
            (data_objects.c.job_id == assignments.c.job_id) & (data_objects.c.position == assignments.c.position),
        )
        .outerjoin(drafts, drafts.c.assignment_id == assignments.c.id)
        .where(assignments.c.job_id == job_id, assignments.c.position == position, assignments.c.worker_id == worker_id)
        # What was handed in before anything that was opened later.
        .order_by(assignments.c.state == "submitted", drafts.c.saved_at.is_not(None), assignments.c.leased_at)
    )
    with db.read() as connection:
        rows = connection.execute(query).all()
    return rows[-1] if rows else None
