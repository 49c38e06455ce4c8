"""Which operations there are, and what answers each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trueground.service.context import Service

Handler = Callable[["Service", dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the API: takes a checked request, gives a response of the model's shape."""

    handler: Handler
    not_found: str


OPERATIONS: dict[str, Operation] = {}


def operation(name: str, *, not_found: str = "ResourceNotFound") -> Callable[[Handler], Handler]:
    """Register what answers an operation. ``not_found``: AWS's error where what it names is not there."""

    def register(handler: Handler) -> Handler:
        OPERATIONS[name] = Operation(handler, not_found)
        return handler

    return register
