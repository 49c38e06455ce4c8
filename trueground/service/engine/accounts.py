"""Accounts of people: their names, roles, groups and passwords. Each change is noted in the audit log."""

from __future__ import annotations

import re
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from trueground.service.engine import audit_log, leasing, sessions
from trueground.service.engine.errors import InUse, Invalid, NotFound
from trueground.service.engine.sign_in_limits import Try
from trueground.service.engine.user_names import find_by_username, name_key
from trueground.service.rights import ROLES, Role
from trueground.service.security import hash_password, verify_password
from trueground.service.store.database import Database, now
from trueground.service.store.tables import worker_groups, workers, workteam_groups

SHORTEST_PASSWORD = 10
"""For passwords that people choose on our pages; ``trueground worker add`` takes what its user gives."""


@dataclass(frozen=True, slots=True)
class Worker:
    """An account. ``id`` is the last part of AWS's ``workerId`` (``private.<region>.<id>``)."""

    id: str
    username: str
    name: str
    role: Role
    source: str
    groups: tuple[str, ...] = ()
    email: str | None = None
    vendor: str | None = None
    """The vendor's work team that the person belongs to, and beyond which they see nothing."""
    disabled_at: datetime | None = None
    erased_at: datetime | None = None


def add_worker(
    db: Database,
    username: str,
    password: str,
    *,
    name: str | None = None,
    role: Role = "worker",
    email: str | None = None,
    vendor: str | None = None,
) -> Worker:
    """Make an account. Raises :class:`InUse` if the user name is taken, :class:`Invalid` if it cannot be one."""
    if not password:
        raise Invalid("a password cannot be empty")
    hashed = hash_password(password)
    try:
        with db.write() as connection:
            worker = insert_worker(connection, username, hashed, name=name, role=role, email=email, vendor=vendor)
            audit_log.record(connection, act="AddWorker", resource=f"worker/{worker.id}", detail={"role": role})
            return worker
    except IntegrityError:
        # On PostgreSQL two requests can come this far with one name.
        raise InUse(f"there is already an account {username!r}") from None


def insert_worker(
    connection: Connection,
    username: str,
    password_hash: str | None,
    *,
    name: str | None = None,
    role: Role = "worker",
    source: str = "local",
    email: str | None = None,
    vendor: str | None = None,
) -> Worker:
    """Make an account within a transaction. Raises :class:`InUse`, :class:`Invalid`."""
    # With what is allowed in e-mail addresses, which are many people's user names: o'neil@example.com is one.
    if not re.fullmatch(r"[\w.@+'-]{1,128}", username):
        raise Invalid(f"{username!r} cannot be a user name: use letters, digits and . _ @ + - ', at most 128")
    if username.startswith("erased-"):
        raise Invalid("a user name cannot begin with erased-: that is what stays of an erased account")
    if role not in ROLES:
        raise Invalid(f"there is no role {role!r}: use {', '.join(ROLES)}")
    if vendor is not None and role == "admin":
        raise Invalid("a vendor's people cannot be admins")
    known = find_by_username(connection, username)
    if known is not None:
        raise InUse(f"there is already an account {known.username!r}")
    return _insert(
        connection, username, check_name(name or username), role, password_hash, source, check_email(email), vendor
    )


def external_worker(db: Database, username: str, *, name: str, role: Role, source: str = "airflow") -> Worker:
    """The account of a user that another service vouches for; made when they first come. It has no password.

    ``username`` needs a colon in it where it must not be an account that somebody made here.
    """
    with db.read() as connection:
        found = find_by_username(connection, username)
    if found is not None:
        return _worker(found)
    with db.write() as connection:
        found = find_by_username(connection, username)
        # Another service's names may hold anything; ours are one line.
        shown = " ".join(name.split())[:200] or username
        if found is not None:
            return _worker(found)
        worker = _insert(connection, username, shown, role, None, source)
        audit_log.record(connection, act="AddWorker", resource=f"worker/{worker.id}", detail={"role": role})
        return worker


def get_worker(db: Database, username: str) -> Worker:
    """An account with its groups. Raises :class:`NotFound`."""
    with db.read() as connection:
        found = _known(connection, username)
        return _worker(found, groups_of(connection, found.id))


