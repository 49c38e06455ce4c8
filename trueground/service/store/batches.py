"""Many small writes in one transaction.

People ask for tasks and submit answers all the time, each of them a write of its own, and a commit costs more than the
rows it keeps. So one thread of each process takes whatever waits, does it in one transaction, and tells everybody after
the commit: nothing is acknowledged that is not on disk, and under load one commit serves many people.

Where the database is another process, each statement is a journey there and back. So an operation may be a generator
that yields what it asks in the usual case: the questions of all operations go on one journey.

Here alone SQL is text and the driver is spoken to directly: building statements anew for each request would cost more
than running them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import re
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import GeneratorType
from typing import Any, Generic, TypeVar, overload

from sqlalchemy import Engine

from trueground.errors import TruegroundError

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Row = tuple[Any, ...]
Steps = Generator[Sequence["Question"], Row | None, Result]
"""What an operation does whose questions may travel with those of others: it yields some, the last of them without a
key, and goes on with the first row of the last one's answer."""
Operation = Callable[["Batch"], Result]
StepwiseOperation = Callable[["Batch"], Steps[Result]]
"""Reads and writes through a :class:`Batch`. A refusal (:class:`TruegroundError`) must be raised before the first
write; an operation may be run again after anything else went wrong, so it must bear that."""

AT_ONCE = 64
"""Operations in one transaction at most: more would make the first of them wait for the last."""
_PLANS = (
    "plan_cache_mode = force_generic_plan",
    "enable_seqscan = off",
    "enable_bitmapscan = off",
    "enable_hashjoin = off",
    "enable_mergejoin = off",
)
"""All that is done here is to look up a few rows by an index, in its order. Left to itself, PostgreSQL plans that anew
each time, and while it has no statistics of a new job's rows it reads and sorts thousands of them for the first one."""
_LOCK = re.compile(r"\s*\{([^}]*)\}")
_NAME = re.compile(r"(?<!:):(\w+)")


class TryAgain(Exception):
    """What the operation needs is locked by another process: run it once more, alone, and let it wait."""


class Statement:
    """One SQL statement with ``:named`` values, for both databases. What stands in braces is for PostgreSQL only."""

    def __init__(self, text: str) -> None:
        text = " ".join(text.split())
        self.sqlite = _LOCK.sub("", text)
        self.postgresql = _NAME.sub(r"%(\1)s", _LOCK.sub(r" \1", text).replace("%", "%%"))


@dataclass(frozen=True, slots=True)
class Question:
    """A statement with its values. With a ``key`` it is asked once in a transaction, and its first row is shared."""

    statement: Statement
    values: Mapping[str, Any]
    key: Any = None


class Batch:
    """One transaction, and what operations in it may share.

    Attributes:
        now: the time of the transaction, in UTC.
        waiting: this operation runs alone and may wait for locks of other processes.
        locks: other processes may hold rows; on SQLite only one writes at a time.
        shared: answers that serve all operations, by the key of their question.
    """

    def __init__(self, connection: Any, dialect: str, *, waiting: bool = False) -> None:
        self._sqlite = dialect == "sqlite"
        self._connection = connection
        self._cursor = connection.cursor()
        self.now = datetime.now(UTC)
        self.waiting = waiting
        self.locks = dialect != "sqlite"
        self.shared: dict[Any, Row | None] = {}
        self.written = False

    def one(self, statement: Statement, **values: Any) -> tuple[Any, ...] | None:
        """The first row."""
        self._execute(statement, values)
        row: Row | None = self._cursor.fetchone()
        return row

    def all(self, statement: Statement, **values: Any) -> list[Row]:
        """All rows."""
        self._execute(statement, values)
        rows: list[Row] = self._cursor.fetchall()
        return rows

    def share(self, question: Question) -> Row | None:
        """The answer to a question with a key, asked if it was not."""
        if question.key not in self.shared:
            self.shared[question.key] = self.one(question.statement, **question.values)
        return self.shared[question.key]

    def ask_together(self, several: Iterable[Sequence[Question]]) -> list[Row | None]:
        """The answer to the last question of each operation, all asked on one journey (PostgreSQL only)."""
        shared: dict[Any, Any] = {}
        last: list[Any] = []
        with self._connection.pipeline():
            for *before, question in several:
                for common in before:
                    if common.key not in self.shared and common.key not in shared:
                        shared[common.key] = self._connection.execute(common.statement.postgresql, common.values)
                last.append(self._connection.execute(question.statement.postgresql, question.values))
        self.shared.update((key, cursor.fetchone()) for key, cursor in shared.items())
        return [cursor.fetchone() for cursor in last]

    def change(self, statement: Statement, **values: Any) -> int:
        """Write; returns how many rows there were."""
        self.written = True
        self._execute(statement, values)
        return int(self._cursor.rowcount)

    def time(self, value: Any) -> datetime:
        """A time as the driver gives it."""
        if isinstance(value, str):
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        assert isinstance(value, datetime)
        return value.astimezone(UTC)

    def _execute(self, statement: Statement, values: dict[str, Any]) -> None:
        if self._sqlite:
            for name, value in values.items():
                if isinstance(value, datetime):
                    # The form in which SQLAlchemy keeps times in SQLite.
                    values[name] = value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
            self._cursor.execute(statement.sqlite, values)
        else:
            self._cursor.execute(statement.postgresql, values)


