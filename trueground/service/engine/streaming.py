"""Data objects that come while a labeling job runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from trueground.errors import InputError
from trueground.service.engine import audit_log
from trueground.service.engine.actors import SERVICE, actor_now
from trueground.service.engine.errors import Invalid
from trueground.service.engine.function_calls import reason_of, storable
from trueground.service.engine.functions import check_object, own_function
from trueground.service.engine.job_request import AVAILABILITY_SECONDS
from trueground.service.engine.job_rows import EXPIRED, OPEN, already_labeled, end_of_open_objects, find_job
from trueground.service.engine.manifest import Line, parse_line
from trueground.service.engine.output_files import to_json
from trueground.service.engine.preparation import must_be_prepared
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import IS_LEASED, assignments, data_objects, labeling_jobs
from trueground.storage import Storage

ID_NAME = "dataset-objectid-attribute-name"
"""The key of a data object that names the key which holds its id."""
NAME_CHARACTERS, ID_CHARACTERS = 140, 1024
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Pushed:
    """One data object on its way into a job.

    Attributes:
        text: its manifest line, or what was sent instead of one.
        dedup_key: its id where the line names none; ``None``: then it is never taken for a duplicate.
        keys: what goes into the line with that id.
        must_be_kept: nobody can be told that it is wrong, so it becomes a failed object.
    """

    text: str
    dedup_key: str | None = None
    keys: Mapping[str, Any] | None = None
    must_be_kept: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one: ``added``, ``duplicate`` or ``refused``."""

    status: str
    position: int | None = None
    """Of the object, also of the one that was there before."""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Checked:
    """A row in the making."""

    line: str
    dedup_key: str | None
    state: str
    failure_reason: str | None = None


def add_objects(
    db: Database, storage: Storage, settings: ServiceSettings, job_name: str, pushed: Sequence[Pushed]
) -> list[Outcome]:
    """Append data objects to a running streaming job; the outcome of each, in order.

    When this returns, those that were added are on disk.

    Raises:
        NotFound: there is no such job.
        Invalid: it is not a streaming job, or takes no more objects.
    """
    with db.read() as connection:
        job = _open_job(connection, job_name)
    checked: list[_Checked | Outcome] = []
    for one in pushed:
        try:
            checked.append(_check(job, storage, settings, one))
        except InputError as error:
            reason = reason_of(error)
            if not one.must_be_kept:
                checked.append(Outcome("refused", reason=reason))
            else:
                checked.append(_Checked(_as_line(one), _key(one), "failed", reason))
    with db.write(routine=True) as connection:
        _open_job(connection, job_name, lock=True)
        outcomes = append(connection, job, checked)
        added = sum(outcome.status == "added" for outcome in outcomes)
        # What comes through a topic is nobody's act here.
        if added and actor_now() != SERVICE:
            detail = {"added": added}
            audit_log.record(connection, act="PushObjects", resource=f"labeling-job/{job_name}", detail=detail)
    db.changed.set()
    return outcomes


def manifest_rows(job: Row[Any], settings: ServiceSettings, lines: Iterable[Line]) -> list[_Checked | Outcome]:
    """The objects of the manifest that a streaming job may begin with, already checked."""
    return [_row(job, settings, line, own_id(line.content)) for line in lines]


def append(connection: Connection, job: Row[Any], checked: Sequence[_Checked | Outcome]) -> list[Outcome]:
    """Store objects behind the last one. The job's row must be locked."""
    last = connection.scalar(select(func.max(data_objects.c.position)).where(data_objects.c.job_id == job.id))
    position = -1 if last is None else int(last)
    known = _known(connection, job.id, [one.dedup_key for one in checked if isinstance(one, _Checked)])
    rows, outcomes = [], []
    expires = _expires(job)
    for one in checked:
        if isinstance(one, Outcome):
            outcomes.append(one)
            continue
        if one.dedup_key is not None and one.dedup_key in known:
            outcomes.append(Outcome("duplicate", known[one.dedup_key]))
            continue
        position += 1
        if one.dedup_key is not None:
            known[one.dedup_key] = position
        rows.append(
            {
                "job_id": job.id,
                "position": position,
                "line": one.line,
                "state": one.state,
                "free": job.workers_per_object if one.state == "waiting" else 0,
                "answers": 0,
                "wanted": job.workers_per_object,
                "returned": False,
                "dedup_key": one.dedup_key,
                "failure_reason": one.failure_reason,
                "available_until": expires,
            }
        )
        refused = one.state == "failed"
        outcomes.append(Outcome("refused" if refused else "added", position, one.failure_reason))
    if rows:
        connection.execute(insert(data_objects), rows)
        connection.execute(
            update(labeling_jobs)
            .where(labeling_jobs.c.id == job.id)
            .values(objects=labeling_jobs.c.objects + len(rows), modified_at=now())
        )
    return outcomes


