"""What came twice is done once: for requests that may be sent again on purpose, or by someone who recorded them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from trueground.service.engine.errors import EngineError
from trueground.service.store.batches import Batch, Statement
from trueground.service.store.database import Database, now

RETRY_SECONDS = 5.0
"""How long after its first use a token may come again by right: a client that lost the answer asks once more."""
_FAILED = object()
TIDY_SECONDS = 60.0
"""How often tokens are forgotten that are accepted no more."""
_USE = Statement("""
    INSERT INTO used_signatures (signature_hash, used_at, expires_at) VALUES (:digest, :now, :until)
    ON CONFLICT DO NOTHING
""")
_USED_AT = Statement("SELECT used_at FROM used_signatures WHERE signature_hash = :digest")
_FORGET = Statement("DELETE FROM used_signatures WHERE expires_at <= :now")


class Repeated(EngineError):
    """The token was used before, too long ago for an honest retry."""


class Unfinished(EngineError):
    """The token was used a moment ago, for another call, or one whose outcome is not known here, or not yet."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    at: float
    call: str
    value: Any


class Once:
    """Has what a token stands for done once, by all processes that share the store.

    An honest retry, which follows within moments, is told what the first try was told; where that failed, and so
    changed nothing, it is tried again.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._outcomes: OrderedDict[str, _Outcome] = OrderedDict()
        self._tidied = 0.0

    def do(self, token: str, until: datetime, call: str, act: Callable[[], Any]) -> Any:
        """What ``act`` returns or raises, or returned when this token came first.

        Args:
            token: what must not come twice.
            until: when it stops being accepted anyway, and can be forgotten.
            call: what a retry has in common with the first try, and with no other call.
            act: what to do the first time.

        Raises:
            Repeated, Unfinished: it came before, and there is no outcome to tell.
        """
        digest = hashlib.sha256(token.encode()).hexdigest()
        first_at = self._first_use(digest, until)
        if first_at is not None:
            known = self._recall(digest, first_at)
            if known.value is not _FAILED:
                if known.call != call:
                    raise Unfinished("an equal request was answered in this second")
                return known.value
        value = _FAILED
        try:
            value = act()
        finally:
            self._remember(digest, _Outcome(time.monotonic(), call, value))
        return value

    def _first_use(self, digest: str, until: datetime) -> datetime | None:
        """Note the use of a token; if there was one before, when.

        Many requests come at a time, and each notes its token first: they share a transaction.
        """
        tidy = time.monotonic() > self._tidied + TIDY_SECONDS
        if tidy:
            self._tidied = time.monotonic()

        def note(batch: Batch) -> datetime | None:
            if tidy:
                batch.change(_FORGET, now=batch.now)
            if batch.change(_USE, digest=digest, now=batch.now, until=until):
                return None
            found = batch.one(_USED_AT, digest=digest)
            # It may have been forgotten in this very moment, long after it could have been used by right.
            return batch.time(found[0]) if found is not None else until

        return self._db.batches.run(note)

    def _remember(self, digest: str, outcome: _Outcome) -> None:
        with self._lock:
            self._outcomes[digest] = outcome
            self._outcomes.move_to_end(digest)
            oldest = time.monotonic() - RETRY_SECONDS
            while self._outcomes and next(iter(self._outcomes.values())).at <= oldest:
                self._outcomes.popitem(last=False)

    def _recall(self, digest: str, first_at: datetime) -> _Outcome:
        if now() - first_at > timedelta(seconds=RETRY_SECONDS):
            raise Repeated("this very request was sent before")
        with self._lock:
            outcome = self._outcomes.get(digest)
        if outcome is None:
            raise Unfinished("this very request is being answered")
        return outcome
