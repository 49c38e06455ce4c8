"""The statements of the leased queue. What stands in braces is for PostgreSQL, whose processes lock rows.

No statement of a shared transaction waits for a row of a data object, an assignment or a worker's place in a job: they
skip what another process holds, and the operation is run again by itself, where it may wait. So two processes that do
many things at a time never wait for each other in a circle. Only a job's row is waited for, and it comes first.
"""

from __future__ import annotations

from trueground.service.store.batches import Question, Statement

# Shared by all that lease and answer; the job's end takes the row for itself and so waits for them.
_SHARE_JOB = Statement("SELECT status, ended_at FROM labeling_jobs WHERE id = :job {FOR SHARE}")
# Where the objects out at once are counted, nobody else may lease meanwhile.
_LOCK_JOB = Statement("SELECT status, ended_at FROM labeling_jobs WHERE id = :job {FOR UPDATE}")


def holding_off_end(job_id: int, *, alone: bool) -> Question:
    """A job's status and when it ended, its end held off. ``alone``: so are all others who lease or answer."""
    return Question(_LOCK_JOB if alone else _SHARE_JOB, {"job": job_id}, key=("job", job_id))


JOB_OF_ASSIGNMENT = Statement("SELECT job_id FROM assignments WHERE id = :id AND worker_id = :worker")

_PLACE = """
    SELECT cursor, answered, gold_seen, gold_right, paused_at, pause_reason FROM job_workers
    WHERE job_id = :job AND worker_id = :worker
"""
PLACE = Statement(_PLACE + "{FOR UPDATE SKIP LOCKED}")
PLACE_WAITING = Statement(_PLACE + "{FOR UPDATE}")
NEW_PLACE = Statement("""
    INSERT INTO job_workers (job_id, worker_id, cursor) VALUES (:job, :worker, -1) ON CONFLICT DO NOTHING
""")
MOVE_CURSOR = Statement("""
    UPDATE job_workers SET cursor = :cursor, last_task_at = :now WHERE job_id = :job AND worker_id = :worker
""")

HELD = Statement("""
    SELECT id, position, leased_at, expires_at, pages FROM assignments
    WHERE worker_id = :worker AND job_id = :job AND state = 'leased' AND paused_at IS NULL AND expires_at > :now
    ORDER BY leased_at
""")
LINE = Statement("""
    SELECT line, CAST(task_input AS TEXT) FROM data_objects WHERE job_id = :job AND position = :position
""")
OBJECTS_OUT = Statement("SELECT count(*) FROM data_objects WHERE job_id = :job AND state = 'started'")

# A worker who was asked about an object before is not asked again, unless they gave it back.
# The LIMIT changes nothing but keeps PostgreSQL from making a join of it, which would read all that the worker did; and
# with the worker in an expression, it takes no index over workers for this, which would do the same.
NEVER_ASKED = """NOT EXISTS (
      SELECT 1 FROM assignments AS a
      WHERE a.job_id = o.job_id AND a.position = o.position AND a.worker_id || '' = :worker
        AND a.state IN ('leased', 'submitted', 'declined', 'discarded') LIMIT 1 OFFSET 0)"""
_FREE = f"""
    FROM data_objects AS o
    WHERE o.job_id = :job AND o.free > 0 AND (o.available_until IS NULL OR o.available_until > :now) AND {NEVER_ASKED}
"""
_STARTED = " AND o.state = 'started' "
_COLUMNS = "SELECT o.position, o.line, CAST(o.task_input AS TEXT), o.available_until"
_AHEAD = " AND o.position > :cursor ORDER BY o.position LIMIT 1 "
_RETURNED = " AND o.returned AND o.position <= :cursor ORDER BY o.position LIMIT 1 "
_SKIP, _WAIT = "{FOR UPDATE OF o SKIP LOCKED}", "{FOR UPDATE OF o}"
FIRST_AHEAD = Statement("SELECT o.position" + _FREE + _AHEAD)
FIRST_RETURNED = Statement("SELECT o.position" + _FREE + _RETURNED)
# (only objects that are out already, waiting for a lock) -> statement
AHEAD = {
    (started, waiting): Statement(
        _COLUMNS + _FREE + (_STARTED if started else "") + _AHEAD + (_WAIT if waiting else _SKIP)
    )
    for started in (False, True)
    for waiting in (False, True)
}
RETURNED = {
    (started, waiting): Statement(
        _COLUMNS + _FREE + (_STARTED if started else "") + _RETURNED + (_WAIT if waiting else _SKIP)
    )
    for started in (False, True)
    for waiting in (False, True)
}
CERTAIN = Statement(_COLUMNS + _FREE + " AND o.position = :position {FOR UPDATE OF o}")
TAKE = Statement("""
    UPDATE data_objects SET free = free - 1, state = 'started' WHERE job_id = :job AND position = :position
""")
LEASE = Statement("""
    INSERT INTO assignments (id, job_id, position, worker_id, state, leased_at, expires_at, pages)
    VALUES (:id, :job, :position, :worker, 'leased', :leased_at, :expires_at, :page)
""")
SHOWN_ON = Statement("UPDATE assignments SET pages = :pages WHERE id = :id")

# Three rows, each by its whole key, whatever a planner thinks of a job that it knows nothing of yet. As expressions,
# the assignment's worker and job are compared, but no index over them is taken: it leads through all they ever did.
FROM_MINE = """
    FROM assignments AS a CROSS JOIN data_objects AS o CROSS JOIN job_workers AS w
    WHERE a.id = :id AND a.worker_id || '' = :worker AND a.job_id + 0 = :job
      AND o.job_id = :job AND o.position = (SELECT position FROM assignments WHERE id = :id)
      AND w.job_id = :job AND w.worker_id = :worker
"""
_MINE = f"""
    SELECT a.state, a.position, a.leased_at, a.expires_at, a.paused_at, a.remaining_seconds,
      o.state, o.answers, o.wanted, o.declines, w.answered, w.gold_seen, w.gold_right, CAST(o.label AS TEXT), a.pages
    {FROM_MINE}
"""
MINE = Statement(_MINE + "{FOR UPDATE OF a, o, w SKIP LOCKED}")
MINE_WAITING = Statement(_MINE + "{FOR UPDATE OF a, o, w}")

