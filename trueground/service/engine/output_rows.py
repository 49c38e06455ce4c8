"""A job's data objects with the answers that count, in the manifest's order and in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from trueground.service.store.database import Database
from trueground.service.store.tables import answers, assignments, data_objects, workers
from trueground.tasks.base import Answer

_AT_ONCE = 1000
OIDC = "oidc"
"""The source of accounts that a workforce's own sign-in provider vouches for."""
PUBLIC = "mturk"
"""The source of accounts of the public workforce."""


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """Who vouches for a worker: nobody, where the workforce is Mechanical Turk's."""

    source: str
    issuer: str | None
    subject: str

    def metadata(self, local_issuer: str) -> dict[str, Any]:
        """``workerMetadata`` as AWS writes it."""
        if self.source == PUBLIC:
            return {}
        if self.source != OIDC:
            return {"identityData": {"identityProviderType": "Cognito", "issuer": local_issuer, "sub": self.subject}}
        # Who was erased has no issuer any more.
        issuer = {} if self.issuer is None else {"issuer": self.issuer}
        return {"identityData": {"identityProviderType": "Oidc", **issuer, "sub": self.subject}}


@dataclass(frozen=True, slots=True)
class DataObject:
    """One line of the manifest and what became of it."""

    position: int
    line: str
    state: str
    failure_reason: str | None
    label: dict[str, Any] | None
    """Its keys in the output manifest, where the store has them."""
    answers: tuple[Answer, ...]
    """The last edit of each, in the order in which they first came."""
    identities: tuple[WorkerIdentity, ...]
    """Who gave them."""
    answered_at: datetime | None
    """When the last of them first came; edits do not change it."""
    wanted: int
    """How many answers complete it."""
    iteration: int
    """The round of automated labeling in which people were asked; 1 without rounds."""


def read_objects(
    db: Database, job_id: int, region: str, positions: Sequence[int] | range | None = None
) -> Iterator[DataObject]:
    """A job's objects, or those at ``positions``: a range, or some that are in rising order. No gold objects.

    Only answers of assignments in the state ``submitted`` count. ``region``: part of each worker id.
    """
    objects = (
        select(
            data_objects.c.position,
            data_objects.c.line,
            data_objects.c.state,
            data_objects.c.failure_reason,
            data_objects.c.label,
            data_objects.c.wanted,
            data_objects.c.iteration,
        )
        .where(
            data_objects.c.job_id == job_id,
            data_objects.c.state != "gold",
            _within(data_objects.c.position, positions),
        )
        .order_by(data_objects.c.position)
    )
    given = (
        select(
            answers.c.position,
            answers.c.assignment_id,
            answers.c.worker_id,
            answers.c.content,
            answers.c.seconds,
            answers.c.accepted_at,
            answers.c.submitted_at,
            workers.c.source,
            workers.c.issuer,
            workers.c.subject,
        )
        .join(assignments, assignments.c.id == answers.c.assignment_id)
        .join(workers, workers.c.id == answers.c.worker_id)
        .where(
            answers.c.job_id == job_id,
            assignments.c.state == "submitted",
            _within(answers.c.position, positions),
        )
        .order_by(answers.c.position, answers.c.id)
    )
    with db.read() as connection:
        groups = _groups(connection, given)
        ahead = next(groups, None)
        for row in connection.execute(objects):
            while ahead is not None and ahead[0] < row.position:
                ahead = next(groups, None)
            rows = ahead[1] if ahead is not None and ahead[0] == row.position else []
            yield _object(row, rows, region)


def _within(column: ColumnElement[int], positions: Sequence[int] | range | None) -> ColumnElement[bool]:
    if positions is None:
        return column >= 0
    if isinstance(positions, range):
        return column.between(positions.start, positions.stop - 1)
    return column.in_(positions)


def _groups(connection: Connection, query: Any) -> Iterator[tuple[int, list[Row[Any]]]]:
    rows = connection.execution_options(yield_per=_AT_ONCE).execute(query)
    for position, group in groupby(rows, key=lambda row: row.position):
        yield position, list(group)


def _object(row: Any, given: list[Row[Any]], region: str) -> DataObject:
    # Of each assignment the row that came last, at the place of the one that came first.
    last = given if len(given) < 2 else list({answer.assignment_id: answer for answer in given}.values())
    first = given if len(last) == len(given) else list({a.assignment_id: a for a in reversed(given)}.values())
    return DataObject(
        position=row.position,
        line=row.line,
        state=row.state,
        failure_reason=row.failure_reason,
        label=row.label,
        answers=tuple(
            Answer(
                object_id=str(row.position),
                worker_id=f"{'public' if answer.source == PUBLIC else 'private'}.{region}.{answer.worker_id}",
                content=answer.content,
                accepted_at=answer.accepted_at,
                submitted_at=answer.submitted_at,
                seconds=answer.seconds,
            )
            for answer in last
        ),
        identities=tuple(WorkerIdentity(answer.source, answer.issuer, answer.subject) for answer in last),
        wanted=row.wanted,
        iteration=row.iteration or 1,
        answered_at=max((answer.submitted_at for answer in first), default=None),
    )
