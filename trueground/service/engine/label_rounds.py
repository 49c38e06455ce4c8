"""The rounds of a job with automated labeling, as the store keeps them.

A round's plan is stored before anybody is asked, and says who is asked and what the machine would label; from then on
nothing can change it, which is what the promise rests on (:mod:`trueground.autolabel.audit`). A round is settled, and
the next one begun, in one transaction: after a crash either both are there or neither.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, bindparam, func, insert, literal_column, select, update

from trueground.service.engine.job_rows import OPEN, answer_counts, count_states, has_objects
from trueground.service.engine.preparation import must_be_prepared
from trueground.service.store.bulk import in_parts
from trueground.service.store.database import Database, now
from trueground.service.store.tables import data_objects, label_rounds, labeling_jobs

if TYPE_CHECKING:
    from trueground.autolabel.audit import Settlement
    from trueground.autolabel.choose import RoundPlan

AHEAD = 5
"""Objects of the next round that are opened at a time for workers who would have nothing to do."""


@dataclass(frozen=True, slots=True)
class LabelRound:
    """One round. Plan and settlement name objects by their position."""

    number: int
    plan: RoundPlan
    settlement: Mapping[str, Any] | None

    @property
    def drawn(self) -> set[int]:
        """The objects that it chose at random."""
        return {*self.plan.audit, *((*self.plan.query, *self.plan.reserve) if self.plan.at_random else ())}


@dataclass(frozen=True, slots=True)
class MachineLabel:
    """What the machine labeled: the keys in the output manifest."""

    position: int
    keys: Mapping[str, Any]


def read_rounds(connection: Connection, job_id: int) -> list[LabelRound]:
    """The rounds so far, the first one first."""
    from trueground.autolabel.choose import RoundPlan

    query = select(label_rounds).where(label_rounds.c.job_id == job_id).order_by(label_rounds.c.number)
    return [LabelRound(row.number, RoundPlan(**row.plan), row.settlement) for row in connection.execute(query)]


def are_over(connection: Connection, job: Row[Any]) -> bool:
    """Whether the last round is settled, so that the job ends when nothing of it is open.

    The last one there is now, whichever it was when ``job`` was read.
    """
    last = select(labeling_jobs.c.iteration).where(labeling_jobs.c.id == job.id).scalar_subquery()
    query = select(label_rounds.c.settled_at).where(label_rounds.c.job_id == job.id, label_rounds.c.number == last)
    return connection.scalar(query) is not None


def is_answered(connection: Connection, job: Row[Any]) -> bool:
    """Whether all that the round asked has been answered and consolidated, or failed."""
    missing = data_objects.c.state.in_((*OPEN, "answered")) & (data_objects.c.iteration <= job.iteration)
    return not has_objects(connection, job.id, missing)


def people_allowed(connection: Connection, job: Row[Any], machine: int = 0) -> int:
    """How many more objects the stopping conditions let people be asked about; below 0, too many were.

    ``machine``: so many more labels are about to come from the machine.
    """
    conditions = job.request.get("StoppingConditions", {})
    asked = connection.scalar(
        select(func.count()).where(data_objects.c.job_id == job.id, data_objects.c.iteration.is_not(None))
    )
    asked = asked or 0
    allowed: int = job.objects
    most: int | None = conditions.get("MaxHumanLabeledObjectCount")
    if most is not None:
        allowed = min(allowed, most - asked)
    percentage = conditions.get("MaxPercentageOfInputDatasetLabeled")
    if percentage is not None:
        counts = count_states(connection, job.id)
        labeled = counts.get("labeled", 0) + counts.get("machine", 0) + machine + asked
        allowed = min(allowed, job.objects * percentage // 100 - labeled)
    return allowed


def asked_ahead(connection: Connection, job: Row[Any]) -> int:
    """How many objects of the round to come have been opened already."""
    query = select(func.count()).where(data_objects.c.job_id == job.id, data_objects.c.iteration > job.iteration)
    return connection.scalar(query) or 0


def begin(db: Database, job: Row[Any], plan: RoundPlan) -> None:
    """Begin the first round, if that is still to be done."""
    with db.write() as connection:
        if _is_current(connection, job):
            _begin(connection, job, 1, plan)
    db.changed.set()


class PlannedTooMany(Exception):
    """Others were asked ahead since a round was planned; now it would ask more than a stopping condition lets it."""


def settle(
    db: Database,
    job: Row[Any],
    settlement: Settlement | None,
    labels: Sequence[MachineLabel],
    audit_answers: Mapping[int, int],
    following: RoundPlan | None,
) -> bool:
    """Keep what came of the current round and begin the next one, if there is one; whether that was done.

    It is not where the job has ended or another process was first, or where somebody changed an answer to an audited
    object since ``audit_answers`` were counted: then it must be looked at again.

    Raises:
        PlannedTooMany: nothing was kept; the following round must be planned anew.
    """
    at = now()
    with db.write() as connection:
        if not _is_current(connection, job) or count_answers(connection, job.id, list(audit_answers)) != audit_answers:
            return False
        this = (label_rounds.c.job_id == job.id) & (label_rounds.c.number == job.iteration)
        before = count_states(connection, job.id).get("machine", 0)
        if labels:
            open_still = (data_objects.c.job_id == job.id) & (data_objects.c.position == bindparam("at"))
            connection.execute(
                # Not what a worker was asked about meanwhile.
                update(data_objects)
                .where(open_still, data_objects.c.state == "withheld")
                .values(state="machine", label=bindparam("keys")),
                [{"at": label.position, "keys": dict(label.keys)} for label in labels],
            )
        # What was accepted stands with the objects.
        outcome = {} if settlement is None else asdict(settlement)
        facts: dict[str, Any] = {name: outcome[name] for name in ("audited", "wrong", "error_bound") if name in outcome}
        facts["accepted"] = count_states(connection, job.id).get("machine", 0) - before
        connection.execute(update(label_rounds).where(this).values(settlement=facts, settled_at=at))
        if following is not None:
            _begin(connection, job, job.iteration + 1, following)
            if people_allowed(connection, job) < 0:
                raise PlannedTooMany
    db.changed.set()
    return True


def ask_ahead(db: Database, job: Row[Any], plan: RoundPlan) -> None:
    """Open a few objects of the round to come, if nobody can get a task of this one any more."""
    with db.read() as connection:
        free = (data_objects.c.free > literal_column("0")) | (data_objects.c.state == "unprepared")
        if has_objects(connection, job.id, free) or people_allowed(connection, job) <= 0:
            return
        closed = _withheld(connection, job.id, plan.reserve)
    chosen = [position for position in plan.reserve if position in closed][:AHEAD]
    if not chosen:
        return
    with db.write(routine=True) as connection:
        if _is_current(connection, job):
            _open(connection, job, chosen[: max(0, people_allowed(connection, job))], job.iteration + 1)
    db.changed.set()


def count_answers(connection: Connection, job_id: int, positions: Sequence[int]) -> dict[int, int]:
    """How many answers, edits among them, there are to each of these objects."""
    found = dict.fromkeys(positions, 0)
    for some in in_parts(positions):
        found.update(answer_counts(connection, job_id, some))
    return found


def _is_current(connection: Connection, job: Row[Any]) -> bool:
    """Whether the job still is where ``job`` says. Holds off its end, and all answers to it, until the commit."""
    mine = labeling_jobs.c.id == job.id
    query = select(labeling_jobs.c.iteration, labeling_jobs.c.status, labeling_jobs.c.ended_at).where(mine)
    row = connection.execute(query.with_for_update()).first()
    return row is not None and (row.iteration, row.status, row.ended_at) == (job.iteration, "InProgress", None)


def _begin(connection: Connection, job: Row[Any], number: int, plan: RoundPlan) -> None:
    at = now()
    connection.execute(insert(label_rounds).values(job_id=job.id, number=number, plan=asdict(plan), started_at=at))
    connection.execute(
        update(labeling_jobs).where(labeling_jobs.c.id == job.id).values(iteration=number, modified_at=at)
    )
    _open(connection, job, [*plan.query, *plan.audit], number)


def _open(connection: Connection, job: Row[Any], positions: Sequence[int], number: int) -> None:
    """Let people have these objects."""
    for some in in_parts(sorted(positions)):
        query = select(data_objects.c.position, data_objects.c.line).where(
            data_objects.c.job_id == job.id, data_objects.c.position.in_(some), data_objects.c.state == "withheld"
        )
        rows = connection.execute(query).all()
        ready = [row.position for row in rows if not must_be_prepared(False, json.loads(row.line))]
        first = [row.position for row in rows if row.position not in set(ready)]
        for chosen, values in (
            # As if they had come back: workers who already got later objects look for them among those.
            (ready, {"state": "waiting", "free": data_objects.c.wanted, "returned": True}),
            (first, {"state": "unprepared"}),
        ):
            if chosen:
                these = (data_objects.c.job_id == job.id) & data_objects.c.position.in_(chosen)
                connection.execute(update(data_objects).where(these).values(iteration=number, **values))


def _withheld(connection: Connection, job_id: int, positions: Sequence[int]) -> set[int]:
    found: set[int] = set()
    for some in in_parts(positions):
        these = (data_objects.c.job_id == job_id) & data_objects.c.position.in_(some)
        found.update(
            connection.scalars(select(data_objects.c.position).where(these, data_objects.c.state == "withheld"))
        )
    return found
