"""Invitations: a link with which somebody makes their own account."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from trueground.service.engine import accounts, audit_log, vendors
from trueground.service.engine.accounts import Worker
from trueground.service.engine.actors import Actor, acting
from trueground.service.engine.errors import InUse, Invalid, LimitExceeded, NotFound
from trueground.service.rights import Role, may_give
from trueground.service.security import Identity, hash_password, token_hash
from trueground.service.store.database import Database, now
from trueground.service.store.tables import invitations, workteam_groups, workteams

VALID = timedelta(days=7)
OPEN_AT_MOST = 100


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation, without its token."""

    id: str
    email: str | None
    role: Role
    groups: tuple[str, ...]
    vendor: str | None
    created_at: datetime
    expires_at: datetime


def invite(
    db: Database,
    by: Identity,
    *,
    role: Role = "worker",
    groups: Sequence[str] = (),
    email: str | None = None,
    vendor: str | None = None,
) -> tuple[str, Invitation]:
    """Invite somebody; returns the token of their link, which is told here and never again, and the invitation.

    Args:
        db: the store.
        by: who invites. A manager invites workers and reviewers; a vendor's manager into the vendor's team only.
        role: the role that the account will have.
        groups: the groups it will be in.
        email: where the link goes, if that is known.
        vendor: the vendor whose person it will be.

    Raises:
        Invalid: ``by`` may not give that role, a group is nobody's, or the address is none.
        LimitExceeded: 100 invitations are open already.
        NotFound: there is no such vendor.
    """
    if role not in may_give(by.kind):
        raise Invalid(f"a {by.kind} cannot give the role {role}")
    vendor = by.vendor or vendor
    if vendor is not None:
        if role == "admin":
            raise Invalid("a vendor's people cannot be admins")
        groups = [vendors.group_of(vendor)]
    token = secrets.token_urlsafe(32)
    values = {
        "token_hash": token_hash(token),
        "email": accounts.check_email(email),
        "role": role,
        "groups": sorted(set(groups)),
        "vendor": vendor,
        "invited_by": f"worker/{by.worker_id}" if by.worker_id else f"{by.source}/{by.username}",
        "created_at": now(),
        "expires_at": now() + VALID,
    }
    with db.write() as connection:
        if vendor is not None:
            vendors.check_vendor(connection, vendor)
        else:
            _check_groups(connection, groups)
        if connection.dialect.name == "postgresql":
            # One after the other, so that two at once cannot both be the hundredth.
            connection.execute(text("LOCK TABLE invitations IN SHARE ROW EXCLUSIVE MODE"))
        open_now = select(func.count()).select_from(invitations).where(_is_open())
        if (connection.scalar(open_now) or 0) >= OPEN_AT_MOST:
            raise LimitExceeded(f"{OPEN_AT_MOST} invitations are open already: withdraw some, or wait until they end")
        row = connection.execute(insert(invitations).values(**values).returning(invitations)).one()
        detail = {"role": role, "groups": values["groups"], "vendor": vendor}
        audit_log.record(connection, act="Invite", resource=f"invitation/{row.token_hash[:12]}", detail=detail)
    return token, _invitation(row)


def find(db: Database, token: str) -> Invitation:
    """An open invitation by the token of its link. Raises :class:`NotFound`."""
    with db.read() as connection:
        return _invitation(_find(connection, token_hash(token)))


def list_open(db: Database, *, vendor: str | None = None) -> list[Invitation]:
    """The invitations that can still be taken, the newest first; or only those of one vendor."""
    query = select(invitations).where(_is_open()).order_by(invitations.c.created_at.desc())
    if vendor is not None:
        query = query.where(invitations.c.vendor == vendor)
    with db.read() as connection:
        return [_invitation(row) for row in connection.execute(query)]


def withdraw(db: Database, invitation_id: str, *, vendor: str | None = None) -> None:
    """End an open invitation. ``vendor``: only one of this vendor's. Raises :class:`NotFound`."""
    with db.write() as connection:
        row = _find(connection, invitation_id, lock=True)
        if vendor is not None and row.vendor != vendor:
            raise NotFound("there is no such invitation")
        mine = invitations.c.token_hash == invitation_id
        connection.execute(update(invitations).where(mine).values(expires_at=now()))
        audit_log.record(connection, act="WithdrawInvitation", resource=f"invitation/{invitation_id[:12]}")


def accept(db: Database, token: str, username: str, password: str, *, name: str) -> Worker:
    """Make the account that an invitation promises; the invitation is used up by it.

    Raises:
        NotFound: there is no such invitation, or it was used or has ended.
        InUse: the user name is taken.
        Invalid: the user name, the name or the password cannot be used.
    """
    accounts.check_password(password)
    find(db, token)  # before the costly hash: strangers cannot have us compute
    hashed = hash_password(password)
    try:
        with db.write() as connection:
            row = _find(connection, token_hash(token), lock=True)
            worker = accounts.insert_worker(
                connection,
                username,
                hashed,
                name=name,
                role=cast(Role, row.role),
                email=row.email,
                vendor=row.vendor,
            )
            mine = invitations.c.token_hash == row.token_hash
            # The address stands with the account from now on, and with it alone.
            connection.execute(update(invitations).where(mine).values(used_at=now(), email=None))
            resource = f"worker/{worker.id}"
            detail = {"role": row.role, "invitation": row.token_hash[:12], "invited_by": row.invited_by}
            with acting(Actor(resource)):
                audit_log.record(connection, act="AcceptInvitation", resource=resource, detail=detail)
                for group in row.groups:
                    accounts.put_in_group(connection, worker.id, group, vendor=row.vendor)
            return worker
    except IntegrityError:
        raise InUse(f"there is already an account {username!r}") from None


def groups_to_choose(db: Database) -> list[str]:
    """The groups that an invitation may name: those of the house's own work teams."""
    with db.read() as connection:
        return _house_groups(connection)


def _house_groups(connection: Connection) -> list[str]:
    query = (
        select(workteam_groups.c.group_name)
        .join(workteams, workteams.c.name == workteam_groups.c.workteam)
        .where(workteams.c.kind == "private", workteams.c.deleted_at.is_(None))
    )
    return sorted(set(connection.scalars(query)))


def _check_groups(connection: Connection, groups: Sequence[str]) -> None:
    unknown = set(groups) - set(_house_groups(connection))
    if unknown:
        raise Invalid(f"no work team has the group {sorted(unknown)[0]!r}")


def _is_open() -> ColumnElement[bool]:
    return invitations.c.used_at.is_(None) & (invitations.c.expires_at > now())


def _find(connection: Connection, hashed: str, *, lock: bool = False) -> Row[tuple[object, ...]]:
    query = select(invitations).where(invitations.c.token_hash == hashed, _is_open())
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFound("This invitation was used, was withdrawn, or is older than 7 days. Ask for a new one.")
    return row


def _invitation(row: Row[tuple[object, ...]]) -> Invitation:
    return Invitation(
        id=row.token_hash,
        email=row.email,
        role=cast(Role, row.role),
        groups=tuple(row.groups),
        vendor=row.vendor,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
