"""The background thread: puts expired leases back, writes answers out, and finishes jobs.

All it needs to know is in the store, and each step may be repeated. So it goes on where any crash left it.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from trueground.service.engine import (
    adaptive,
    auto_labeling,
    gold,
    job_ends,
    label_rounds,
    post_function,
    stream_labels,
    stream_source,
    streaming,
)
from trueground.service.engine.background import Background
from trueground.service.engine.function_calls import REASON_CHARACTERS, FunctionCalls, reason_of
from trueground.service.engine.functions import own_function
from trueground.service.engine.job_rows import OPEN, answer_counts, has_objects
from trueground.service.engine.jobs import remove_abandoned
from trueground.service.engine.leasing import expire_leases
from trueground.service.engine.output import Output
from trueground.service.engine.threads import Asides, Failures
from trueground.service.engine.topics import Topics
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import IS_LEASED, assignments, data_objects, labeling_jobs
from trueground.storage import Storage

log = logging.getLogger(__name__)

BATCH = 500
WRITE_EVERY = 20
"""While people are at a job, the files of its answers are written once in so many intervals, many at a time: what
counts is in the store, and each write of files costs more than an answer."""
ATTEMPTS = 5
LARGE = 5000
"""A job of so many objects is finished in a thread of its own, for the others not to wait."""
FIRST = 100
"""If more than a tenth of so many objects fail, something is wrong with all of them."""
EXEMPT = 10
"""A job of fewer objects is not stopped for it."""
IDLE = timedelta(days=10)
"""A streaming job that gets no object for so long is stopped, as on AWS."""


class Finisher(Background):
    """Brings every job to its end."""

    name = "finisher"

    def __init__(self, db: Database, storage: Storage, settings: ServiceSettings) -> None:
        super().__init__(db, settings.poll_interval, db.changed)
        self._storage, self._settings = storage, settings
        self._calls = FunctionCalls(settings)
        self._topics = Topics(settings)
        self._failures = Failures()
        # When the files of a job's answers are to be written next.
        self._write_again: dict[int, float] = {}
        self._asides = Asides()

    def tick(self) -> None:
        """Look at every job that has not ended, once."""
        remove_abandoned(self._db)
        with self._db.read() as connection:
            jobs = connection.execute(
                select(labeling_jobs)
                .where(labeling_jobs.c.kind == "labeling", labeling_jobs.c.status.in_(("InProgress", "Stopping")))
                .order_by(labeling_jobs.c.created_at)
            ).all()
        self._asides.keep_only({job.id for job in jobs})
        for job in jobs:
            if self._stopping.is_set() or not self._failures.may_try(job.id):
                continue
            try:
                self._advance(job)
                if job.id not in self._asides:
                    self._failures.forget(job.id)
            except Exception as error:
                self._note_failure(job, error)

    def is_idle(self) -> bool:
        """Whether none of its threads is at work."""
        return self._asides.are_done()

    def _advance(self, job: Row[Any]) -> None:
        if job.ended_at is None:
            expire_leases(self._db, job.id)
            if job.gold_policy == "ask-again":
                gold.set_aside_answers(self._db, job.id)
            if job.most_workers is not None and job.status == "InProgress":
                adaptive.stop_waiting(self._db, job)
        if job.streaming:
            self._advance_stream(job)
            return
        if job.ended_at is not None or self._may_write(job):
            self._write_answered(job)
        if job.ended_at is None:
            if not self._end_if_due(job):
                return
            self._write_again.pop(job.id, None)
            job = self._again(job)
            self._write_answered(job)
        slow = job.auto_accuracy is not None or own_function(job.post_function, self._settings) is not None
        if job.objects < LARGE and not slow:
            self._finish(job, self._output(job))
        else:
            self._aside(job, self._finish)

    def _again(self, job: Row[Any]) -> Row[Any]:
        with self._db.read() as connection:
            return connection.execute(select(labeling_jobs).where(labeling_jobs.c.id == job.id)).one()

    def _advance_stream(self, job: Row[Any]) -> None:
        if job.ended_at is None:
            streaming.expire_objects(self._db, job.id)
            if self._end_if_due(job):
                job = self._again(job)
        with self._db.read() as connection:
            answered = has_objects(connection, job.id, data_objects.c.state == "answered")
        if answered or job.ended_at is not None or job.id in self._asides:
            # A topic may be slow, and a function may take a quarter of an hour.
            self._aside(job, self._settle_stream)

    def _settle_stream(self, job: Row[Any], output: Output) -> None:
        stream_labels.settle(output, self._calls, self._topics)
        if job.ended_at is None:
            return
        topic = stream_source.input_topic(job.request)
        if topic is not None:
            stream_source.disconnect(self._settings, job.name, topic)
        self._finish(job, output)

    def _finish(self, job: Row[Any], output: Output) -> None:
        """Make the labels of an ended job, and say that it is done."""
        function = own_function(job.post_function, self._settings)
        if function is not None:
            post_function.consolidate(output, function, self._calls)
        unlabeled = output.write_labels()
        if job.auto_accuracy is not None:
            auto_labeling.write_final_model(output)
        with self._db.write() as connection:
            job_ends.complete(connection, job, unlabeled)
        log.info("labeling job %s has ended", job.name)

    def _aside(self, job: Row[Any], work: Callable[[Row[Any], Output], None]) -> None:
        """Work in a thread of its own: a function may take a quarter of an hour. Raises what went wrong in it."""
        if self._asides.collect(job.id):
            return

        def keep_lease() -> None:
            if self._stopping.is_set():
                raise InterruptedError("the service stops; the job is finished after its next start")
            self.keep_lease()

        def finish() -> None:
            try:
                work(job, self._output(job, keep_lease))
            finally:
                self._db.changed.set()

        self._asides.begin(job.id, f"finishing-{job.name}", finish)

    def _may_write(self, job: Row[Any]) -> bool:
        """Whether it is time to write the answers of a job that goes on, or nothing else is left to do."""
        at = time.monotonic()
        # Adaptive jobs and those with automated labeling go on only after that.
        waits = job.most_workers is None and job.auto_accuracy is None
        if waits and at < self._write_again.get(job.id, 0.0):
            with self._db.read() as connection:
                if has_objects(connection, job.id, data_objects.c.state.in_(OPEN)):
                    return False
        self._write_again[job.id] = at + WRITE_EVERY * self._interval
        return True

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
            if job.ended_at is None and (again := adaptive.ask_more(self._db, job, positions)):
                positions = [position for position in positions if position not in again]
            with self._db.read() as connection:
                before = answer_counts(connection, job.id, positions)
            output.write_responses(positions)
            with self._db.write(routine=True) as connection:
                written = (data_objects.c.job_id == job.id) & data_objects.c.position.in_(positions)
                # What was edited meanwhile is written once more. The lock comes first, so that no edit is under way.
                connection.execute(select(data_objects.c.position).where(written).with_for_update())
                after = answer_counts(connection, job.id, positions)
                unchanged = [position for position in positions if before[position] == after[position]]
                connection.execute(
                    update(data_objects)
                    .where(data_objects.c.job_id == job.id, data_objects.c.position.in_(unchanged))
                    .values(state="written")
                )

    def _end_if_due(self, job: Row[Any]) -> bool:
        """End the job if nothing is left to ask, its time is over, or it is being stopped and nobody is at it."""
        with self._db.read() as connection:
            # In this order: a round that is settled meanwhile begins another, which has open objects.
            done = job.auto_accuracy is None or label_rounds.are_over(connection, job)
            done = done and not has_objects(connection, job.id, data_objects.c.state.in_((*OPEN, "answered")))
            if job.streaming and job.status == "InProgress":
                done = done and now() - job.modified_at > IDLE
            held = select(assignments.c.id).where(assignments.c.job_id == job.id, IS_LEASED)
            if not done and job.status == "Stopping":
                waited = now() - job.stop_requested_at > timedelta(seconds=self._settings.stop_grace)
                done = waited or connection.execute(held.limit(1)).first() is None
            failed = _too_many_failed(connection, job) if job.status == "InProgress" and not job.streaming else None
        expired = now() >= job.available_until
        if not done and not expired and failed is None:
            return False
        with self._db.write() as connection:
            job_ends.end(connection, job, failing=expired and job.status == "InProgress", because=failed)
        return True

    def _output(self, job: Row[Any], renew: Callable[[], object] | None = None) -> Output:
        return Output.of(self._db, self._storage, self._settings, job, renew or self.keep_lease)

    def _note_failure(self, job: Row[Any], error: Exception) -> None:
        failures = self._failures.add(job.id)
        log.error("labeling job %s cannot go on (attempt %d)", job.name, failures, exc_info=error)
        # Files that cannot be written now may be written later, and answers must not be given up for that.
        if failures < ATTEMPTS or isinstance(error, OSError):
            return
        reason = f"The output could not be made: {reason_of(error)}"[:REASON_CHARACTERS]
        with self._db.write() as connection:
            job_ends.end(connection, job, failing=False)
            job_ends.close(connection, job, "Failed", reason)


def _too_many_failed(connection: Connection, job: Row[Any]) -> str | None:
    """Why a job must not go on, if more than a tenth of its first objects failed."""
    these = data_objects.c.position < FIRST
    first = min(job.objects, FIRST)
    if job.auto_accuracy is not None:
        these = data_objects.c.iteration == 1
        first = connection.scalar(select(func.count()).where(data_objects.c.job_id == job.id, these)) or 0
    if first < EXEMPT:
        return None
    reasons = connection.scalars(
        select(data_objects.c.failure_reason)
        .where(data_objects.c.job_id == job.id, data_objects.c.state == "failed", these)
        .order_by(data_objects.c.position)
    ).all()
    if 10 * len(reasons) <= first:
        return None
    ((reason, times),) = Counter(reasons).most_common(1)
    told = f"{len(reasons)} of the first {first} data objects failed, more than a tenth. The most frequent reason"
    return f"{told} ({times} times): {reason}"[:REASON_CHARACTERS]
