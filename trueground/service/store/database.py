"""How to reach the store: connections, transactions, migrations."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, Executable, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, OperationalError

from trueground.errors import InputError
from trueground.service.store.batches import BatchWriter

MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 7_468_301_932_251


def now() -> datetime:
    """The time, in UTC. The store keeps no other."""
    return datetime.now(UTC)


class Database:
    """The store of one labeling service: SQLite (one machine) or PostgreSQL, with the same code.

    Threads may share it. On SQLite a write takes the store's one write lock at its begin, so two writers wait for
    each other and never fail half-way; an acknowledged write is on disk (``synchronous=FULL``).

    Args:
        url: an SQLAlchemy URL; ``postgresql://`` is taken as ``postgresql+psycopg://``.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise _wrong_url("this is not the URL of a database") from None
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.dialect = parsed.get_backend_name()
        if self.dialect not in ("sqlite", "postgresql"):
            raise _wrong_url(f"the store cannot be kept in {self.dialect!r}")
        options: dict[str, Any] = {
            "pool_size": 10,
            "max_overflow": 40,
            "pool_pre_ping": self.dialect == "postgresql",
            # The connection used last is used next: it has the statements prepared that all ask for.
            "pool_use_lifo": True,
            "hide_parameters": True,
        }
        if self.dialect == "sqlite":
            if parsed.database in (None, "", ":memory:"):
                raise _wrong_url("the store must be a file")
            # For its owner only: the store holds what people answered, and hashes of their passwords.
            Path(str(parsed.database)).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            options["connect_args"] = {"timeout": 30}
        try:
            self._writer: Engine = create_engine(parsed, **options)
        except ModuleNotFoundError as error:
            raise _wrong_url(f"{error.name} is not installed", "Install trueground[cluster].") from None
        if self.dialect == "sqlite":
            event.listen(self._writer, "connect", _set_up_sqlite)
            event.listen(self._writer, "begin", _begin_sqlite)
        # Set where a change in this process gives the finisher something to do at once; it also looks by itself.
        self.changed = threading.Event()
        self._reader = self._writer.execution_options(trueground_read=True)
        # A transaction's beginning and end are two more journeys to PostgreSQL, of no use to a single question.
        one = {"isolation_level": "AUTOCOMMIT"} if self.dialect == "postgresql" else {}
        self._asker = self._reader.execution_options(**one)
        # SQLite has one writer; threads of this process take turns instead of asking it again and again.
        self._turn: AbstractContextManager[Any] = threading.RLock() if self.dialect == "sqlite" else nullcontext()
        self.batches = BatchWriter(self._writer, "BEGIN IMMEDIATE" if self.dialect == "sqlite" else None, self._turn)
        # Counts the changes that this process made outside of batches: what it remembers of before is looked up anew.
        self.version = 0
        # Whatever the engine keeps of this store between requests.
        self.memory: Any = None

    @contextmanager
    def write(self, *, routine: bool = False) -> Iterator[Connection]:
        """A transaction that writes. Leaving the block commits; an exception undoes everything.

        ``routine``: it changes nothing that this process remembers of people, teams and open jobs.
        """
        try:
            with self._turn, self._writer.begin() as connection:
                yield connection
        finally:
            self.version += not routine

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads; it waits for no writer."""
        with self._reader.connect() as connection:
            yield connection

    @contextmanager
    def ask(self) -> Iterator[Connection]:
        """For one statement that only reads, such as is asked all the time."""
        with self._asker.connect() as connection:
            yield connection

    def migrate(self, revision: str = "head") -> None:
        """Bring the tables to this version. Several processes may do so at once; one does the work.

        Args:
            revision: the version of the schema; the newest, but in tests of migrations.

        Raises:
            InputError: the store cannot be reached.
        """
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with self._reached(), self._migrating() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)

    @contextmanager
    def _migrating(self) -> Iterator[Connection]:
        """A transaction in which tables may be changed."""
        if self.dialect == "postgresql":
            with self.write() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
                yield connection
            return
        with self._writer.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            # SQLite changes a table by copying it and dropping the old one, which would delete what refers to it.
            raw.execute("PRAGMA foreign_keys = OFF")
            try:
                with connection.begin():
                    yield connection
                    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
                    if broken:
                        raise RuntimeError(f"the migration would leave rows that refer to nothing: {broken[:5]}")
            finally:
                raw.execute("PRAGMA foreign_keys = ON")

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            raise InputError(f"the store cannot be reached: {error.orig}", field="store") from error

    def close(self) -> None:
        """Close all connections; writes that wait are done first."""
        self.batches.close()
        self._writer.dispose()


def _wrong_url(
    problem: str, hint: str = "Use sqlite:///path/store.db or postgresql://user:password@host/name."
) -> InputError:
    return InputError(problem, field="store", hint=hint)


def insert_or_ignore(connection: Connection, table: Table, values: dict[str, Any]) -> Executable:
    """An INSERT that does nothing where the key is there already."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return make(table).values(**values).on_conflict_do_nothing()


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # SQLAlchemy's own BEGIN (below) rather than sqlite3's, which begins late and only for some statements.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "busy_timeout = 30000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later can fail when another one wrote in between; so writers say so.
    reads = connection.get_execution_options().get("trueground_read")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
