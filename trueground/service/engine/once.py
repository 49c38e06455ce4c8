"""What came twice is done once: for requests that may be sent again on purpose, or by someone who recorded them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from trueground.service.engine.errors import EngineError
from trueground.service.store.database import Database, now
from trueground.service.store.tables import used_signatures

RETRY_SECONDS = 5.0
"""How long after its first use a token may come again by right: a client that lost the answer asks once more."""
_FAILED = object()


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
        self._outcomes: dict[str, _Outcome] = {}

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
        """Note the use of a token; if there was one before, when."""
        try:
            with self._db.write() as connection:
                connection.execute(delete(used_signatures).where(used_signatures.c.expires_at <= now()))
                values = {"signature_hash": digest, "used_at": now(), "expires_at": until}
                connection.execute(insert(used_signatures).values(**values))
            return None
        except IntegrityError:
            query = select(used_signatures.c.used_at).where(used_signatures.c.signature_hash == digest)
            with self._db.read() as connection:
                return connection.scalar(query)

    def _remember(self, digest: str, outcome: _Outcome) -> None:
        with self._lock:
            oldest = time.monotonic() - RETRY_SECONDS
            self._outcomes = {key: known for key, known in self._outcomes.items() if known.at > oldest}
            self._outcomes[digest] = outcome

    def _recall(self, digest: str, first_at: datetime) -> _Outcome:
        if now() - first_at > timedelta(seconds=RETRY_SECONDS):
            raise Repeated("this very request was sent before")
        with self._lock:
            outcome = self._outcomes.get(digest)
        if outcome is None:
            raise Unfinished("this very request is being answered")
        return outcome
