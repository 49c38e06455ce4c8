"""The background work on human loops: brings each to its end once its answers are there, or its time is over.

The output is written first and the loop's row changed afterwards. A crash between the two has the same bytes written
again: they follow from the store alone, and nothing of it can change once all answers are there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update

from trueground.service.engine import events
from trueground.service.engine.background import Background
from trueground.service.engine.flow_definitions import OPEN_LOOPS
from trueground.service.engine.flow_definitions import resource as flow_resource
from trueground.service.engine.human_loops import in_work, resource
from trueground.service.engine.leasing import expire_leases
from trueground.service.engine.loop_output import output_bytes, output_uri
from trueground.service.engine.output_files import milliseconds
from trueground.service.engine.output_rows import read_objects
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import IS_LEASED, assignments, data_objects, human_loops, labeling_jobs
from trueground.storage import Storage

log = logging.getLogger(__name__)

BATCH = 200
ATTEMPTS = 5
EXPIRED = "The human loop expired: its tasks were not all done within the task availability lifetime"
DECLINED = "All workers declined the task"


@dataclass(frozen=True, slots=True)
class _End:
    """How a loop ends."""

    status: str
    failure_code: str | None = None
    failure_reason: str | None = None
    with_output: bool = False


class LoopEnds(Background):
    """Ends human loops."""

    name = "human-loops"

    def __init__(self, db: Database, storage: Storage, settings: ServiceSettings) -> None:
        super().__init__(db, settings.poll_interval, db.changed)
        self._storage, self._settings = storage, settings
        # Failures of a loop in a row, and when to try it again.
        self._failures: dict[str, tuple[int, float]] = {}

    def tick(self) -> None:
        """Look at every flow definition's loops, once."""
        with self._db.read() as connection:
            flows = connection.execute(
                select(labeling_jobs.c.id).where(
                    labeling_jobs.c.kind == "review", labeling_jobs.c.status == "InProgress"
                )
            ).all()
            stopping = list(
                connection.scalars(select(human_loops.c.name).where(human_loops.c.status == "Stopping").limit(BATCH))
            )
        self._advance(stopping)
        for flow in flows:
            expire_leases(self._db, flow.id)
            with self._db.read() as connection:
                names = [*_answered(connection, flow.id), *_expired(connection, flow.id)]
            self._advance(names)

    def _advance(self, names: Iterable[str]) -> None:
        for name in names:
            failures, again = self._failures.get(name, (0, 0.0))
            if self._stopping.is_set() or not self.keep_lease():
                return
            if time.monotonic() < again:
                continue
            try:
                self._end_if_due(name)
                self._failures.pop(name, None)
            except Exception as error:
                self._note_failure(name, failures + 1, error)

    def _end_if_due(self, name: str) -> None:
        with self._db.read() as connection:
            loop = _read(connection, name)
            if loop is None or (end := _end_of(loop)) is None:
                return
        uri = None
        found = next(iter(read_objects(self._db, loop.job_id, self._settings.region, [loop.position])))
        if end.with_output and found.answers:
            uri = output_uri(loop, loop.request)
            self._storage.write_bytes(uri, output_bytes(self._settings, loop, found))
        with self._db.write() as connection:
            # The queue holds the job's row while it changes an object, so nothing moves below this.
            _lock_job(connection, loop.job_id)
            current = _read(connection, name)
            if current is None or (current.status, current.state, current.answers) != (
                loop.status,
                loop.state,
                loop.answers,
            ):
                return
            _record(connection, self._settings, loop, end, uri)
        log.info("human loop %s has ended: %s", name, end.status)

    def _note_failure(self, name: str, failures: int, error: Exception) -> None:
        log.error("human loop %s cannot go on (attempt %d)", name, failures, exc_info=error)
        self._failures[name] = (failures, time.monotonic() + min(2.0**failures, 60.0))
        # Files that cannot be written now may be written later, and answers must not be given up for that.
        if failures < ATTEMPTS or isinstance(error, OSError):
            return
        reason = f"The output could not be made: {type(error).__name__}: {error}"[:1024]
        with self._db.write() as connection:
            loop = _read(connection, name)
            if loop is not None:
                _lock_job(connection, loop.job_id)
                _record(connection, self._settings, loop, _End("Failed", "InternalError", reason), None)
        self._failures.pop(name, None)


