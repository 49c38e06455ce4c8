"""The labels of a streaming job: made as soon as an object has its answers, kept in the store, then sent.

An object stays ``answered`` until its label is kept and sent, and is ``written`` then. After a crash a label may be
sent once more, the same one, but is never lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, bindparam, select, update

from trueground.service.engine import adaptive, post_function
from trueground.service.engine.function_calls import FunctionCalls
from trueground.service.engine.functions import own_function
from trueground.service.engine.output import NO_LABEL, Output
from trueground.service.engine.topics import Topics
from trueground.service.store.database import Database, now
from trueground.service.store.tables import data_objects

AT_ONCE = 100
LEARNED_FROM = 1000
"""Workers' reliability is learned from the last so many objects."""


def settle(output: Output, calls: FunctionCalls, topics: Topics) -> None:
    """Label and send every object that has its answers; may be repeated.

    Raises:
        Unreachable: the topic does not take the labels; they are kept.
    """
    job = output.job
    topic = job.request["OutputConfig"].get("SnsTopicArn")
    while rows := _answered(output.db, job.id):
        new = [row.position for row in rows if row.label is None]
        if new and job.ended_at is None:
            again = adaptive.ask_more(output.db, job, new)
            new = [position for position in new if position not in again]
        if new:
            output.write_responses(new)
            _label(replace(output, at=now()), calls, new)
        _send(output, topics, topic)


def _answered(db: Database, job_id: int) -> Sequence[Row[int, Any]]:
    query = (
        select(data_objects.c.position, data_objects.c.label)
        .where(data_objects.c.job_id == job_id, data_objects.c.state == "answered")
        .order_by(data_objects.c.position)
        .limit(AT_ONCE)
    )
    with db.read() as connection:
        return connection.execute(query).all()


def _label(output: Output, calls: FunctionCalls, positions: list[int]) -> None:
    """Keep the label of each, or that none could be made."""
    function = own_function(output.job.post_function, output.settings)
    if function is not None:
        post_function.consolidate_now(output, function, calls, positions)
        return
    last = max(positions) + 1
    first = max(0, last - LEARNED_FROM)
    # Seen once: meanwhile more answers come.
    seen = [
        *output.objects([position for position in positions if position < first]),
        *output.objects(range(first, last)),
    ]
    near = [found for found in seen if found.answers and (found.state == "written" or found.position in positions)]
    labels = output.labels_of(near)
    made = {position: labels.get(position) for position in positions}
    mine = (data_objects.c.job_id == output.job.id) & (data_objects.c.position == bindparam("at"))
    mine &= data_objects.c.state == "answered"
    kept = [{"at": position, "label": keys} for position, keys in made.items() if keys is not None]
    failed = [{"at": position} for position, keys in made.items() if keys is None]
    with output.db.write(routine=True) as connection:
        if kept:
            connection.execute(update(data_objects).where(mine).values(label=bindparam("label")), kept)
        if failed:
            failure = {"state": "failed", "failure_reason": NO_LABEL}
            connection.execute(update(data_objects).where(mine).values(**failure), failed)


def _send(output: Output, topics: Topics, topic: str | None) -> None:
    positions = [row.position for row in _answered(output.db, output.job.id) if row.label is not None]
    if not positions:
        return
    if topic:
        topics.publish(topic, [output.line(found) for found in output.objects(positions)])
    with output.db.write(routine=True) as connection:
        sent = (data_objects.c.job_id == output.job.id) & data_objects.c.position.in_(positions)
        connection.execute(update(data_objects).where(sent).values(state="written"))
