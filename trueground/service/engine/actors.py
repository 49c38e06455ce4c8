"""Who acts: what the audit log names beside each act. Imports nothing heavy, because every command starts with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: ``worker/<id>``, ``key/<access key id>``, ``airflow/<user>``, ``command/<user of the machine>``."""

    id: str
    address: str | None = None


SERVICE = Actor("service")
"""What the service does by itself."""

_acting: ContextVar[Actor] = ContextVar("acting", default=SERVICE)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Within the block, what this thread does is done by this actor."""
    token = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(token)


def actor_now() -> Actor:
    """Who is acting."""
    return _acting.get()
