"""Accounts by the names that people sign in with: names that differ only in case are one name."""

from __future__ import annotations

import unicodedata

from sqlalchemy import Connection, Row, case, select, update

from trueground.service.store.tables import workers


def find_by_username(connection: Connection, username: str) -> Row[tuple[object, ...]] | None:
    """The row of an account, ``None`` if there is none.

    Where an older store has several accounts whose names differ only in case, each is found by its exact spelling,
    and any other spelling finds the oldest of them.
    """
    exact = workers.c.username == username
    query = select(workers).where(exact | (workers.c.name_key == name_key(username)))
    return connection.execute(query.order_by(case((exact, 0), else_=1)).limit(1)).first()


def name_key(username: str) -> str | None:
    """What the spellings of one user name have in common; ``None`` for names that other services give."""
    return None if ":" in username else unicodedata.normalize("NFKC", username).casefold()


def pass_on_key(connection: Connection, username: str) -> None:
    """Have the next account of an older store whose name differs from this one's only in case stand for both."""
    key = name_key(username)
    local = workers.c.username.not_like("%:%")
    without = select(workers).where(workers.c.name_key.is_(None), workers.c.erased_at.is_(None), local)
    for row in connection.execute(without.order_by(workers.c.created_at, workers.c.id)):
        if key is not None and name_key(row.username) == key:
            connection.execute(update(workers).where(workers.c.id == row.id).values(name_key=key))
            return