KEEP = Statement("""
    INSERT INTO answers
      (assignment_id, revision, job_id, position, worker_id, content, seconds, accepted_at, submitted_at)
    VALUES (:assignment, :revision, :job, :position, :worker, :content, :seconds, :accepted_at, :now)
""")
SUBMITTED = Statement("UPDATE assignments SET state = 'submitted', paused_at = NULL WHERE id = :id")
COUNT_ANSWER = Statement("""
    UPDATE data_objects SET answers = answers + 1, state = :state WHERE job_id = :job AND position = :position
""")
COUNT_WORK = Statement("""
    UPDATE job_workers SET answered = :answered, gold_seen = :gold_seen, gold_right = :gold_right
    WHERE job_id = :job AND worker_id = :worker
""")
REVISIONS = Statement("""
    SELECT CAST(content AS TEXT), submitted_at, revision FROM answers WHERE assignment_id = :id ORDER BY revision
""")
LAST_REVISION = Statement("""
    SELECT revision, accepted_at, seconds FROM answers WHERE assignment_id = :id ORDER BY revision DESC LIMIT 1
""")
IS_CONSOLIDATED = Statement("""
    SELECT 1 FROM data_objects AS o JOIN labeling_jobs AS j ON j.id = o.job_id
    WHERE o.job_id = :job AND o.position = :position AND o.iteration < j.iteration
""")
WRITE_AGAIN = Statement("""
    UPDATE data_objects SET state = 'answered' WHERE job_id = :job AND position = :position AND state = 'written'
""")

CLOSE = Statement("UPDATE assignments SET state = :state, reason = :reason, paused_at = NULL WHERE id = :id")
FREE_AGAIN = Statement("""
    UPDATE data_objects SET free = free + 1, returned = TRUE WHERE job_id = :job AND position = :position
""")
DUE = Statement("""
    SELECT a.id, a.position, o.state FROM assignments AS a
    JOIN data_objects AS o ON o.job_id = a.job_id AND o.position = a.position
    WHERE a.job_id = :job AND a.state = 'leased' AND a.expires_at <= :now LIMIT 500 {FOR UPDATE OF a, o SKIP LOCKED}
""")

DECLINED = Statement("""
    UPDATE data_objects SET declines = declines + 1, free = :free, returned = TRUE, state = :state,
      failure_reason = :failure_reason
    WHERE job_id = :job AND position = :position
""")
FREE_PLACES = Statement("SELECT free FROM data_objects WHERE job_id = :job AND position = :position")
OTHERS_AT_IT = Statement("""
    SELECT count(*) FROM assignments
    WHERE job_id = :job AND position = :position AND state = 'leased' AND id != :id
""")
NOT_ASKED_YET = Statement("""
    SELECT m.worker_id FROM worker_groups AS m
    JOIN workteam_groups AS g ON g.group_name = m.group_name
    JOIN workers AS p ON p.id = m.worker_id
    WHERE g.workteam = :workteam AND p.disabled_at IS NULL
      AND NOT EXISTS (
        SELECT 1 FROM job_workers AS w
        WHERE w.job_id = :job AND w.worker_id = m.worker_id AND w.paused_at IS NOT NULL)
      AND NOT EXISTS (
        SELECT 1 FROM assignments AS a
        WHERE a.job_id = :job AND a.position = :position AND a.worker_id = m.worker_id
          AND a.state IN ('leased', 'submitted', 'declined', 'discarded'))
""")
ASK_NO_MORE = Statement("UPDATE data_objects SET free = 0 WHERE job_id = :job AND position = :position")
# The states in these words, since SQLite uses the index of an object's assignments only then.
REASONS = Statement("""
    SELECT reason FROM assignments WHERE job_id = :job AND position = :position AND state = 'declined'
      AND state IN ('leased', 'submitted', 'declined', 'discarded')
""")

PAUSE = Statement("""
    UPDATE assignments SET paused_at = :now, remaining_seconds = :remaining, expires_at = :until WHERE id = :id
""")
RESUME = Statement("""
    UPDATE assignments SET paused_at = NULL, remaining_seconds = NULL, leased_at = :leased_at, expires_at = :expires_at
    WHERE id = :id
""")
SAVE_DRAFT = Statement("""
    INSERT INTO drafts (assignment_id, content, seconds, saved_at) VALUES (:id, :content, :seconds, :now)
    ON CONFLICT (assignment_id) DO UPDATE
    SET content = excluded.content, seconds = excluded.seconds, saved_at = excluded.saved_at
""")

GOLD = Statement("""
    SELECT o.position, o.line, CAST(o.task_input AS TEXT), o.available_until FROM data_objects AS o
    WHERE o.job_id = :job AND o.state = 'gold'
      AND NOT EXISTS (
        SELECT 1 FROM assignments AS a
        WHERE a.job_id = o.job_id AND a.position = o.position AND a.worker_id = :worker
          AND a.state NOT IN ('released', 'expired'))
    ORDER BY (o.position % 1009 * 31 + :turn) % 1009, o.position LIMIT 1
""")
PAUSE_WORKER = Statement("""
    UPDATE job_workers SET paused_at = :now, pause_reason = :reason
    WHERE job_id = :job AND worker_id = :worker AND paused_at IS NULL
""")