def expire_objects(db: Database, job_id: int) -> None:
    """End what nobody answered in time; what has some of its answers is labeled from those."""
    late = (
        (data_objects.c.job_id == job_id) & data_objects.c.state.in_(OPEN) & (data_objects.c.available_until <= now())
    )
    with db.read() as connection:
        if connection.execute(select(data_objects.c.position).where(late).limit(1)).first() is None:
            return
    with db.write(routine=True) as connection:
        # The queue holds the job's row while it changes an object.
        connection.execute(select(labeling_jobs.c.id).where(labeling_jobs.c.id == job_id).with_for_update())
        # Those that were put aside run longer than their objects.
        these = assignments.c.position.in_(select(data_objects.c.position).where(late))
        held = (assignments.c.job_id == job_id) & IS_LEASED & these
        connection.execute(update(assignments).where(held).values(state="expired"))
        connection.execute(update(data_objects).where(late).values(**end_of_open_objects(EXPIRED)))


def _open_job(connection: Connection, name: str, *, lock: bool = False) -> Row[Any]:
    job = find_job(connection, name, lock=lock)
    if not job.streaming:
        raise Invalid(f"the labeling job {name!r} is not a streaming job: it takes no more objects")
    if job.status != "InProgress" or job.ended_at is not None:
        raise Invalid(f"the labeling job {name!r} is {job.status}; only a job in progress takes objects")
    return job


def _check(job: Row[Any], storage: Storage, settings: ServiceSettings, one: Pushed) -> _Checked:
    """Raises :class:`InputError`."""

    def fits(content: dict[str, Any]) -> None:
        check_object(job.pre_function, job.post_function, content, job.categories)

    line = parse_line(storage, one.text.encode("utf-8", "surrogatepass"), fits, streaming=True)
    own = own_id(line.content)
    if own is None and one.keys:
        content = {**line.content, **one.keys}
        line = Line(to_json(content).decode(), content)
    return _row(job, settings, line, own or _key(one))


def _row(job: Row[Any], settings: ServiceSettings, line: Line, dedup_key: str | None) -> _Checked:
    if already_labeled(line.content, job.request["LabelAttributeName"]):
        state = "labeled"
    elif must_be_prepared(own_function(job.pre_function, settings) is not None, line.content):
        state = "unprepared"
    else:
        state = "waiting"
    return _Checked(line.text, dedup_key, state)


def own_id(content: Mapping[str, Any]) -> str | None:
    """The id that a data object brings. Raises :class:`InputError`."""
    if ID_NAME not in content:
        return None
    name = content[ID_NAME]
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS:
        raise InputError(f"the value must be the name of a key, of {NAME_CHARACTERS} characters at most", field=ID_NAME)
    found = content.get(name)
    if not isinstance(found, str) or not 0 < len(found) <= ID_CHARACTERS or found != storable(found):
        raise InputError(f"the object's id must be a text of {ID_CHARACTERS} characters at most", field=name)
    return found


def _key(one: Pushed) -> str | None:
    """What a sender makes up must fit into the store, or its queue would wait behind it for ever."""
    return None if one.dedup_key is None else storable(one.dedup_key)


def _as_line(one: Pushed) -> str:
    """What was sent, as a line of the output manifest: whatever it was, it is not lost."""
    try:
        content = json.loads(one.text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or "\\u0000" in json.dumps(content):
        content = {"source": one.text.replace("\0", "\N{REPLACEMENT CHARACTER}")}
    return json.dumps({**content, **(one.keys or {})})


def _known(connection: Connection, job_id: int, keys: Sequence[str | None]) -> dict[str, int]:
    wanted = [key for key in keys if key is not None]
    found: dict[str, int] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        query = select(data_objects.c.dedup_key, data_objects.c.position).where(
            data_objects.c.job_id == job_id, data_objects.c.dedup_key.in_(wanted[start : start + _AT_ONCE])
        )
        found |= {key: position for key, position in connection.execute(query)}
    return found


def _expires(job: Row[Any]) -> datetime:
    """Each object has its own time; the job goes on."""
    human = job.request["HumanTaskConfig"]
    return now() + timedelta(seconds=human.get("TaskAvailabilityLifetimeInSeconds", AVAILABILITY_SECONDS))
