"""Calls in threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
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
