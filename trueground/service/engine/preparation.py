"""The background thread that makes objects ready for people, ahead of them and in the manifest's order.

Objects need it whose pre-annotation function is the requester's own, or whose file lies on S3, where a look costs a
round trip. Each is ready by itself: nobody waits for a batch.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import Any

from sqlalchemy import Row, exists, func, select, update

from trueground.errors import InputError
from trueground.service.engine.background import Background
from trueground.service.engine.function_calls import VERSION, FunctionCalls, FunctionFailed, reason_of
from trueground.service.engine.functions import own_function, task_input
from trueground.service.engine.threads import in_thread
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import data_objects, labeling_jobs
from trueground.storage import Storage

log = logging.getLogger(__name__)

AHEAD = 200
"""Objects that are ready and nobody has begun, in a job that does not say how many may be out."""
CALLS = 8
"""Objects of a job that are made ready at the same time: each waits for a function, or for S3. Of all jobs together
there are twice as many at most."""
PAUSE = 5.0
"""Seconds before a job is looked at again whose files could not be reached."""

Changes = dict[str, Any]
"""The columns of an object that its preparation sets."""


def must_be_prepared(calls_function: bool, content: Mapping[str, Any]) -> bool:
    """Whether an object starts as ``unprepared``."""
    return calls_function or str(content.get("source-ref", "")).startswith("s3://")


class Preparer(Background):
    """Prepares the objects of all jobs in progress."""

    name = "preparer"

    def __init__(self, db: Database, storage: Storage, settings: ServiceSettings) -> None:
        super().__init__(db, settings.poll_interval)
        self._storage, self._settings = storage, settings
        self._calls = FunctionCalls(settings)
        self._under_way: dict[Future[Changes], tuple[int, int]] = {}
        self._turn = 0
        # When to look again at a job whose files cannot be reached now.
        self._again: dict[int, float] = {}

    def tick(self) -> None:
        """Prepare until every job has enough objects ready."""
        while not self._stopping.is_set() and self.keep_lease():
            self._begin()
            if not self._under_way:
                return
            # New jobs are looked at now and then even while a slow function runs.
            done, _ = wait(self._under_way, timeout=self._interval, return_when=FIRST_COMPLETED)
            self._keep(done)

    def _begin(self) -> None:
        """Hand objects to the threads, of each job in turn so that a slow one holds up no other for long."""
        with self._db.read() as connection:
            unprepared = exists(
                select(data_objects.c.position).where(
                    data_objects.c.job_id == labeling_jobs.c.id, data_objects.c.state == "unprepared"
                )
            )
            jobs = connection.execute(
                select(labeling_jobs)
                .where(
                    labeling_jobs.c.kind == "labeling",
                    labeling_jobs.c.status == "InProgress",
                    labeling_jobs.c.ended_at.is_(None),
                    unprepared,
                )
                .order_by(labeling_jobs.c.created_at)
            ).all()
        self._turn += 1
        for number in range(len(jobs)):
            job = jobs[(self._turn + number) % len(jobs)]
            if time.monotonic() < self._again.get(job.id, 0.0):
                continue
            for row in self._next(job, max(1, CALLS // len(jobs)))[: 2 * CALLS - len(self._under_way)]:
                call = partial(self._prepare, job, row)
                self._under_way[in_thread("preparing", call)] = (job.id, row.position)

    def _next(self, job: Row[Any], share: int) -> Sequence[Row[int, str]]:
        """The next objects of a job to prepare."""
        at_it = [position for job_id, position in self._under_way.values() if job_id == job.id]
        most = job.max_objects_out or AHEAD
        ready = (
            select(data_objects.c.position)
            .where(data_objects.c.job_id == job.id, data_objects.c.state == "waiting")
            .limit(most)
        )
        query = (
            select(data_objects.c.position, data_objects.c.line)
            .where(
                data_objects.c.job_id == job.id,
                data_objects.c.state == "unprepared",
                data_objects.c.position.not_in(at_it),
            )
            .order_by(data_objects.c.position)
        )
        with self._db.read() as connection:
            count = connection.scalar(select(func.count()).select_from(ready.subquery())) or 0
            room = min(most - count, share) - len(at_it)
            return connection.execute(query.limit(max(room, 0))).all()

    def _prepare(self, job: Row[Any], row: Row[int, str]) -> Changes:
        content = json.loads(row.line)
        # As if it had come back: workers who already got later objects look for it among those.
        ready = {"state": "waiting", "free": data_objects.c.wanted, "returned": True}
        try:
            self._check_file(content)
            function = own_function(job.pre_function, self._settings)
            if function is None:
                # A pushed object may lack what its task type needs; one of a manifest was looked at before.
                task_input(job.pre_function, content, job.categories)
                return ready
            event = {
                "version": VERSION,
                "labelingJobArn": self._settings.arn(f"labeling-job/{job.name}"),
                "dataObject": content,
            }
            response = self._calls.call(function, event, self._settings.pre_function_seconds)
            if not needs_people(response):
                return {"state": "not-required"}
            return {**ready, "task_input": response["taskInput"]}
        except (FunctionFailed, InputError) as error:
            return {"state": "failed", "failure_reason": reason_of(error)}
        except KeyError as error:
            return {"state": "failed", "failure_reason": f"the task type needs the key {error}"}

    def _check_file(self, content: Mapping[str, Any]) -> None:
        """Raise :class:`InputError` where the object's file is not there or may not be read."""
        uri = content.get("source-ref")
        if uri is None:
            return
        try:
            self._storage.size(uri)
        except FileNotFoundError:
            raise InputError(f"there is no file {uri}") from None

    def _keep(self, done: set[Future[Changes]]) -> None:
        """Store what became of objects, in one transaction."""
        results = []
        for future in done:
            job_id, position = self._under_way.pop(future)
            error = future.exception()
            if error is None:
                results.append((job_id, position, future.result()))
                continue
            log.warning("object %d of job %d cannot be made ready now: %r", position, job_id, error)
            if not isinstance(error, OSError):
                results.append((job_id, position, {"state": "failed", "failure_reason": reason_of(error)}))
                continue
            self._again[job_id] = time.monotonic() + PAUSE
        if not results:
            return
        with self._db.write(routine=True) as connection:
            for job_id, position, changes in results:
                connection.execute(
                    update(data_objects)
                    # Only if the job has not ended meanwhile, and no other process was first.
                    .where(
                        data_objects.c.job_id == job_id,
                        data_objects.c.position == position,
                        data_objects.c.state == "unprepared",
                    )
                    .values(**changes)
                )
        self._db.changed.set()


def needs_people(response: Any) -> bool:
    """Whether the response of a pre-annotation function asks for people.

    Both of AWS's spellings of the flag are taken, as a truth value and as a text; without it people are asked.

    Raises:
        FunctionFailed: the response does not have AWS's form.
    """
    if not isinstance(response, Mapping):
        raise FunctionFailed(f"the pre-annotation function returned no object: {_short(response)}")
    flag = response.get("isHumanAnnotationRequired", response.get("humanAnnotationRequired", True))
    if isinstance(flag, str) and flag.strip().lower() in ("true", "false"):
        flag = flag.strip().lower() == "true"
    if not isinstance(flag, bool):
        raise FunctionFailed(f"isHumanAnnotationRequired is neither true nor false: {_short(flag)}")
    if flag and not isinstance(response.get("taskInput"), Mapping):
        raise FunctionFailed(f"the pre-annotation function returned no taskInput: {_short(response)}")
    return flag


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "…"
