"""What the engine refuses, and why."""

from __future__ import annotations

from trueground.errors import TruegroundError


class EngineError(TruegroundError):
    """Base of what the engine refuses. ``str(error)`` is for the person who asked."""


class Invalid(EngineError):
    """The request cannot be honoured as it stands."""


class NotFound(EngineError):
    """There is no such thing."""


class InUse(EngineError):
    """The name is taken, or the thing is still needed."""


class LimitExceeded(EngineError):
    """More than the service allows."""


class NotYours(EngineError):
    """The assignment belongs to another worker, or does not exist: the two are not told apart."""


class Closed(EngineError):
    """The assignment can no longer be answered. ``reason``: ``expired``, ``released`` or ``job-ended``."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)
