"""The background thread: puts expired leases back, writes answers out, and finishes jobs.

All it needs to know is in the store, and each step may be repeated. So it goes on where any crash left it.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, case, select, update

from trueground.service.engine.assignment import expire_leases
from trueground.service.engine.jobs import count_states
from trueground.service.engine.lease import Lease
from trueground.service.engine.output import NO_LABEL, Output
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import assignments, data_objects, labeling_jobs
from trueground.storage import Storage

log = logging.getLogger(__name__)

BATCH = 200
ATTEMPTS = 5
EXPIRED = "The data object expired: nobody answered it within the task availability lifetime"
NOTHING_LABELED = "No data object was labeled before the task availability lifetime ended"
_OPEN = ("waiting", "started")


class Finisher:
    """Runs in one thread of each service process; a lease in the store lets one process work at a time."""

    def __init__(self, db: Database, storage: Storage, settings: ServiceSettings) -> None:
        self._db, self._storage, self._settings = db, storage, settings
        self._lease: Lease | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        # Failures of a job in a row, and when to try it again.
        self._failures: dict[int, tuple[int, float]] = {}

    def start(self) -> None:
        """Start the thread."""
        # The lease carries this process's id, and a server may have forked since the app was made.
        self._lease = Lease(self._db, "finisher")
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="trueground-finisher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; what it was at is finished first or left for the next start."""
        self._stopping.set()
        self._db.changed.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._db.changed.clear()
            try:
                self.tick()
            except Exception:
                log.exception("the store cannot be reached; trying again")
            self._db.changed.wait(self._settings.poll_interval)
        if self._lease is not None:
            try:
                self._lease.release()
            except Exception:
                log.exception("could not give the finisher's lease back; it runs out by itself")

    def tick(self) -> None:
        """Look at every job that has not ended, once."""
        if self._lease is not None and not self._lease.hold():
            return
        with self._db.read() as connection:
            jobs = connection.execute(
                select(labeling_jobs)
                .where(labeling_jobs.c.status.in_(("InProgress", "Stopping")))
                .order_by(labeling_jobs.c.created_at)
            ).all()
        for job in jobs:
            failures, again = self._failures.get(job.id, (0, 0.0))
            if self._stopping.is_set() or time.monotonic() < again:
                continue
            try:
                self._advance(job)
                self._failures.pop(job.id, None)
            except Exception as error:
                self._note_failure(job, failures + 1, error)

    def _advance(self, job: Row[Any]) -> None:
        if job.ended_at is None:
            expire_leases(self._db, job.id)
        self._write_answered(job)
        if job.ended_at is None:
            if not self._end_if_due(job):
                return
            with self._db.read() as connection:
                job = connection.execute(select(labeling_jobs).where(labeling_jobs.c.id == job.id)).one()
            self._write_answered(job)
        unlabeled = self._output(job).write_labels()
        with self._db.write() as connection:
            _complete(connection, job, unlabeled)
        log.info("labeling job %s has ended", job.name)

    def _write_answered(self, job: Row[Any]) -> None:
        """Write the answers of objects that have all of theirs."""
        output = self._output(job)
        answered = (
            select(data_objects.c.position)
            .where(data_objects.c.job_id == job.id, data_objects.c.state == "answered")
            .order_by(data_objects.c.position)
            .limit(BATCH)
        )
        while True:
            with self._db.read() as connection:
                positions = list(connection.scalars(answered))
            if not positions:
                return
            output.write_responses(positions)
            with self._db.write() as connection:
                connection.execute(
                    update(data_objects)
                    .where(data_objects.c.job_id == job.id, data_objects.c.position.in_(positions))
                    .values(state="written")
                )

    def _end_if_due(self, job: Row[Any]) -> bool:
        """End the job if nothing is left to ask, its time is over, or it is being stopped and nobody is at it."""
        with self._db.read() as connection:
            done = not _has(connection, job.id, data_objects.c.state.in_((*_OPEN, "answered")))
            held = select(assignments.c.id).where(assignments.c.job_id == job.id, assignments.c.state == "leased")
            if not done and job.status == "Stopping":
                waited = now() - job.stop_requested_at > timedelta(seconds=self._settings.stop_grace)
                done = waited or connection.execute(held.limit(1)).first() is None
        expired = now() >= job.available_until
        if not done and not expired:
            return False
        with self._db.write() as connection:
            _end(connection, job, failing=expired and job.status == "InProgress")
        return True

    def _output(self, job: Row[Any]) -> Output:
        return Output(self._db, self._storage, self._settings, job, self._keep_lease)

    def _keep_lease(self) -> None:
        if self._lease is not None:
            self._lease.hold()

    def _note_failure(self, job: Row[Any], failures: int, error: Exception) -> None:
        log.error("labeling job %s cannot go on (attempt %d)", job.name, failures, exc_info=error)
        self._failures[job.id] = (failures, time.monotonic() + min(2.0**failures, 60.0))
        # Files that cannot be written now may be written later, and answers must not be given up for that.
        if failures < ATTEMPTS or isinstance(error, OSError):
            return
        reason = f"The output could not be made: {type(error).__name__}: {error}"[:1024]
        with self._db.write() as connection:
            _end(connection, job, failing=False)
            connection.execute(
                update(labeling_jobs)
                .where(labeling_jobs.c.id == job.id)
                .values(status="Failed", failure_reason=reason, modified_at=now())
            )


