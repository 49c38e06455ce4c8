"""Workforces and work teams: create, describe, list."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, func, insert, select
from sqlalchemy.exc import IntegrityError

from trueground.service.engine import tags
from trueground.service.engine.errors import InUse, Invalid, NotFound
from trueground.service.engine.pages import Page, page_of
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, insert_or_ignore, now
from trueground.service.store.tables import workforces, workteam_groups, workteams

DEFAULT_WORKFORCE = "default"


@dataclass(frozen=True, slots=True)
class Workforce:
    """A private workforce of local accounts."""

    name: str
    arn: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Workteam:
    """A private work team. Its members are the accounts with a group that ``member_definitions`` names."""

    name: str
    arn: str
    workforce_arn: str
    description: str
    member_definitions: list[dict[str, Any]]
    created_at: datetime
    updated_at: datetime


def create_default_workforce(db: Database) -> None:
    """The workforce that work teams belong to unless they name another; nothing happens if it is there."""
    with db.write() as connection:
        values = {"name": DEFAULT_WORKFORCE, "request": {}, "created_at": now(), "updated_at": now()}
        connection.execute(insert_or_ignore(connection, workforces, values))


def create_workforce(db: Database, settings: ServiceSettings, request: dict[str, Any]) -> str:
    """Create a private workforce of local accounts; returns its ARN. Raises :class:`InUse`, :class:`Invalid`."""
    for member in ("CognitoConfig", "OidcConfig", "SourceIpConfig", "WorkforceVpcConfig", "IpAddressType"):
        if member in request:
            raise Invalid(f"{member} cannot be honoured: its members are the accounts of this service")
    name = request["WorkforceName"]
    try:
        with db.write() as connection:
            if connection.execute(select(workforces).where(workforces.c.name == name)).first() is not None:
                raise InUse(f"there is already a workforce {name!r}")
            values = {"name": name, "request": _without_tags(request), "created_at": now(), "updated_at": now()}
            connection.execute(insert(workforces).values(**values))
            tags.put(connection, f"workforce/{name}", _tags(request))
    except IntegrityError:
        raise InUse(f"there is already a workforce {name!r}") from None
    return _workforce_arn(settings, name)


def describe_workforce(db: Database, settings: ServiceSettings, name: str) -> Workforce:
    """One workforce. Raises :class:`NotFound`."""
    with db.read() as connection:
        row = connection.execute(select(workforces).where(workforces.c.name == name)).first()
    if row is None:
        raise NotFound(f"No workforce has the name {name!r}")
    return _workforce(settings, row)


def list_workforces(
    db: Database,
    settings: ServiceSettings,
    *,
    name_contains: str | None = None,
    sort_by: str = "Name",
    descending: bool = False,
    limit: int = 100,
    token: str | None = None,
) -> Page[Workforce]:
    """A page of workforces, sorted by ``Name`` or ``CreateDate``."""
    page = _page(db, workforces, name_contains, sort_by, descending, limit, token)
    return Page([_workforce(settings, row) for row in page.items], page.token)


def create_workteam(db: Database, settings: ServiceSettings, request: dict[str, Any]) -> str:
    """Create a private work team; returns its ARN. Raises :class:`InUse`, :class:`NotFound`, :class:`Invalid`."""
    if request.get("NotificationConfiguration", {}).get("NotificationTopicArn"):
        raise Invalid("NotificationConfiguration cannot be honoured: the service does not send to SNS")
    if request.get("WorkerAccessConfiguration"):
        raise Invalid("WorkerAccessConfiguration cannot be honoured: people reach no data on S3 by themselves")
    name, workforce = request["WorkteamName"], request.get("WorkforceName", DEFAULT_WORKFORCE)
    groups = _groups(request["MemberDefinitions"])
    try:
        with db.write() as connection:
            if connection.execute(select(workteams).where(workteams.c.name == name)).first() is not None:
                raise InUse(f"there is already a work team {name!r}")
            if connection.execute(select(workforces).where(workforces.c.name == workforce)).first() is None:
                raise Invalid(f"there is no workforce {workforce!r}")
            connection.execute(
                insert(workteams).values(
                    name=name,
                    workforce=workforce,
                    description=request["Description"],
                    request=_without_tags(request),
                    created_at=now(),
                    updated_at=now(),
                )
            )
            connection.execute(insert(workteam_groups), [{"workteam": name, "group_name": group} for group in groups])
            tags.put(connection, f"workteam/private-crowd/{name}", _tags(request))
    except IntegrityError:
        raise InUse(f"there is already a work team {name!r}") from None
    return _workteam_arn(settings, name)


def describe_workteam(db: Database, settings: ServiceSettings, name: str) -> Workteam:
    """One work team. Raises :class:`NotFound`."""
    with db.read() as connection:
        return _workteam(settings, _find(connection, name))


def list_workteams(
    db: Database,
    settings: ServiceSettings,
    *,
    name_contains: str | None = None,
    sort_by: str = "Name",
    descending: bool = False,
    limit: int = 100,
    token: str | None = None,
) -> Page[Workteam]:
    """A page of work teams, sorted by ``Name`` or ``CreateDate``."""
    page = _page(db, workteams, name_contains, sort_by, descending, limit, token)
    return Page([_workteam(settings, row) for row in page.items], page.token)


def _page(
    db: Database, table: Table, name_contains: str | None, sort_by: str, descending: bool, limit: int, token: str | None
) -> Page[Row[Any]]:
    """A page of a table's rows; the table has the columns ``name`` and ``created_at``."""
    query = select(table)
    if name_contains:
        query = query.where(func.lower(table.c.name).contains(name_contains.lower(), autoescape=True))
    column = table.c.created_at if sort_by == "CreateDate" else table.c.name
    with db.read() as connection:
        return page_of(connection, query, column, table.c.name, descending=descending, limit=limit, token=token)


