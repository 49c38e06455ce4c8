"""Accounts of people: workers, managers, their groups and sessions."""

from __future__ import annotations

import re
import secrets
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, cast

from sqlalchemy import Connection, Row, delete, insert, select, update

from trueground.service.engine.errors import InUse, Invalid, NotFound
from trueground.service.security import Identity, hash_password, token_hash, verify_password
from trueground.service.store.database import Database, now
from trueground.service.store.tables import sessions, worker_groups, workers

SESSION_SECONDS = 12 * 3600
Role = Literal["worker", "manager"]


@dataclass(frozen=True, slots=True)
class Worker:
    """An account. ``id`` is the last part of AWS's ``workerId`` (``private.<region>.<id>``)."""

    id: str
    username: str
    name: str
    role: Role
    source: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """A fresh session: ``token`` goes into the cookie and is kept nowhere; ``csrf_token`` into the page."""

    token: str
    csrf_token: str
    identity: Identity
    seconds: int = SESSION_SECONDS


def add_worker(db: Database, username: str, password: str, *, name: str | None = None, role: Role = "worker") -> Worker:
    """Make an account. Raises :class:`InUse` if the user name is taken, :class:`Invalid` if it cannot be one."""
    if not re.fullmatch(r"[\w.@+-]{1,128}", username):
        raise Invalid(f"{username!r} cannot be a user name: use letters, digits and . _ @ + -, at most 128")
    if role not in ("worker", "manager"):
        raise Invalid(f"there is no role {role!r}: use worker or manager")
    if not password:
        raise Invalid("a password cannot be empty")
    hashed = hash_password(password)
    with db.write() as connection:
        if _by_username(connection, username) is not None:
            raise InUse(f"there is already an account {username!r}")
        return _insert(connection, username, name or username, role, hashed, "local")


def external_worker(db: Database, username: str, *, name: str, role: Role, source: str = "airflow") -> Worker:
    """The account of a user that another service vouches for; made when they first come. It has no password.

    An account of the same name with a password stays what it is: it is found, not changed.
    """
    with db.read() as connection:
        found = _by_username(connection, username)
    if found is not None:
        return _worker(found)
    with db.write() as connection:
        found = _by_username(connection, username)
        return _worker(found) if found is not None else _insert(connection, username, name, role, None, source)


def get_worker(db: Database, username: str) -> Worker:
    """An account with its groups. Raises :class:`NotFound`."""
    with db.read() as connection:
        found = _by_username(connection, username)
        if found is None:
            raise NotFound(f"there is no account {username!r}")
        return _worker(found, _groups(connection, found.id))


def list_workers(db: Database) -> list[Worker]:
    """All accounts by user name, with their groups."""
    with db.read() as connection:
        rows = connection.execute(select(workers).order_by(workers.c.username)).all()
        return [_worker(row, _groups(connection, row.id)) for row in rows]


def set_password(db: Database, username: str, password: str) -> None:
    """Change a password and end the account's sessions. Raises :class:`NotFound`."""
    hashed = hash_password(password)
    with db.write() as connection:
        found = _by_username(connection, username)
        if found is None:
            raise NotFound(f"there is no account {username!r}")
        connection.execute(update(workers).where(workers.c.id == found.id).values(password_hash=hashed))
        connection.execute(delete(sessions).where(sessions.c.worker_id == found.id))


def add_to_group(db: Database, username: str, group: str) -> None:
    """Make an account a member of a group, and so of each work team that names the group. Raises :class:`NotFound`."""
    with db.write() as connection:
        found = _by_username(connection, username)
        if found is None:
            raise NotFound(f"there is no account {username!r}")
        member = (worker_groups.c.worker_id == found.id) & (worker_groups.c.group_name == group)
        if connection.execute(select(worker_groups).where(member)).first() is None:
            connection.execute(insert(worker_groups).values(worker_id=found.id, group_name=group))


def sign_in(db: Database, username: str, password: str) -> Session | None:
    """A new session, or ``None`` if name and password do not fit; both take the same time."""
    with db.read() as connection:
        found = _by_username(connection, username)
    if not verify_password(password, found.password_hash if found is not None else None) or found is None:
        return None
    token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    with db.write() as connection:
        connection.execute(delete(sessions).where(sessions.c.expires_at <= now()))
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
    with db.read() as connection:
        found = connection.execute(
            select(workers, sessions.c.csrf_token)
            .join(sessions, sessions.c.worker_id == workers.c.id)
            .where(sessions.c.token_hash == token_hash(token), sessions.c.expires_at > now())
        ).first()
    return None if found is None else (_identity(found), found.csrf_token)


def sign_out(db: Database, token: str) -> None:
    """End a session."""
    with db.write() as connection:
        connection.execute(delete(sessions).where(sessions.c.token_hash == token_hash(token)))


def _insert(
    connection: Connection, username: str, name: str, role: Role, password_hash: str | None, source: str
) -> Worker:
    worker_id = secrets.token_hex(8)
    connection.execute(
        insert(workers).values(
            id=worker_id,
            username=username,
            name=name,
            role=role,
            password_hash=password_hash,
            source=source,
            subject=str(uuid.uuid4()),
            created_at=now(),
        )
    )
    return Worker(worker_id, username, name, role, source)


def _by_username(connection: Connection, username: str) -> Row[tuple[object, ...]] | None:
    return connection.execute(select(workers).where(workers.c.username == username)).first()


def _groups(connection: Connection, worker_id: str) -> tuple[str, ...]:
    found = select(worker_groups.c.group_name).where(worker_groups.c.worker_id == worker_id)
    return tuple(connection.scalars(found.order_by(worker_groups.c.group_name)))


def _worker(row: Row[tuple[object, ...]], groups: tuple[str, ...] = ()) -> Worker:
    return Worker(row.id, row.username, row.name, cast(Role, row.role), row.source, groups)


def _identity(row: Row[tuple[object, ...]]) -> Identity:
    return Identity(cast(Role, row.role), row.username, row.name, row.id, "local")
