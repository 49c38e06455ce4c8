"""What a manager sees of a job beyond its counts: its course, its answers, what failed, who is reliable."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Row, Text, cast, func, select, update

from trueground import storage as paths
from trueground.service.engine import audit_log, label_rounds, tags
from trueground.service.engine.actors import Actor
from trueground.service.engine.errors import Invalid
from trueground.service.engine.functions import find_task_type
from trueground.service.engine.job_options import PRIORITIES, PRIORITY_TAG
from trueground.service.engine.job_rows import find_job
from trueground.service.engine.jobs import resource
from trueground.service.engine.progress import is_last_revision
from trueground.service.store.database import Database, now
from trueground.service.store.tables import answers, assignments, data_objects, events, job_workers, labeling_jobs
from trueground.tasks.base import AnswerError

STEPS = 48
"""Points of the line that shows a job's answers over time."""
GROUPS = 5000
"""Different answers that are looked at for the distribution; of free texts there may be more."""


@dataclass(frozen=True, slots=True)
class Step:
    """How many answers there were at one moment."""

    at: datetime
    answers: int


@dataclass(frozen=True, slots=True)
class Share:
    """How often something occurs."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """How a worker did on objects whose label is known."""

    seen: int
    right: int
    paused: str | None
    """Why the worker gets no more tasks of this job."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of the job."""

    at: datetime
    kind: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RoundInsight:
    """One round of automated labeling. Counts are data objects."""

    number: int
    asked: int
    proposed: int
    audited: int
    wrong: int
    """Audited ones that people labeled otherwise than the machine."""
    accepted: int | None
    """Labeled by the machine; ``None`` while the round goes on."""
    error_bound: float | None
    """The largest plausible share of wrong labels among them; among the proposed, where none was accepted."""


@dataclass(frozen=True, slots=True)
class JobInsight:
    """One job, looked at closely."""

    priority: int
    output: str
    """URI of the output manifest."""
    steps: Sequence[Step]
    labels: Sequence[Share]
    """What was answered how often; empty where the task type's answers are not names."""
    failures: Sequence[Share]
    """Why objects failed, the most frequent reason first."""
    gold: Mapping[str, Reliability]
    """By worker id, for those who were given gold objects or are paused."""
    events: Sequence[Happening]
    """The newest first."""
    rounds: Sequence[RoundInsight]
    """Of automated labeling, the first one first."""
    warnings: Sequence[str]
    """What may not work, as its creation found."""
    promise: tuple[float, float] | None
    """Of automated labeling: the share of machine labels that is right, and how sure that is."""


def job_insight(db: Database, name: str) -> JobInsight:
    """A labeling job, looked at closely. Raises :class:`NotFound`."""
    with db.read() as connection:
        job = find_job(connection, name)
        return JobInsight(
            priority=job.priority,
            output=paths.join(
                job.request["OutputConfig"]["S3OutputPath"], job.name, "manifests/output/output.manifest"
            ),
            steps=answer_steps(connection, answers.c.job_id == job.id),
            labels=_labels(connection, job),
            failures=_failures(connection, job.id),
            gold=_gold(connection, job.id),
            events=_events(connection, job.name),
            warnings=job.warnings,
            rounds=_rounds(connection, job) if job.auto_accuracy is not None else (),
            promise=None if job.auto_accuracy is None else (job.auto_accuracy, job.auto_confidence),
        )


def set_priority(db: Database, name: str, priority: int, actor: Actor | None = None) -> None:
    """Have workers get a job's tasks before those of jobs with a lower priority. Raises :class:`NotFound`."""
    if priority not in PRIORITIES:
        raise Invalid(f"a priority is a number from {PRIORITIES[0]} to {PRIORITIES[-1]}")
    with db.write() as connection:
        job = find_job(connection, name)
        if PRIORITY_TAG in tags.get(connection, resource(name)):
            tags.put(connection, resource(name), {PRIORITY_TAG: str(priority)})
        store_priority(connection, job, priority, actor)


def store_priority(connection: Connection, job: Row[Any], priority: int, actor: Actor | None = None) -> None:
    """The same within a transaction, for one whose tags say so already."""
    connection.execute(
        update(labeling_jobs).where(labeling_jobs.c.id == job.id).values(priority=priority, modified_at=now())
    )
    detail = {"from": job.priority, "to": priority}
    audit_log.record(connection, act="SetPriority", resource=resource(job.name), detail=detail, actor=actor)


