"""From where a workforce's people may work: the ranges of ``SourceIpConfig``, and the kind of ``IpAddressType``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select

from trueground.service.addresses import lies_in, networks
from trueground.service.engine.errors import Refused
from trueground.service.store.database import Database
from trueground.service.store.tables import worker_groups, workforces, workteam_groups, workteams

SEEN_SECONDS = 1.0
"""How long a process may go on with the ranges it saw, before a change."""


class IpRanges:
    """The ranges of all workforces, read from the store once a second at most.

    A worker is in the workforces of their work teams; all of those that have ranges must allow the address.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._read_at = float("-inf")
        self._ranges: dict[str, tuple[str, ...]] = {}

    def check(self, worker_id: str, find_address: Callable[[], str]) -> None:
        """Raise :class:`Refused` where the worker may not work from this address, which most need not be found."""
        ranges = self._current()
        if not ranges:
            return
        query = (
            select(workteams.c.workforce)
            .join(workteam_groups, workteam_groups.c.workteam == workteams.c.name)
            .join(worker_groups, worker_groups.c.group_name == workteam_groups.c.group_name)
            .where(worker_groups.c.worker_id == worker_id, workteams.c.workforce.in_(ranges))
            .distinct()
        )
        with self._db.read() as connection:
            mine = connection.scalars(query).all()
        address = find_address()
        if not all(lies_in(address, networks(ranges[name])) for name in mine if name is not None):
            raise Refused("You cannot work from this network: your work team allows certain addresses only.")

    def _current(self) -> dict[str, tuple[str, ...]]:
        if time.monotonic() - self._read_at > SEEN_SECONDS:
            with self._db.read() as connection:
                rows = connection.execute(select(workforces.c.name, workforces.c.request)).all()
            found = {row.name: _ranges_of(row.request) for row in rows}
            self._ranges = {name: ranges for name, ranges in found.items() if ranges is not None}
            self._read_at = time.monotonic()
        return self._ranges


def _ranges_of(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The ranges that a workforce's people must come from; ``None`` where any will do."""
    cidrs = (config.get("SourceIpConfig") or {}).get("Cidrs") or []
    if config.get("IpAddressType") != "ipv4":
        return tuple(cidrs) or None
    if not cidrs:
        return ("0.0.0.0/0",)
    return tuple(cidr for cidr in cidrs if ":" not in cidr)
