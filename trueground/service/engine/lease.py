"""One process at a time: a named row in the store that is held for a while."""

from __future__ import annotations

import os
import secrets
import socket
from datetime import timedelta

from sqlalchemy import delete, select, update

from trueground.service.store.database import Database, insert_or_ignore, now
from trueground.service.store.tables import leases

LEASE_SECONDS = 15.0


class Lease:
    """The right to do something that only one of several service processes should do.

    What is done under it must still bear being done twice: a holder that hangs longer than the lease loses it
    without noticing.
    """

    def __init__(self, db: Database, name: str) -> None:
        self._db = db
        self._name = name
        self._holder = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"

    def hold(self) -> bool:
        """Take the lease, or keep it; whether it is ours now. Writes only when half of its time is over."""
        with self._db.read() as connection:
            row = connection.execute(select(leases).where(leases.c.name == self._name)).first()
        if row is not None and row.expires_at > now():
            if row.holder == self._holder and row.expires_at > now() + timedelta(seconds=LEASE_SECONDS / 2):
                return True
            if row.holder != self._holder and not _is_dead(row.holder):
                return False
        expires_at = now() + timedelta(seconds=LEASE_SECONDS)
        values = {"name": self._name, "holder": self._holder, "expires_at": expires_at}
        with self._db.write(routine=True) as connection:
            if row is None:
                connection.execute(insert_or_ignore(connection, leases, values))
            else:
                # Only if nobody else took it since we looked.
                unchanged = (leases.c.holder == row.holder) & (leases.c.expires_at == row.expires_at)
                connection.execute(update(leases).where(leases.c.name == self._name, unchanged).values(**values))
            return connection.scalar(select(leases.c.holder).where(leases.c.name == self._name)) == self._holder

    def release(self) -> None:
        """Let another process have it at once."""
        with self._db.write(routine=True) as connection:
            connection.execute(delete(leases).where(leases.c.name == self._name, leases.c.holder == self._holder))


def _is_dead(holder: str) -> bool:
    """Whether the holder was a process of this machine that is gone, so that a restart need not wait for the end."""
    host, pid, _ = holder.split("/")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