def groups_of_workteam(db: Database, name: str) -> list[str]:
    """The groups whose accounts are members. Raises :class:`NotFound`."""
    with db.read() as connection:
        _find(connection, name)
        query = select(workteam_groups.c.group_name).where(workteam_groups.c.workteam == name)
        return list(connection.scalars(query.order_by(workteam_groups.c.group_name)))


def _find(connection: Connection, name: str) -> Row[Any]:
    row = connection.execute(select(workteams).where(workteams.c.name == name)).first()
    if row is None:
        raise NotFound(f"The work team {name!r} does not exist")
    return row


def _groups(definitions: list[dict[str, Any]]) -> list[str]:
    groups: set[str] = set()
    for number, definition in enumerate(definitions, start=1):
        cognito, oidc = definition.get("CognitoMemberDefinition"), definition.get("OidcMemberDefinition")
        if (cognito is None) == (oidc is None):
            raise Invalid(
                f"MemberDefinitions.{number} must be either a CognitoMemberDefinition or an OidcMemberDefinition"
            )
        groups.update([cognito["UserGroup"]] if cognito is not None else (oidc or {}).get("Groups", []))
    if not groups:
        raise Invalid("MemberDefinitions names no group, so nobody could be in the work team")
    return sorted(groups)


def _workforce(settings: ServiceSettings, row: Row[Any]) -> Workforce:
    return Workforce(row.name, _workforce_arn(settings, row.name), row.created_at, row.updated_at)


def _workteam(settings: ServiceSettings, row: Row[Any]) -> Workteam:
    return Workteam(
        name=row.name,
        arn=_workteam_arn(settings, row.name),
        workforce_arn=_workforce_arn(settings, row.workforce),
        description=row.description,
        member_definitions=row.request["MemberDefinitions"],
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _workforce_arn(settings: ServiceSettings, name: str) -> str:
    return settings.arn(f"workforce/{name}")


def _workteam_arn(settings: ServiceSettings, name: str) -> str:
    return settings.arn(f"workteam/private-crowd/{name}")


def _tags(request: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}


def _without_tags(request: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in request.items() if key != "Tags"}
