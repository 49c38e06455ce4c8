"""What one process remembers between requests: what never changes of jobs, and for a moment who is who and sees what.

What may change is forgotten as soon as this process writes anything but a task or an answer; what another process
changes is seen within a second.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import bindparam, select

from trueground.service.engine.errors import NotFound
from trueground.service.engine.visibility import open_jobs
from trueground.service.security import Identity
from trueground.service.store.database import Database, now
from trueground.service.store.tables import job_workers, labeling_jobs

Value = TypeVar("Value")

SEEN_SECONDS = 1.0
"""How long another process may go on with what it saw of people, teams and jobs before a change."""
_JOBS = 256
_WORKERS = 4096
# Built once: it is asked for every worker each second.
_LAST_TASK_AT = select(job_workers.c.last_task_at).where(
    job_workers.c.job_id == labeling_jobs.c.id, job_workers.c.worker_id == bindparam("worker")
)
_VISIBLE = open_jobs(bindparam("worker"), at=bindparam("now")).with_only_columns(
    labeling_jobs.c.id, labeling_jobs.c.name, _LAST_TASK_AT.scalar_subquery()
)


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What was settled when the job was created."""

    id: int
    kind: str
    name: str
    workteam: str
    workers_per_object: int
    lease_seconds: int
    available_until: datetime
    max_objects_out: int | None
    pre_function: str | None
    post_function: str | None
    template: str
    categories: tuple[str, ...]
    label_config: Mapping[str, Any]
    request: Mapping[str, Any]
    gold_share: float | None
    gold_limit: float | None
    qualification: int
    streaming: bool
    automated: bool
    objects: int
    """Lines of its manifest; a streaming job gets more."""


class Remembered(Generic[Value]):
    """The last values by key, the oldest forgotten first. Threads may share it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Any, Value] = OrderedDict()

    def get(self, key: Any) -> Value | None:
        """The value, if it is still known."""
        return self._values.get(key)

    def put(self, key: Any, value: Value) -> None:
        """Remember a value."""
        self._values[key] = value
        while len(self._values) > self._most:
            try:
                self._values.popitem(last=False)
            except KeyError:
                return


class Seen(Generic[Value]):
    """Values that hold for a moment."""

    def __init__(self, db: Database, most: int) -> None:
        self._db = db
        self._values: Remembered[tuple[int, float, Value]] = Remembered(most)

    def get(self, key: Any) -> Value | None:
        """The value, if nothing can have changed it for longer than a moment."""
        found = self._values.get(key)
        if found is None or found[0] != self._db.version or time.monotonic() - found[1] > SEEN_SECONDS:
            return None
        return found[2]

    def change(self, key: Any, value: Value) -> None:
        """Another value for what is known, which holds no longer for that."""
        if (found := self._values.get(key)) is not None:
            self._values.put(key, (found[0], found[1], value))

    def look(self, key: Any, find: Callable[[], Value | None]) -> Value | None:
        """The value, found anew where it is not known. Nothing found is not remembered: strangers fill no memory."""
        value = self.get(key)
        if value is None:
            # Taken before, so that what changes while it is looked for is not missed.
            version, clock = self._db.version, time.monotonic()
            value = find()
            if value is not None:
                self._values.put(key, (version, clock, value))
        return value


class Memory:
    """What one process remembers of one store."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._facts: Remembered[JobFacts] = Remembered(_JOBS)
        self._visible: Seen[Sequence[tuple[int, str]]] = Seen(db, _WORKERS)
        self.sessions: Seen[tuple[Identity, str]] = Seen(db, _WORKERS)

    def facts(self, job_id: int) -> JobFacts:
        """What never changes of a job. Raises :class:`NotFound`."""
        found = self.find(job_id)
        if found is None:
            raise NotFound("there is no such job")
        return found

    def find(self, job_id: int) -> JobFacts | None:
        """The same, ``None`` if there is no such job."""
        found = self._facts.get(job_id)
        if found is None:
            with self._db.ask() as connection:
                row = connection.execute(select(labeling_jobs).where(labeling_jobs.c.id == job_id)).first()
            if row is None:
                return None
            found = JobFacts(
                id=row.id,
                kind=row.kind,
                name=row.name,
                workteam=row.workteam,
                workers_per_object=row.workers_per_object,
                lease_seconds=row.lease_seconds,
                available_until=row.available_until,
                max_objects_out=row.max_objects_out,
                pre_function=row.pre_function,
                post_function=row.post_function,
                template=row.template,
                categories=tuple(row.categories),
                label_config=row.label_config,
                request=row.request,
                gold_share=row.gold_share,
                gold_limit=row.gold_limit,
                qualification=row.qualification or 0,
                streaming=row.streaming,
                automated=row.auto_accuracy is not None,
                objects=row.objects,
            )
            self._facts.put(job_id, found)
        return found

    def visible_jobs(self, worker_id: str) -> Sequence[tuple[int, str]]:
        """Ids and names of the open jobs that a worker may see, in the order in which they are to get their tasks."""

        def find() -> Sequence[tuple[int, str]]:
            with self._db.ask() as connection:
                rows = connection.execute(_VISIBLE, {"worker": worker_id, "now": now()}).all()
            # They stay at the job they were at last until it is empty.
            last = max((row for row in rows if row[2] is not None), key=lambda row: row[2], default=None)
            return [(row[0], row[1]) for row in sorted(rows, key=lambda row: row is not last)]

        return self._visible.look(worker_id, find) or ()

    def went_to(self, worker_id: str, job_id: int) -> None:
        """Have the job come first at which a worker is now, before the store is asked again."""
        jobs = self._visible.get(worker_id)
        if jobs and jobs[0][0] != job_id:
            self._visible.change(worker_id, sorted(jobs, key=lambda job: job[0] != job_id))


def memory_of(db: Database) -> Memory:
    """What this process remembers of a store."""
    if db.memory is None:
        db.memory = Memory(db)
    memory: Memory = db.memory
    return memory
