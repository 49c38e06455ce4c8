"""Which operations there are, and what answers each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trueground.service.context import Service

Handler = Callable[["Service", dict[str, Any]], dict[str, Any]]
Register = Callable[[Handler], Handler]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of an API: takes a checked request, gives a response of the model's shape."""

    handler: Handler
    not_found: str
    failure: str = "InternalFailure"
    """AWS's name of a fault of the service's own."""


HEADERS = "x-headers"
"""The key of a response that holds HTTP headers to send with it; no member of an API has such a name."""

OPERATIONS: dict[str, Operation] = {}
"""Of ``sagemaker``."""
LOOP_OPERATIONS: dict[str, Operation] = {}
"""Of ``sagemaker-a2i-runtime``."""


def operation(name: str, *, not_found: str = "ResourceNotFound") -> Register:
    """Register what answers an operation. ``not_found``: AWS's error where what it names is not there."""

    def register(handler: Handler) -> Handler:
        OPERATIONS[name] = Operation(handler, not_found)
        return handler

    return register


def loop_operation(name: str, *, not_found: str = "ResourceNotFoundException") -> Register:
    """The same for an operation on human loops."""

    def register(handler: Handler) -> Handler:
        LOOP_OPERATIONS[name] = Operation(handler, not_found, "InternalServerException")
        return handler

    return register
