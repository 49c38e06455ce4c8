"""Work of the service that nobody waits for: one thread of each process, of which one at a time may work."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from typing import ClassVar

from trueground.service.engine.lease import Lease
from trueground.service.store.database import Database

REST = 0.25
"""Seconds between two looks at least."""

log = logging.getLogger(__name__)


class Background(ABC):
    """Calls :meth:`tick` again and again. All that a tick needs to know is in the store, and it may be repeated."""

    name: ClassVar[str]
    """Of its thread, and of the lease in the store."""

    def __init__(self, db: Database, interval: float, wake: threading.Event | None = None) -> None:
        """``interval``: seconds between two looks where nothing wakes it; ``wake``: set to have it look at once."""
        self._db, self._interval = db, interval
        self._wake = wake or threading.Event()
        self._lease: Lease | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @abstractmethod
    def tick(self) -> object:
        """Do what there is to do. Also called by itself, in tests, without a lease."""

    def start(self) -> None:
        """Start the thread."""
        # The lease carries this process's id, and a server may have forked since the app was made.
        self._lease = Lease(self._db, self.name)
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=f"trueground-{self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; what it was at is finished first or left for the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def keep_lease(self) -> bool:
        """Whether this process is the one that may work; keeps the lease during long work."""
        return self._lease is None or self._lease.hold()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                if self.keep_lease():
                    self.tick()
            except Exception:
                log.exception("the %s cannot go on; trying again", self.name)
            # Under load it is woken all the time; what comes within a moment is done together.
            self._stopping.wait(min(REST, self._interval))
            self._wake.wait(self._interval)
        if self._lease is not None:
            try:
                self._lease.release()
            except Exception:
                log.exception("could not give the %s's lease back; it runs out by itself", self.name)
