"""The store: migrations, what it refuses, what it keeps secret."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError, StatementError

from trueground.errors import InputError
from trueground.service.engine import answering, leasing
from trueground.service.store.database import Database
from trueground.service.store.tables import answers, metadata, workers

ANSWER = {"crowd-image-classifier": {"label": "dog"}}
MIGRATIONS = Path(__file__).resolve().parents[2] / "trueground/service/store/migrations/versions"


def test_answers_can_neither_be_changed_nor_deleted(
    store: Database, people: Callable[[int], list[str]], stored_job: Callable[..., str]
) -> None:
    (worker,) = people(1)
    stored_job(objects=1)
    lease = leasing.next_assignment(store, worker)
    assert lease is not None
    answering.submit_answer(store, lease.id, worker, ANSWER, 1.0)
    for statement in (update(answers).values(seconds=9.0), delete(answers)):
        with pytest.raises(DBAPIError, match="append-only"), store.write() as connection:
            connection.execute(statement)
    with store.read() as connection:
        assert connection.execute(select(answers.c.content)).scalars().all() == [ANSWER]


def test_the_migrations_make_the_tables_that_the_code_asks_for(store: Database) -> None:
    with store.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    assert differences == []


def test_processes_that_start_together_migrate_once(store_url: str) -> None:
    def start(_: int) -> None:
        with closing(Database(store_url)) as store:
            store.migrate()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start, range(4)))
    newest = max(file.name for file in MIGRATIONS.glob("0*.py"))[:4]
    with closing(Database(store_url)) as store, store.read() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [newest]


def test_a_block_that_fails_leaves_nothing_behind(store: Database, people: Callable[[int], list[str]]) -> None:
    people(1)
    with pytest.raises(RuntimeError), store.write() as connection:
        connection.execute(update(workers).values(name="changed"))
        raise RuntimeError
    with store.read() as connection:
        assert connection.scalar(select(workers.c.name)) == "Worker 0"


def test_a_time_without_a_zone_is_not_stored(store: Database) -> None:
    with pytest.raises(StatementError, match="a time needs a zone"), store.write() as connection:
        connection.execute(update(workers).values(created_at=datetime(2026, 1, 1)))


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "nonsense"])
def test_a_store_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="store"):
        Database(url)


def test_a_store_out_of_reach_is_told_without_its_password() -> None:
    url = "postgresql://nobody:hidden@127.0.0.1:1/none"
    with pytest.raises(InputError, match="the store cannot be reached") as caught:
        Database(url).migrate()
    assert "hidden" not in str(caught.value)


def test_sqlite_confirms_a_write_only_when_it_is_on_disk(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path}/store.db")) as store, store.read() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