def _answered(connection: Connection, job_id: int) -> list[str]:
    """Loops with all their answers, or that nobody is left to answer."""
    query = (
        select(data_objects.c.dedup_key)
        .where(data_objects.c.job_id == job_id, data_objects.c.state.in_(("answered", "failed")))
        .order_by(data_objects.c.position)
        .limit(BATCH)
    )
    return [name for name in connection.scalars(query) if name is not None]


def _expired(connection: Connection, job_id: int) -> list[str]:
    """Loops whose time is over. All loops of a flow definition have as long, so the oldest come first."""
    found: list[str] = []
    for state in ("waiting", "started"):
        query = (
            select(data_objects.c.dedup_key, data_objects.c.available_until)
            .where(data_objects.c.job_id == job_id, data_objects.c.state == state)
            .order_by(data_objects.c.position)
            .limit(BATCH)
        )
        at = now()
        found += [
            name for name, until in connection.execute(query) if name is not None and until is not None and until <= at
        ]
    return found


def _read(connection: Connection, name: str) -> Row[Any] | None:
    """A loop that has not ended, with its object and what its tasks are taken from."""
    query = (
        select(
            human_loops,
            data_objects.c.state,
            data_objects.c.answers,
            data_objects.c.available_until,
            data_objects.c.failure_reason.label("object_failure"),
            in_work(now()).label("in_work"),
            labeling_jobs.c.request,
        )
        .join(
            data_objects,
            (data_objects.c.job_id == human_loops.c.job_id) & (data_objects.c.position == human_loops.c.position),
        )
        .join(labeling_jobs, labeling_jobs.c.id == human_loops.c.job_id)
        .where(human_loops.c.name == name, human_loops.c.status.in_(OPEN_LOOPS))
    )
    return connection.execute(query).first()


def _end_of(loop: Row[Any]) -> _End | None:
    """How a loop ends now; ``None`` where it goes on."""
    stopping = loop.status == "Stopping"
    if loop.state == "answered":
        return _End("Stopped" if stopping else "Completed", with_output=True)
    if stopping:
        # What was finished before or after the stop is kept.
        return None if loop.in_work else _End("Stopped", with_output=True)
    if loop.state == "failed":
        return _End("Failed", "ValidationError", loop.object_failure or DECLINED)
    if loop.available_until is not None and loop.available_until <= now():
        return _End("Failed", "Expired", EXPIRED)
    return None


def _record(connection: Connection, settings: ServiceSettings, loop: Row[Any], end: _End, uri: str | None) -> None:
    """The loop has ended: say so, and take no more answers."""
    at = now()
    place = (assignments.c.job_id == loop.job_id, assignments.c.position == loop.position)
    connection.execute(update(assignments).where(*place, IS_LEASED).values(state="expired"))
    connection.execute(
        update(data_objects)
        .where(data_objects.c.job_id == loop.job_id, data_objects.c.position == loop.position)
        .values(state="written" if uri else "withheld", free=0)
    )
    connection.execute(
        update(human_loops)
        .where(human_loops.c.name == loop.name)
        .values(
            status=end.status,
            failure_code=end.failure_code,
            failure_reason=end.failure_reason,
            output_uri=uri,
            ended_at=at,
        )
    )
    detail = {
        "creationTime": milliseconds(loop.created_at),
        "failureCode": end.failure_code,
        "failureReason": end.failure_reason,
        "flowDefinitionArn": settings.arn(flow_resource(loop.flow_definition)),
        "humanLoopArn": settings.arn(resource(loop.name)),
        "humanLoopName": loop.name,
        "humanLoopOutput": {"outputS3Uri": uri} if uri else None,
        "humanLoopStatus": end.status,
    }
    events.record(connection, resource=resource(loop.name), detail_type=events.HUMAN_LOOP, detail=detail, at=at)


def _lock_job(connection: Connection, job_id: int) -> None:
    connection.execute(select(labeling_jobs.c.id).where(labeling_jobs.c.id == job_id).with_for_update())