def _counted() -> tuple[ColumnElement[bool], ...]:
    """Conditions for the answers that hold: of an edited one the last, and none that was discarded."""
    return (assignments.c.id == answers.c.assignment_id, assignments.c.state == "submitted", is_last_revision())


def _epoch(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[int]:
    if connection.dialect.name == "sqlite":
        return cast(func.strftime("%s", column), Integer)
    return cast(func.floor(func.extract("epoch", column)), Integer)


def answer_steps(connection: Connection, which: ColumnElement[bool]) -> list[Step]:
    """The answers so far at equal distances in time, from the first answer to the last."""
    first, last = connection.execute(
        select(func.min(answers.c.submitted_at), func.max(answers.c.submitted_at)).where(which, answers.c.revision == 0)
    ).one()
    if first is None:
        return []
    start = int(first.timestamp())
    width = max(1, -(-(int(last.timestamp()) + 1 - start) // STEPS))
    bucket = ((_epoch(connection, answers.c.submitted_at) - start) // width).label("bucket")
    rows = connection.execute(
        select(bucket, func.count()).where(which, answers.c.revision == 0).group_by(bucket).order_by(bucket)
    )
    steps, total = [Step(datetime.fromtimestamp(start, UTC), 0)], 0
    for number, count in rows:
        total += count
        steps.append(Step(datetime.fromtimestamp(start + (int(number) + 1) * width, UTC), total))
    return steps


def _labels(connection: Connection, job: Row[Any]) -> list[Share]:
    task_type = find_task_type(job.post_function) or find_task_type(job.pre_function)
    if task_type is None:
        return []
    # Equal answers are counted by the store, so that a million of them are a few rows here.
    content = cast(answers.c.content, Text)
    rows = connection.execute(
        select(content, func.count())
        .where(answers.c.job_id == job.id, *_counted())
        .group_by(content)
        .order_by(func.count().desc())
        .limit(GROUPS)
    )
    counts: Counter[str] = Counter()
    for text, count in rows:
        try:
            value = task_type.parse_answer(json.loads(text), job.categories)
        except AnswerError:
            continue
        for label in _names(value):
            counts[label] += count
    return [Share(label, count) for label, count in counts.most_common()]


def _names(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(item, str) for item in value):
        return value
    return ()


def _failures(connection: Connection, job_id: int) -> list[Share]:
    reason = func.coalesce(data_objects.c.failure_reason, "no reason was recorded").label("reason")
    rows = connection.execute(
        select(reason, func.count())
        .where(data_objects.c.job_id == job_id, data_objects.c.state == "failed")
        .group_by(reason)
        .order_by(func.count().desc(), reason)
        .limit(20)
    )
    return [Share(text, count) for text, count in rows]


def _gold(connection: Connection, job_id: int) -> dict[str, Reliability]:
    rows = connection.execute(
        select(job_workers).where(
            job_workers.c.job_id == job_id, (job_workers.c.gold_seen > 0) | job_workers.c.paused_at.is_not(None)
        )
    )
    return {
        row.worker_id: Reliability(row.gold_seen, row.gold_right, row.pause_reason if row.paused_at else None)
        for row in rows
    }


def _rounds(connection: Connection, job: Row[Any]) -> list[RoundInsight]:
    counted = select(data_objects.c.iteration, func.count()).where(
        data_objects.c.job_id == job.id, data_objects.c.iteration.is_not(None)
    )
    asked = {number: count for number, count in connection.execute(counted.group_by(data_objects.c.iteration)).all()}
    found = []
    for one in label_rounds.read_rounds(connection, job.id):
        outcome = one.settlement or {}
        found.append(
            RoundInsight(
                number=one.number,
                asked=asked.get(one.number, 0),
                proposed=len(one.plan.proposal),
                audited=outcome.get("audited", len(one.plan.audit)),
                wrong=outcome.get("wrong", 0),
                accepted=outcome.get("accepted"),
                error_bound=outcome.get("error_bound"),
            )
        )
    return found


def _events(connection: Connection, name: str) -> list[Happening]:
    rows = connection.execute(
        select(events).where(events.c.resource == f"labeling-job/{name}").order_by(events.c.id.desc()).limit(20)
    )
    return [Happening(row.created_at, row.detail_type, dict(row.body.get("detail", {}))) for row in rows]