class _Waiting(Generic[Result]):
    """An operation, and whom to tell."""

    __slots__ = ("future", "operation", "outcome", "steps", "written")

    def __init__(self, operation: Operation[Any], future: Future[Result] | asyncio.Future[Result]) -> None:
        self.operation, self.future = operation, future
        self.outcome: tuple[Result | None, BaseException | None] = (None, None)
        self.again()

    def again(self) -> None:
        """Begin from the beginning."""
        self.steps: Steps[Result] | None = None
        self.written = False

    def go_on(self, batch: Batch, row: Row | None) -> Sequence[Question] | None:
        """Run the operation up to where it asks something; ``None`` once it has an outcome."""
        batch.written = False
        try:
            if self.steps is None:
                result = self.operation(batch)
                if not isinstance(result, GeneratorType):
                    self.outcome = (result, None)
                    return None
                self.steps = result
            return self.steps.send(row)
        except StopIteration as end:
            self.outcome = (end.value, None)
        except TruegroundError as error:
            if self.written or batch.written:
                raise RuntimeError("an operation wrote something and then refused") from error
            self.outcome = (None, error)
        finally:
            self.written |= batch.written
        return None


class BatchWriter:
    """Runs operations in the order they come, several in one transaction.

    Args:
        engine: where connections come from.
        begin: the statement that begins a transaction; ``None`` where the driver does it.
        turn: held during a transaction.
    """

    def __init__(self, engine: Engine, begin: str | None, turn: AbstractContextManager[Any]) -> None:
        self._engine, self._begin, self._turn = engine, begin, turn
        self._dialect = engine.dialect.name
        self._waiting: queue.SimpleQueue[_Waiting[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process = 0
        self._connection: Any = None

    @overload
    def run(self, operation: StepwiseOperation[Result]) -> Result: ...

    @overload
    def run(self, operation: Operation[Result]) -> Result: ...

    def run(self, operation: Operation[Any]) -> Any:
        """Run an operation; returns after its commit. For threads."""
        future: Future[Any] = Future()
        self._put(_Waiting(operation, future))
        return future.result()

    async def run_async(self, operation: StepwiseOperation[Result]) -> Result:
        """The same for coroutines."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._put(_Waiting(operation, future))
        return await future

    def close(self) -> None:
        """Finish what waits and end the thread."""
        with self._lock:
            if self._thread is not None and self._process == os.getpid():
                self._waiting.put(None)
                self._thread.join()
            self._thread = None

    def _put(self, waiting: _Waiting[Any]) -> None:
        if self._thread is None or self._process != os.getpid():
            self._start()
        self._waiting.put(waiting)

    def _start(self) -> None:
        with self._lock:
            # A server may have forked since: the thread stayed behind in the parent, with its connection.
            if self._thread is not None and self._process == os.getpid():
                return
            self._process, self._connection, self._waiting = os.getpid(), None, queue.SimpleQueue()
            self._thread = threading.Thread(target=self._work, name="trueground-batches", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        ending = False
        while not ending:
            batch = [self._waiting.get()]
            with suppress(queue.Empty):
                while len(batch) < AT_ONCE:
                    batch.append(self._waiting.get_nowait())
            ending = None in batch
            operations = [waiting for waiting in batch if waiting is not None]
            if operations:
                self._serve(operations)
        self._disconnect()

    def _serve(self, operations: Sequence[_Waiting[Any]]) -> None:
        try:
            again = self._together(operations)
        except Exception as error:
            # One of them, or the connection, failed: nothing was kept. Each alone, so that only the culprit fails.
            again = list(operations)
            if len(operations) == 1 and not isinstance(error, self._engine.dialect.loaded_dbapi.Error):
                operations[0].outcome, again = (None, error), []
        _tell([waiting for waiting in operations if waiting not in again])
        for waiting in again:
            try:
                self._together([waiting], alone=True)
            except Exception as error:
                waiting.outcome = (None, error)
            _tell([waiting])

    def _together(self, operations: Sequence[_Waiting[Any]], *, alone: bool = False) -> list[_Waiting[Any]]:
        """Run them in one transaction; returns those that are to be run again, alone."""
        with self._turn:
            return self._in_turn(operations, alone=alone)

    def _in_turn(self, operations: Sequence[_Waiting[Any]], *, alone: bool) -> list[_Waiting[Any]]:
        again = []
        for waiting in operations:
            waiting.again()
        try:
            connection = self._connect()
            if self._begin is not None:
                connection.execute(self._begin)
            batch = Batch(connection, self._dialect, waiting=alone)
            going: Sequence[tuple[_Waiting[Any], Row | None]] = [(waiting, None) for waiting in operations]
            while going:
                asking = []
                for waiting, row in going:
                    try:
                        questions = waiting.go_on(batch, row)
                    except TryAgain:
                        if alone or waiting.written:
                            raise
                        again.append(waiting)
                    else:
                        if questions is not None:
                            asking.append((waiting, questions))
                answers = batch.ask_together([questions for _, questions in asking]) if asking else []
                going = [(waiting, row) for (waiting, _), row in zip(asking, answers, strict=True)]
            connection.commit()
        except BaseException:
            self._roll_back()
            raise
        return again

    def _connect(self) -> Any:
        if self._connection is None:
            self._connection = self._engine.raw_connection()
            if self._dialect == "postgresql":
                for setting in _PLANS:
                    self._connection.driver_connection.execute(f"SET {setting}")
                self._connection.driver_connection.commit()
        return self._connection.driver_connection

    def _roll_back(self) -> None:
        try:
            if self._connection is not None:
                self._connection.driver_connection.rollback()
                if self._dialect == "sqlite":
                    return
                # A connection that was cut says so only at the next statement; a fresh one costs little.
            self._disconnect()
        except Exception:
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.invalidate()


def _tell(done: Sequence[_Waiting[Any]]) -> None:
    """Hand out the outcomes, to each event loop in one call."""
    loops: dict[asyncio.AbstractEventLoop, list[_Waiting[Any]]] = {}
    for waiting in done:
        if isinstance(waiting.future, Future):
            _settle(waiting)
        else:
            loops.setdefault(waiting.future.get_loop(), []).append(waiting)
    for loop, several in loops.items():
        # The loop may have been closed while they waited; then nobody is there to be told.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle_all, several)


def _settle_all(several: Sequence[_Waiting[Any]]) -> None:
    for waiting in several:
        if not waiting.future.done():
            _settle(waiting)


def _settle(waiting: _Waiting[Any]) -> None:
    result, error = waiting.outcome
    if error is not None:
        waiting.future.set_exception(error)
    else:
        waiting.future.set_result(result)