def _has(connection: Connection, job_id: int, condition: Any) -> bool:
    query = select(data_objects.c.position).where(data_objects.c.job_id == job_id, condition).limit(1)
    return connection.execute(query).first() is not None


def _end(connection: Connection, job: Row[Any], *, failing: bool) -> None:
    """Take no more answers. What has at least one is labeled from those; the rest fails, or stays unlabeled."""
    query = select(labeling_jobs.c.ended_at).where(labeling_jobs.c.id == job.id).with_for_update()
    if connection.scalar(query) is not None:
        return
    connection.execute(
        update(assignments)
        .where(assignments.c.job_id == job.id, assignments.c.state == "leased")
        .values(state="expired")
    )
    connection.execute(
        update(data_objects)
        .where(data_objects.c.job_id == job.id, data_objects.c.state.in_(_OPEN))
        .values(
            state=case((data_objects.c.answers > 0, "answered"), else_="failed" if failing else "withheld"),
            failure_reason=case((data_objects.c.answers == 0, EXPIRED if failing else None), else_=None),
            free=0,
        )
    )
    connection.execute(
        update(labeling_jobs).where(labeling_jobs.c.id == job.id).values(ended_at=now(), modified_at=now())
    )


def _complete(connection: Connection, job: Row[Any], unlabeled: set[int]) -> None:
    """All files are there: say so."""
    current = connection.execute(
        select(labeling_jobs.c.status, labeling_jobs.c.stop_requested_at)
        .where(labeling_jobs.c.id == job.id)
        .with_for_update()
    ).one()
    if current.status not in ("InProgress", "Stopping"):
        return
    for position in sorted(unlabeled):
        connection.execute(
            update(data_objects)
            .where(data_objects.c.job_id == job.id, data_objects.c.position == position)
            .values(state="failed", failure_reason=NO_LABEL)
        )
    counts = count_states(connection, job.id)
    failed = bool(counts.get("failed")) and not counts.get("written") and not counts.get("labeled")
    stopped = current.stop_requested_at is not None or job.withheld
    connection.execute(
        update(labeling_jobs)
        .where(labeling_jobs.c.id == job.id)
        .values(
            status="Failed" if failed else "Stopped" if stopped else "Completed",
            failure_reason=(NOTHING_LABELED if not unlabeled else NO_LABEL) if failed else None,
            modified_at=now(),
        )
    )