def get_by_id(db: Database, worker_id: str) -> Worker:
    """An account with its groups, by its id. Raises :class:`NotFound`."""
    with db.read() as connection:
        found = connection.execute(select(workers).where(workers.c.id == worker_id)).first()
        if found is None:
            raise NotFound("there is no such account")
        return _worker(found, groups_of(connection, found.id))


def list_workers(db: Database, *, vendor: str | None = None) -> list[Worker]:
    """All accounts by user name, with their groups; or only those of one vendor."""
    query = select(workers).order_by(workers.c.username)
    if vendor is not None:
        query = query.where(workers.c.vendor == vendor)
    with db.read() as connection:
        rows = connection.execute(query).all()
        groups: dict[str, list[str]] = {}
        for member in connection.execute(select(worker_groups).order_by(worker_groups.c.group_name)):
            groups.setdefault(member.worker_id, []).append(member.group_name)
    return [_worker(row, tuple(groups.get(row.id, ()))) for row in rows]


def set_password(db: Database, username: str, password: str) -> None:
    """Change a password and end the account's sessions. Raises :class:`NotFound`, :class:`Invalid`."""
    if not password:
        raise Invalid("a password cannot be empty")
    hashed = hash_password(password)
    with db.write() as connection:
        found = _known(connection, username)
        connection.execute(update(workers).where(workers.c.id == found.id).values(password_hash=hashed))
        sessions.end_all(connection, found.id)
        audit_log.record(connection, act="SetPassword", resource=f"worker/{found.id}")


def change_own_password(
    db: Database, username: str, old: str, new: str, *, token: str | None, address: str | None = None
) -> None:
    """Change one's own password, and end one's other sessions.

    Args:
        db: the store.
        username: whose password it is.
        old: the password until now. Guessing it is limited as it is when signing in.
        new: the password from now on.
        token: the session that stays.
        address: where the request comes from.

    Raises:
        Invalid: the old password is wrong, or the new one cannot be one.
        TooManyTries: the last failures were too many and too recent.
    """
    check_password(new)
    attempt = Try(db, username, address)
    attempt.begin()
    with db.read() as connection:
        found = _known(connection, username)
    worker_id, hashed = found.id, found.password_hash
    if not verify_password(old, hashed):
        raise Invalid("that is not your password until now")
    attempt.succeeded()
    changed = hash_password(new)
    with db.write() as connection:
        # Only if it was not changed since: an admin's new password must not be undone by one typed before.
        mine = (workers.c.id == worker_id) & (workers.c.password_hash == hashed)
        if connection.execute(update(workers).where(mine).values(password_hash=changed)).rowcount == 0:
            raise Invalid("that is not your password until now")
        sessions.end_all(connection, worker_id, but=token)


def has_password(db: Database, worker_id: str) -> bool:
    """Whether an account can sign in with a password here."""
    with db.read() as connection:
        return connection.scalar(select(workers.c.password_hash).where(workers.c.id == worker_id)) is not None


def set_role(db: Database, username: str, role: Role) -> None:
    """Give an account another role. Raises :class:`NotFound`, :class:`Invalid`."""
    if role not in ROLES:
        raise Invalid(f"there is no role {role!r}: use {', '.join(ROLES)}")
    with db.write() as connection:
        found = _known(connection, username)
        if found.vendor is not None and role == "admin":
            raise Invalid("a vendor's people cannot be admins")
        connection.execute(update(workers).where(workers.c.id == found.id).values(role=role))
        detail = {"role": role, "before": found.role}
        audit_log.record(connection, act="SetRole", resource=f"worker/{found.id}", detail=detail)


def disable(db: Database, username: str) -> None:
    """Close an account: its sessions end, its tasks go to others, and it cannot sign in until it is enabled.

    Raises :class:`NotFound`.
    """
    with db.write() as connection:
        found = _known(connection, username)
        if found.disabled_at is None:
            connection.execute(update(workers).where(workers.c.id == found.id).values(disabled_at=now()))
            audit_log.record(connection, act="DisableWorker", resource=f"worker/{found.id}")
        sessions.end_all(connection, found.id)
    leasing.release_all(db, found.id)


def enable(db: Database, username: str) -> None:
    """Open a closed account again. Raises :class:`NotFound`, and :class:`Invalid` for one that was erased."""
    with db.write() as connection:
        found = _known(connection, username)
        if found.erased_at is not None:
            raise Invalid("an erased account cannot be opened again: nothing is left of it but its answers")
        if found.disabled_at is not None:
            connection.execute(update(workers).where(workers.c.id == found.id).values(disabled_at=None))
            audit_log.record(connection, act="EnableWorker", resource=f"worker/{found.id}")


