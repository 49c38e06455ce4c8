"""How often one may try to sign in: a wait that doubles with each failure, kept in the store.

The numbers, which the guide repeats:

- From one **address** (of IPv6: from one /64), 20 failures are free; each one more doubles the wait before the next
  try, from 1 second up to 15 minutes.
- For one **user name**, from anywhere, 5 failures are free; each one more doubles the wait up to 1 minute. No more,
  because anybody can make somebody else wait by it.
- A **browser** that the person has signed in with before (it carries a signed cookie) is counted by itself, with the
  numbers of a user name, and minds neither of the two above: so a stranger who tries names locks nobody out.
- After an hour without a failure all is forgotten; after signing in, the failures of the name are too.

A try counts as a failure before the password is looked at, and is taken back if it was right: so tries that come at
once, in several processes, cannot all pass.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import Connection, case, delete, select, update

from trueground.service.engine.errors import TooManyTries
from trueground.service.engine.user_names import name_key
from trueground.service.store.database import Database, insert_or_ignore, now
from trueground.service.store.tables import sign_in_failures

FORGET = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Limit:
    """Free failures, and the longest wait in seconds."""

    free: int
    longest: int

    def wait(self, failures: int) -> timedelta:
        """How long after the last of so many failures the next try may come."""
        if failures < self.free:
            return timedelta(0)
        return timedelta(seconds=min(self.longest, 2 ** min(failures - self.free, 30)))


ADDRESS = Limit(20, 15 * 60)
NAME = Limit(5, 60)


class Try:
    """One try to sign in, counted as failed until :meth:`succeeded`.

    Args:
        db: the store.
        username: the name that was given, whether there is such an account or not.
        address: where the request comes from, if that is known.
        browser: the id of a browser that signed in as this person before.
    """

    def __init__(self, db: Database, username: str, address: str | None, browser: str | None = None) -> None:
        self._db = db
        self._address = None
        self._name = _key("browser", browser) if browser else _key("name", name_key(username) or username)
        self._limits = {self._name: NAME}
        if browser is None and address:
            self._address = _key("address", _line_of(address))
            self._limits[self._address] = ADDRESS

    def begin(self) -> None:
        """Count the try. Raises :class:`TooManyTries` where it comes too early; it is not counted then."""
        with self._db.write() as connection:
            _forget(connection)
            waits = [_wait(connection, key, limit) for key, limit in sorted(self._limits.items())]
            if (wait := max(waits)) > 0:
                raise TooManyTries(wait)
            connection.execute(
                update(sign_in_failures)
                .where(sign_in_failures.c.key.in_(self._limits))
                .values(failures=sign_in_failures.c.failures + 1, since=now())
            )

    def succeeded(self) -> None:
        """Take the failure back, and forget those of the name."""
        with self._db.write() as connection:
            connection.execute(delete(sign_in_failures).where(sign_in_failures.c.key == self._name))
            if self._address:
                # Not forgotten: whoever has one account could try the names of others without end.
                failures = sign_in_failures.c.failures
                connection.execute(
                    update(sign_in_failures)
                    .where(sign_in_failures.c.key == self._address)
                    .values(failures=case((failures > 0, failures - 1), else_=0))
                )


def _forget(connection: Connection) -> None:
    # Rows that another try holds are left for the next time, so that two never wait for each other.
    old = select(sign_in_failures.c.key).where(sign_in_failures.c.since < now() - FORGET)
    keys = connection.scalars(old.with_for_update(skip_locked=True)).all()
    if keys:
        connection.execute(delete(sign_in_failures).where(sign_in_failures.c.key.in_(keys)))


def _wait(connection: Connection, key: str, limit: Limit) -> float:
    """Seconds until the next try is let through; the row is there and locked afterwards."""
    connection.execute(insert_or_ignore(connection, sign_in_failures, {"key": key, "failures": 0, "since": now()}))
    row = connection.execute(select(sign_in_failures).where(sign_in_failures.c.key == key).with_for_update()).one()
    since: datetime = row.since
    return (since + limit.wait(row.failures) - now()).total_seconds()


def _line_of(address: str) -> str:
    """What is counted as one address: of IPv6 a /64, which is what a single line has to choose from."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or ip_network((found, 64), strict=False))
    return str(found)


def _key(kind: str, value: str) -> str:
    # Hashed: what people mistype into the field of the name is often their password.
    return hashlib.sha256(f"{kind}:{value.lower()}".encode()).hexdigest()
