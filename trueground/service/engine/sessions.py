"""Signing in and out."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from sqlalchemy import Connection, Row, bindparam, delete, insert, select

from trueground.service.engine.errors import Invalid
from trueground.service.engine.memory import memory_of
from trueground.service.engine.sign_in_limits import Try
from trueground.service.engine.user_names import find_by_username
from trueground.service.rights import Role
from trueground.service.security import Identity, token_hash, verify_password
from trueground.service.store.database import Database, now
from trueground.service.store.tables import sessions, workers

SESSION_SECONDS = 12 * 3600
# Built once: it is asked for every browser each second.
_OF_TOKEN = (
    select(workers, sessions.c.csrf_token)
    .join(sessions, sessions.c.worker_id == workers.c.id)
    .where(
        sessions.c.token_hash == bindparam("key"),
        sessions.c.expires_at > bindparam("now"),
        workers.c.disabled_at.is_(None),
    )
)


@dataclass(frozen=True, slots=True)
class Session:
    """A fresh session: ``token`` goes into the cookie and is kept nowhere; ``csrf_token`` into the page."""

    token: str
    csrf_token: str
    identity: Identity
    seconds: int = SESSION_SECONDS


def sign_in(
    db: Database,
    username: str,
    password: str,
    *,
    address: str | None = None,
    browser: str | None = None,
    old_token: str | None = None,
) -> Session | None:
    """A new session, or ``None`` if name and password do not fit, or the account is closed.

    All of these take the same time.

    Args:
        db: the store.
        username: as typed.
        password: as typed.
        address: where the request comes from.
        browser: the id of a browser that this person has signed in with before.
        old_token: the session that the browser has now; it ends.

    Raises:
        TooManyTries: the last failures were too many and too recent.
    """
    attempt = Try(db, username, address, browser)
    attempt.begin()
    with db.read() as connection:
        found = find_by_username(connection, username)
    fits = verify_password(password, found.password_hash if found is not None else None)
    if not fits or found is None or found.disabled_at is not None:
        return None
    attempt.succeeded()
    return start(db, found.id, old_token=old_token)


def start(db: Database, worker_id: str, *, old_token: str | None = None) -> Session:
    """A new session of an account that has shown who it is; the browser's old one ends.

    Raises:
        Invalid: the account is closed.
    """
    token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    with db.write() as connection:
        connection.execute(delete(sessions).where(sessions.c.expires_at <= now()))
        if old_token is not None:
            connection.execute(delete(sessions).where(sessions.c.token_hash == token_hash(old_token)))
        # Locked, so that closing the account either comes first or ends this session too.
        found = connection.execute(
            select(workers).where(workers.c.id == worker_id).with_for_update(key_share=True)
        ).first()
        if found is None or found.disabled_at is not None:
            raise Invalid("this account is closed")
        connection.execute(
            insert(sessions).values(
                token_hash=token_hash(token),
                worker_id=found.id,
                csrf_token=csrf,
                created_at=now(),
                expires_at=now() + timedelta(seconds=SESSION_SECONDS),
            )
        )
    return Session(token, csrf, _identity(found))


def session_of(db: Database, token: str) -> tuple[Identity, str] | None:
    """Who a cookie's token belongs to and its CSRF token; ``None`` if it is unknown or has expired."""
    key = token_hash(token)
    return memory_of(db).sessions.look(key, lambda: _find(db, key))


def is_remembered(db: Database, token: str) -> bool:
    """Whether :func:`session_of` knows the answer without looking into the store."""
    return memory_of(db).sessions.get(token_hash(token)) is not None


def _find(db: Database, key: str) -> tuple[Identity, str] | None:
    with db.ask() as connection:
        found = connection.execute(_OF_TOKEN, {"key": key, "now": now()}).first()
    return None if found is None else (_identity(found), found.csrf_token)


def sign_out(db: Database, token: str) -> None:
    """End a session."""
    with db.write() as connection:
        connection.execute(delete(sessions).where(sessions.c.token_hash == token_hash(token)))


def end_all(connection: Connection, worker_id: str, *, but: str | None = None) -> int:
    """End all sessions of an account, but the one with this token; returns how many."""
    mine = delete(sessions).where(sessions.c.worker_id == worker_id)
    if but is not None:
        mine = mine.where(sessions.c.token_hash != token_hash(but))
    return connection.execute(mine).rowcount


def count(db: Database, worker_id: str) -> int:
    """How many sessions an account has."""
    with db.read() as connection:
        query = select(sessions.c.token_hash).where(sessions.c.worker_id == worker_id, sessions.c.expires_at > now())
        return len(connection.execute(query).all())


def _identity(row: Row[tuple[object, ...]]) -> Identity:
    return Identity(cast(Role, row.role), row.username, row.name, row.id, vendor=row.vendor)
