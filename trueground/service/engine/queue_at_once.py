"""The usual case of the two requests that people make all day, in one statement each: on PostgreSQL, where each
statement is a journey to another process, and a dozen of them cost more than the work itself. What several people ask
at a time goes there and back together (:meth:`.Batch.ask_together`).

Whatever is unusual (gold objects, a worker who is paused or new here, a lock, an object that was declined or came back)
changes nothing and returns nothing; the general way in :mod:`.leasing` and :mod:`.answering` then decides. It follows
the same rules: no statement waits for a row that another process holds.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from trueground.service.engine.memory import JobFacts
from trueground.service.engine.queue_sql import FROM_MINE, NEVER_ASKED, holding_off_end
from trueground.service.store.batches import Batch, Question, Statement, Steps

# The job's end is held off on the same journey; whether it came before that, nobody has seen yet.
_NOT_ENDED = "EXISTS (SELECT 1 FROM labeling_jobs WHERE id = :job AND ended_at IS NULL{})"
_OPEN = _NOT_ENDED.format(" AND status = 'InProgress'")
# The cursor comes as a sub-select, not by a join, so that the index of free objects is entered there.
_NEXT_FREE = f"""
    FROM data_objects AS o
    WHERE o.job_id = :job AND o.free > 0 AND (o.available_until IS NULL OR o.available_until > :now)
      AND o.position > (SELECT cursor FROM place)
      AND (SELECT held < :held_at_once AND unknown = 0 FROM held)
      AND {NEVER_ASKED}
    ORDER BY o.position LIMIT 1
"""
_LEASE = Statement(f"""
    WITH place AS (
      SELECT cursor FROM job_workers WHERE job_id = :job AND worker_id = :worker AND paused_at IS NULL AND {_OPEN}
      {{FOR UPDATE SKIP LOCKED}}
    ), held AS (
      SELECT count(*) AS held, count(*) FILTER (WHERE NOT (id = ANY (CAST(:holding AS TEXT[])))) AS unknown
      FROM assignments
      WHERE worker_id = :worker AND job_id = :job AND state = 'leased' AND paused_at IS NULL AND expires_at > :now
    ), chosen AS (
      SELECT o.position, o.line, CAST(o.task_input AS TEXT) AS task_input, o.available_until
      {_NEXT_FREE} {{FOR UPDATE OF o SKIP LOCKED}}
    ), first AS (
      SELECT o.position {_NEXT_FREE}
    ), moved AS (
      UPDATE job_workers SET last_task_at = :now,
        cursor = GREATEST(cursor, CASE WHEN first.position = chosen.position THEN first.position
                                       ELSE first.position - 1 END)
      FROM chosen, first WHERE job_id = :job AND worker_id = :worker
    ), taken AS (
      UPDATE data_objects AS d SET free = d.free - 1, state = 'started'
      FROM chosen WHERE d.job_id = :job AND d.position = chosen.position
    ), leased AS (
      INSERT INTO assignments (id, job_id, position, worker_id, state, leased_at, expires_at, pages)
      SELECT :id, :job, position, :worker, 'leased', :now, LEAST(:expires_at, COALESCE(available_until, :expires_at)),
        :page
      FROM chosen RETURNING expires_at
    )
    SELECT position, line, task_input, expires_at FROM chosen, leased
""")
_KEEP = Statement(f"""
    WITH mine AS (
      SELECT a.position, a.leased_at
      {FROM_MINE} AND a.state = 'leased' AND a.expires_at > :now AND o.state || '' = 'started' AND o.declines = 0
        AND {_NOT_ENDED.format("")}
      {{FOR UPDATE OF a, o, w SKIP LOCKED}}
    ), kept AS (
      INSERT INTO answers
        (assignment_id, revision, job_id, position, worker_id, content, seconds, accepted_at, submitted_at)
      SELECT :id, 0, :job, position, :worker, CAST(:content AS JSON),
        LEAST(:seconds, EXTRACT(EPOCH FROM :now - leased_at)), leased_at, :now
      FROM mine
    ), submitted AS (
      UPDATE assignments SET state = 'submitted', paused_at = NULL FROM mine WHERE id = :id
    ), counted AS (
      UPDATE data_objects AS d SET answers = d.answers + 1,
        state = CASE WHEN d.answers + 1 >= d.wanted THEN 'answered' ELSE d.state END
      FROM mine WHERE d.job_id = :job AND d.position = mine.position RETURNING d.state
    ), worked AS (
      UPDATE job_workers SET answered = answered + 1 FROM mine WHERE job_id = :job AND worker_id = :worker
      RETURNING answered
    )
    SELECT answered, state FROM worked, counted
""")


def lease(
    batch: Batch,
    facts: JobFacts,
    worker_id: str,
    assignment_id: str,
    held_at_once: int,
    holding: Collection[str] | None,
    page: str | None,
) -> Steps[tuple[int, str, str | None, datetime] | None]:
    """Lease the next object ahead; its position, line, task input, and until when. ``None`` where it is not so simple.

    Args:
        held_at_once: leases that the worker may hold.
        holding: those that their pages know of; ``None``: whatever they are.
        page: the browser page that will show it.
    """
    if batch.waiting or not batch.locks or facts.gold_share is not None or facts.max_objects_out is not None:
        return None
    values = {
        "job": facts.id,
        "worker": worker_id,
        "now": batch.now,
        "id": assignment_id,
        "held_at_once": held_at_once,
        "holding": None if holding is None else list(holding),
        "page": page,
        "expires_at": min(batch.now + timedelta(seconds=facts.lease_seconds), facts.available_until),
    }
    found = yield holding_off_end(facts.id, alone=False), Question(_LEASE, values)
    if found is None:
        return None
    batch.written = True
    position, line, task_input, expires_at = found
    return position, line, task_input, batch.time(expires_at)


def keep(
    batch: Batch, facts: JobFacts, worker_id: str, assignment_id: str, content: str, seconds: float
) -> Steps[tuple[int, str] | None]:
    """Keep an answer: how many the worker gave, and the object's state now. ``None`` where it is not so simple."""
    if batch.waiting or not batch.locks:
        return None
    values = {
        "job": facts.id,
        "worker": worker_id,
        "now": batch.now,
        "id": assignment_id,
        "content": content,
        "seconds": float(seconds),
    }
    found = yield holding_off_end(facts.id, alone=facts.max_objects_out is not None), Question(_KEEP, values)
    if found is None:
        return None
    batch.written = True
    return found[0], found[1]
