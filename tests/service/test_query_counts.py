"""What one task costs the store: speed that does not depend on the machine or on how busy it is."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event, text

from tests.service.running import TEAM, add_team, postgresql_database
from trueground.service.app import create_app
from trueground.service.engine import accounts, first_start, jobs, queue_sql, teams
from trueground.service.engine.finisher import Finisher
from trueground.service.security import SecretBox
from trueground.service.settings import ServiceSettings
from trueground.service.store.batches import Statement
from trueground.service.store.database import Database

ANSWER = {"answerContent": {"crowd-image-classifier": {"label": "dog"}}, "secondsActive": 1.0}
STEP = 10
"""How often SQLite tells that it did so many instructions of its virtual machine."""
MOST_STATEMENTS = 17
"""Of one next task and its answer, with the begins and commits. Who asks, and what the job is, is remembered."""


_LARGE = re.compile(r"SCAN (assignments|answers|data_objects|a|o|g)( USING .*)?$")
"""A line of a plan that reads a whole large table. (Job by job, in an index that begins with it, is no SCAN.)"""


class Cost:
    """Counts what SQLite does, in all connections of this process."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.steps = 0
        self._counting = False
        self._connections: list[sqlite3.Connection] = []

    def connected(self, connection: Any, _record: object) -> None:
        self._connections.append(connection)
        self._listen(connection)

    def count(self, counting: bool = True) -> None:
        """Begin at nothing; or stop, since being told of every step makes SQLite slow."""
        self.statements, self.steps, self._counting = [], 0, counting
        for connection in self._connections:
            self._listen(connection)

    def _listen(self, connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(self.statements.append if self._counting else None)
        connection.set_progress_handler(self._step if self._counting else None, STEP)

    def _step(self) -> int:
        self.steps += 1
        return 0


@pytest.fixture
def cost() -> Iterator[Cost]:
    counter = Cost()
    event.listen(Engine, "connect", counter.connected)
    yield counter
    event.remove(Engine, "connect", counter.connected)


@pytest.fixture
def annotator(
    settings: ServiceSettings, job_request: Callable[..., dict[str, Any]], cost: Cost
) -> Iterator[Callable[[int], Callable[[], None]]]:
    """``annotator(objects)`` signs in to a job of that size; what it gives does one task of it.

    There are no background threads, so that nothing else is counted.
    """
    app = create_app(settings)
    with closing(Database(settings.database_url)) as db:
        first_start.prepare(db, SecretBox.load(settings.home), settings)
        definitions = [{"OidcMemberDefinition": {"Groups": ["annotators"]}}]
        request = {"WorkteamName": "annotators", "Description": "-", "MemberDefinitions": definitions}
        teams.create_workteam(db, settings, request)
        accounts.add_worker(db, "ann", "secret-secret-1")
        accounts.add_to_group(db, "ann", "annotators")

        def make(objects: int) -> Callable[[], None]:
            cost.count(False)
            name = f"of-{objects}"
            jobs.create_job(db, settings.storage(), settings, job_request(name, objects=objects))
            client = TestClient(app, base_url="http://localhost")
            answer = client.post("/api/session", json={"username": "ann", "password": "secret-secret-1"})
            client.headers["X-CSRF-Token"] = answer.json()["csrfToken"]

            def one_task() -> None:
                task = client.post("/api/work/next", json={"job": name}).json()["assignment"]
                given = client.post(f"/api/assignments/{task['id']}/answer", json=ANSWER)
                assert given.json()["accepted"]

            for _ in range(3):
                one_task()  # what is looked up once and then remembered
            cost.count()
            return one_task

        yield make


def test_a_task_and_its_answer_take_few_statements(annotator: Callable[[int], Callable[[], None]], cost: Cost) -> None:
    annotator(10)()
    assert len(cost.statements) <= MOST_STATEMENTS, "\n".join(cost.statements)


def test_a_task_costs_the_store_the_same_in_a_job_a_thousand_times_as_large(
    annotator: Callable[[int], Callable[[], None]], cost: Cost
) -> None:
    measured = []
    for objects in (10, 10_000):
        one_task = annotator(objects)
        one_task()
        measured.append((len(cost.statements), cost.steps))
    (few_statements, few_steps), (many_statements, many_steps) = measured
    assert many_statements == few_statements
    assert few_steps > 0
    assert many_steps <= 1.5 * few_steps


def test_the_last_objects_cost_as_much_as_the_first(annotator: Callable[[int], Callable[[], None]], cost: Cost) -> None:
    one_task = annotator(200)
    one_task()
    first = cost.steps
    for _ in range(150):
        one_task()
    cost.count()
    one_task()
    assert cost.steps <= 1.5 * first


def scans(store: str, statements: Iterable[str]) -> list[str]:
    """The statements that SQLite would read a whole large table for."""
    found = set()
    with closing(sqlite3.connect(store)) as connection:
        for statement in statements:
            values: Any = dict.fromkeys(re.findall(r"(?<![:\w]):([a-z_]+)", statement)) or [None] * statement.count("?")
            with suppress(sqlite3.OperationalError):  # BEGIN has no plan
                plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
                if any(_LARGE.match(line) for *_, line in plan):
                    found.add(statement)
    return sorted(found)


def _statements(value: Any) -> Iterator[str]:
    if isinstance(value, Statement):
        yield value.sqlite
    elif isinstance(value, dict):
        for one in value.values():
            yield from _statements(one)


def test_no_statement_of_the_queue_reads_a_whole_table(
    annotator: Callable[[int], Callable[[], None]], settings: ServiceSettings
) -> None:
    statements = [text for value in vars(queue_sql).values() for text in _statements(value)]
    assert len(statements) > 30
    assert scans(str(settings.home / "store.db"), statements) == []


def test_jobs_are_finished_without_reading_whole_tables(
    annotator: Callable[[int], Callable[[], None]], settings: ServiceSettings
) -> None:
    one_task = annotator(4)
    statements: set[str] = set()

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.add(statement)

    with closing(Database(settings.database_url)) as db:
        finisher = Finisher(db, settings.storage(), settings)
        event.listen(Engine, "before_cursor_execute", note)
        try:
            finisher.tick()
            one_task()
            finisher.tick()
            assert jobs.describe_job(db, settings, "of-4").status == "Completed"
        finally:
            event.remove(Engine, "before_cursor_execute", note)
    assert any("FROM answers" in statement for statement in statements)
    assert scans(str(settings.home / "store.db"), statements) == []


# Its autovacuum gathers them of one table after the other, and may be between any two.
@pytest.mark.parametrize("analyzed", [(), ("data_objects",), ("assignments",), ("data_objects", "assignments")])
def test_postgresql_reads_few_rows_for_a_task_of_a_job_whatever_statistics_it_has(
    settings: ServiceSettings,
    job_request: Callable[..., dict[str, Any]],
    answer_all: Callable[..., int],
    analyzed: tuple[str, ...],
) -> None:
    flush = Statement("SELECT pg_stat_force_next_flush()")
    query = text("SELECT sum(idx_tup_read), sum(seq_tup_read) FROM pg_stat_user_indexes JOIN pg_stat_user_tables "
                 "USING (relid) WHERE pg_stat_user_tables.relname IN ('assignments', 'data_objects')")  # fmt: skip
    with postgresql_database() as url, closing(Database(url)) as db:

        def rows_read() -> int:
            db.batches.run(lambda batch: batch.all(flush))
            with db.read() as connection:
                return sum(connection.execute(query).one())

        first_start.prepare(db, SecretBox.load(settings.home), settings)
        # While it looks at the tables, index entries of rows that are gone are read again and again.
        with db.write() as connection:
            for table in ("assignments", "data_objects"):
                connection.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = off)"))
        add_team(db, settings)
        people = [accounts.add_worker(db, name, "secret-secret-1") for name in ("ann", "bob")]
        for person in people:
            accounts.add_to_group(db, person.username, TEAM)
        jobs.create_job(db, settings.storage(), settings, job_request("animals", objects=6000))
        for person in people:
            answer_all(db, "animals", person.id, most=100)
        for table in analyzed:
            with db.write() as connection:
                connection.execute(text(f"ANALYZE {table}"))
        before = rows_read()
        for person in people:
            answer_all(db, "animals", person.id, most=100)
        assert 0 < rows_read() - before < 200 * 40