def add_to_group(db: Database, username: str, group: str) -> None:
    """Make an account a member of a group, and so of each work team that names the group.

    Raises:
        NotFound: there is no such account.
        Invalid: a vendor's person cannot be in the groups of another team.
    """
    with db.write() as connection:
        found = _known(connection, username)
        put_in_group(connection, found.id, group, vendor=found.vendor)


def remove_from_group(db: Database, username: str, group: str) -> None:
    """End an account's membership in a group. Raises :class:`NotFound`."""
    with db.write() as connection:
        found = _known(connection, username)
        member = (worker_groups.c.worker_id == found.id) & (worker_groups.c.group_name == group)
        if connection.execute(delete(worker_groups).where(member)).rowcount:
            detail = {"group": group}
            audit_log.record(connection, act="RemoveFromGroup", resource=f"worker/{found.id}", detail=detail)


def put_in_group(connection: Connection, worker_id: str, group: str, *, vendor: str | None) -> None:
    """Make an account a member of a group, within a transaction. Raises :class:`Invalid`."""
    if vendor is not None:
        own = select(workteam_groups).where(workteam_groups.c.workteam == vendor, workteam_groups.c.group_name == group)
        if connection.execute(own).first() is None:
            raise Invalid(f"people of the vendor {vendor!r} can be in the vendor's own groups only")
    elif group.startswith("vendor:"):
        raise Invalid(f"the group {group!r} is for the vendor's own people: trueground vendor add makes them so")
    member = (worker_groups.c.worker_id == worker_id) & (worker_groups.c.group_name == group)
    if connection.execute(select(worker_groups).where(member)).first() is None:
        connection.execute(insert(worker_groups).values(worker_id=worker_id, group_name=group))
        audit_log.record(connection, act="AddToGroup", resource=f"worker/{worker_id}", detail={"group": group})


def check_password(password: str) -> None:
    """Raises :class:`Invalid` for a password that people should not choose."""
    if len(password) < SHORTEST_PASSWORD:
        raise Invalid(f"a password needs {SHORTEST_PASSWORD} characters or more")


def check_name(name: str) -> str:
    """A name that can be shown and written into the head of a letter. Raises :class:`Invalid`."""
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise Invalid("a name is one line of at most 200 characters")
    return name.strip()


def check_email(email: str | None) -> str | None:
    """An address to write to; ``None`` where none is given. Raises :class:`Invalid`."""
    if not email:
        return None
    if len(email) > 254 or not re.fullmatch(r"[^\s@<>,;:()\"\\]+@[^\s@<>,;:()\"\\]+", email) or not email.isprintable():
        raise Invalid(f"{email!r} is no e-mail address")
    return email


def groups_of(connection: Connection, worker_id: str) -> tuple[str, ...]:
    """The groups of an account, by name."""
    found = select(worker_groups.c.group_name).where(worker_groups.c.worker_id == worker_id)
    return tuple(connection.scalars(found.order_by(worker_groups.c.group_name)))


def _known(connection: Connection, username: str) -> Row[tuple[object, ...]]:
    found = find_by_username(connection, username)
    if found is None:
        raise NotFound(f"there is no account {username!r}")
    return found


def _insert(
    connection: Connection,
    username: str,
    name: str,
    role: Role,
    password_hash: str | None,
    source: str,
    email: str | None = None,
    vendor: str | None = None,
) -> Worker:
    worker_id = secrets.token_hex(8)
    connection.execute(
        insert(workers).values(
            id=worker_id,
            username=username,
            name_key=name_key(username),
            name=name,
            role=role,
            password_hash=password_hash,
            source=source,
            subject=str(uuid.uuid4()),
            email=email,
            vendor=vendor,
            created_at=now(),
        )
    )
    return Worker(worker_id, username, name, role, source, (), email, vendor)


def _worker(row: Row[tuple[object, ...]], groups: tuple[str, ...] = ()) -> Worker:
    return Worker(
        id=row.id,
        username=row.username,
        name=row.name,
        role=cast(Role, row.role),
        source=row.source,
        groups=groups,
        email=row.email,
        vendor=row.vendor,
        disabled_at=row.disabled_at,
        erased_at=row.erased_at,
    )
