"""What several modules ask the store of a labeling job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, case, func, select

from trueground.service.engine.errors import NotFound
from trueground.service.engine.part_answered import missing_answers
from trueground.service.store.tables import answers, data_objects, labeling_jobs

EXPIRED = "The data object expired: nobody answered it within the task availability lifetime"
OPEN = ("unprepared", "waiting", "started")
"""The states of data objects that may still get answers."""


def end_of_open_objects(failure_reason: str | None) -> dict[str, Any]:
    """The columns of open objects that end: what has an answer is labeled from those it has.

    The others fail for this reason, or stay unlabeled where there is none.
    """
    unanswered = data_objects.c.answers == 0
    return {
        "state": case((unanswered, "failed" if failure_reason else "withheld"), else_="answered"),
        "failure_reason": case((unanswered, failure_reason), else_=None),
        "free": 0,
    }


def find_job(connection: Connection, name: str, *, lock: bool = False) -> Row[Any]:
    """The row of a job. Raises :class:`NotFound`."""
    query = select(labeling_jobs).where(labeling_jobs.c.name == name, labeling_jobs.c.kind == "labeling")
    found = connection.execute(query.with_for_update() if lock else query).first()
    if found is None:
        raise NotFound(f"there is no labeling job {name!r}")
    return found


def count_states(connection: Connection, job_id: int) -> dict[str, int]:
    """How many data objects of a job are in each state."""
    query = select(data_objects.c.state, func.count()).where(data_objects.c.job_id == job_id)
    return {state: count for state, count in connection.execute(query.group_by(data_objects.c.state)).all()}


def answer_counts(connection: Connection, job_id: int, positions: Sequence[int]) -> Counter[int]:
    """How many answers, edits among them, there are to each of these objects."""
    query = select(answers.c.position, func.count()).where(
        answers.c.job_id == job_id, answers.c.position.in_(positions)
    )
    return Counter(
        {position: count for position, count in connection.execute(query.group_by(answers.c.position)).all()}
    )


def has_objects(connection: Connection, job_id: int, condition: Any) -> bool:
    """Whether a job has a data object of which the condition holds."""
    query = select(data_objects.c.position).where(data_objects.c.job_id == job_id, condition).limit(1)
    return connection.execute(query).first() is not None


def already_labeled(content: Mapping[str, Any], attribute: str) -> bool:
    """Whether a data object came with this label. One that failed before, or misses answers, is asked again."""
    metadata = content.get(f"{attribute}-metadata")
    failed = isinstance(metadata, dict) and "failure-reason" in metadata
    return attribute in content and not failed and not missing_answers(content, attribute)
