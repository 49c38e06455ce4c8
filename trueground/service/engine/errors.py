"""What the engine refuses, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from trueground.errors import TruegroundError


class EngineError(TruegroundError):
    """Base of what the engine refuses. ``str(error)`` is for the person who asked."""


class Invalid(EngineError):
    """The request cannot be honoured as it stands."""


class NotFound(EngineError):
    """There is no such thing."""


class InUse(EngineError):
    """The name is taken, or the thing is still needed."""


class Conflict(EngineError):
    """It contradicts what is there."""


class LimitExceeded(EngineError):
    """More than the service allows."""


class NotYours(EngineError):
    """The assignment belongs to another worker, or does not exist: the two are not told apart."""


class SignInRefused(EngineError):
    """Nobody is signed in: who asked did not show who they are, or may not come in."""


class ProviderFailed(EngineError):
    """A sign-in provider cannot be reached, or does not do what it should."""


class Closed(EngineError):
    """The assignment can no longer be answered. ``reason``: ``expired``, ``released`` or ``job-ended``."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class Answered(Closed):
    """There is another answer to the assignment already.

    Attributes:
        content: the answer that is stored.
        submitted_at: since when.
        editable: whether it can still be changed.
    """

    def __init__(self, content: Mapping[str, Any], submitted_at: datetime, *, editable: bool) -> None:
        self.content, self.submitted_at, self.editable = content, submitted_at, editable
        super().__init__(
            "answered", "There is already another answer of yours to this task. It stays; this one was not stored."
        )


class TooManyTries(EngineError):
    """Too many failures to sign in; the next try may come after ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(1, math.ceil(seconds))
        super().__init__(f"Too many failed tries. Try again in {self.seconds} seconds.")


class Refused(EngineError):
    """Whoever asks may not do this, from here or at all."""
