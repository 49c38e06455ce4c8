"""Calls in threads of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def in_thread(name: str, call: Callable[[], Result]) -> Future[Result]:
    """Begin a call in a thread; unlike one of a pool, it never keeps the process from ending."""
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name=f"trueground-{name}", daemon=True).start()
    return outcome


class Asides:
    """Long work for several jobs at a time, for each of them one thing, in threads of their own."""

    def __init__(self) -> None:
        self._running: dict[int, Future[None]] = {}

    def __contains__(self, job_id: int) -> bool:
        return job_id in self._running

    def are_done(self) -> bool:
        """Whether nothing goes on now."""
        return all(running.done() for running in self._running.values())

    def begin(self, job_id: int, name: str, call: Callable[[], None]) -> None:
        """Begin a job's work; :meth:`collect` must have said that there is none."""
        assert job_id not in self._running
        self._running[job_id] = in_thread(name, call)

    def collect(self, job_id: int) -> bool:
        """Whether there was any: it goes on, or has just ended. Raises what went wrong in it."""
        running = self._running.get(job_id)
        if running is None:
            return False
        if running.done():
            del self._running[job_id]
            running.result()
        return True

    def keep_only(self, job_ids: Container[int]) -> None:
        """Forget what ended of other jobs: they are done, and nobody asks any more how it went."""
        for job_id, running in list(self._running.items()):
            if job_id not in job_ids and running.done():
                del self._running[job_id]


class Failures:
    """How often each job failed in a row, and when it may be tried again."""

    def __init__(self) -> None:
        self._failures: dict[int, tuple[int, float]] = {}

    def may_try(self, job_id: int) -> bool:
        """Whether its pause is over."""
        return time.monotonic() >= self._failures.get(job_id, (0, 0.0))[1]

    def add(self, job_id: int) -> int:
        """One more, with a longer pause after each; how many they are now."""
        count = self._failures.get(job_id, (0, 0.0))[0] + 1
        self._failures[job_id] = (count, time.monotonic() + min(2.0**count, 60.0))
        return count

    def forget(self, job_id: int) -> None:
        """It went well."""
        self._failures.pop(job_id, None)
