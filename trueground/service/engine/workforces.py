"""Private workforces: create, describe, list, update, delete."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from trueground.service.engine import audit_log, tags
from trueground.service.engine.errors import Conflict, InUse, Invalid, LimitExceeded, NotFound
from trueground.service.engine.oidc_provider import ENDPOINTS, check_address
from trueground.service.engine.pages import Page, named_page
from trueground.service.security import SecretBox
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, insert_or_ignore, now
from trueground.service.store.tables import workforces, workteams

DEFAULT_WORKFORCE = "default"
CIDRS_AT_MOST = 10
_REFUSED = {
    "WorkforceVpcConfig": "the service is not part of a VPC; use SourceIpConfig, or a network of your own",
}


@dataclass(frozen=True, slots=True)
class Workforce:
    """A private workforce: local accounts, or the users of an OIDC provider."""

    name: str
    arn: str
    config: Mapping[str, Any]
    """Its members that were given: ``CognitoConfig``, ``OidcConfig`` (without its secret), ``SourceIpConfig``,
    ``IpAddressType``."""
    created_at: datetime
    updated_at: datetime


def create_default_workforce(db: Database) -> None:
    """The workforce that work teams belong to unless they name another; nothing happens where there is one already."""
    with db.write() as connection:
        if connection.execute(select(workforces.c.name).limit(1)).first() is None:
            values = {"name": DEFAULT_WORKFORCE, "request": {}, "created_at": now(), "updated_at": now()}
            connection.execute(insert_or_ignore(connection, workforces, values))


def create_workforce(db: Database, settings: ServiceSettings, secrets: SecretBox, request: dict[str, Any]) -> str:
    """Create a private workforce; returns its ARN.

    A ``CognitoConfig`` is kept as it is: the user pool's groups are the groups of the local accounts here.

    Raises:
        InUse: there is a workforce of that name.
        LimitExceeded: there is another one that is in use; as on AWS, there is one in a region.
        Invalid: a member cannot be honoured.
    """
    _check(request)
    if "CognitoConfig" in request and "OidcConfig" in request:
        raise Invalid("give either CognitoConfig or OidcConfig, not both")
    name = request["WorkforceName"]
    created = now()
    try:
        with db.write() as connection:
            if connection.execute(select(workforces.c.name).where(workforces.c.name == name)).first() is not None:
                raise InUse(f"there is already a workforce {name!r}")
            _make_room(connection, name)
            connection.execute(
                insert(workforces).values(
                    name=name, **_stored(request, {}, None, secrets), created_at=created, updated_at=created
                )
            )
            tags.put(connection, f"workforce/{name}", tags.of_request(request))
            audit_log.record(connection, act="CreateWorkforce", resource=f"workforce/{name}")
    except IntegrityError:
        raise InUse(f"there is already a workforce {name!r}") from None
    return workforce_arn(settings, name)


def describe_workforce(db: Database, settings: ServiceSettings, name: str) -> Workforce:
    """One workforce. Raises :class:`NotFound`."""
    with db.read() as connection:
        return _workforce(settings, _find(connection, name))


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
    with db.read() as connection:
        page = named_page(
            connection,
            select(workforces),
            workforces,
            name_contains=name_contains,
            sort_by=sort_by,
            descending=descending,
            limit=limit,
            token=token,
        )
    return Page([_workforce(settings, row) for row in page.items], page.token)


def update_workforce(db: Database, settings: ServiceSettings, secrets: SecretBox, request: dict[str, Any]) -> Workforce:
    """Change the allowed addresses or the OIDC provider; what is not given stays.

    Raises:
        NotFound: there is no such workforce.
        Conflict: the provider is to change while the workforce has work teams.
        Invalid: a member cannot be honoured.
    """
    _check(request)
    name = request["WorkforceName"]
    with db.write() as connection:
        row = _find(connection, name, lock=True)
        if "OidcConfig" in request:
            if _has_workteams(connection, name):
                raise Conflict(f"the workforce {name!r} has work teams: delete them before its OidcConfig is changed")
            if "CognitoConfig" in row.request:
                raise Invalid(f"the workforce {name!r} was made with a CognitoConfig; it cannot have an OidcConfig too")
        values = _stored(request, row.request, row.client_secret, secrets)
        connection.execute(update(workforces).where(workforces.c.name == name).values(**values, updated_at=now()))
        changed = [member for member in ("SourceIpConfig", "OidcConfig") if member in request]
        detail = {"changed": changed}
        audit_log.record(connection, act="UpdateWorkforce", resource=f"workforce/{name}", detail=detail)
        return _workforce(settings, _find(connection, name))


def delete_workforce(db: Database, name: str) -> None:
    """Delete a workforce. Raises :class:`NotFound`, and :class:`InUse` while it has work teams."""
    try:
        with db.write() as connection:
            _find(connection, name, lock=True)
            if _has_workteams(connection, name):
                raise InUse(f"the workforce {name!r} has work teams: delete them first")
            # Deleted teams stay for the sake of jobs that are over.
            connection.execute(update(workteams).where(workteams.c.workforce == name).values(workforce=None))
            connection.execute(delete(workforces).where(workforces.c.name == name))
            tags.remove_all(connection, f"workforce/{name}")
            audit_log.record(connection, act="DeleteWorkforce", resource=f"workforce/{name}")
    except IntegrityError:
        raise InUse(f"the workforce {name!r} has got a work team just now") from None


def _make_room(connection: Connection, name: str) -> None:
    """There is one private workforce in a region. The one that is there from the beginning goes if nobody used it."""
    if connection.dialect.name == "postgresql":
        # One after the other, so that two at once cannot both be the first.
        connection.execute(text("LOCK TABLE workforces IN SHARE ROW EXCLUSIVE MODE"))
    for row in connection.execute(select(workforces)).all():
        if row.name != DEFAULT_WORKFORCE or row.request or _has_workteams(connection, row.name):
            raise LimitExceeded(
                f"there is already the workforce {row.name!r}, and there can be one private workforce in a region: "
                f"make work teams in it, or delete it and its work teams before {name!r} is created"
            )
        connection.execute(update(workteams).where(workteams.c.workforce == row.name).values(workforce=None))
        connection.execute(delete(workforces).where(workforces.c.name == row.name))


def workforce_for(connection: Connection, name: str | None) -> str:
    """The workforce of a new work team: the one named, else the default one, else the only one.

    Raises :class:`Invalid` where it is not there.
    """
    if name is None:
        found = list(connection.scalars(select(workforces.c.name)))
        name = found[0] if len(found) == 1 else DEFAULT_WORKFORCE
    if connection.execute(select(workforces.c.name).where(workforces.c.name == name)).first() is None:
        raise Invalid(f"there is no workforce {name!r}")
    return name


def oidc_group(workforce: str, group: str) -> str:
    """The name here of a group of an OIDC provider: no other provider, and no local account, has one of that name."""
    return f"{workforce}/{group}"


def groups_of_members(connection: Connection, workteam: str, groups: list[str]) -> list[str]:
    """The names here of the groups that a work team's member definitions name."""
    query = (
        select(workforces)
        .join(workteams, workteams.c.workforce == workforces.c.name)
        .where(workteams.c.name == workteam)
    )
    row = connection.execute(query).first()
    if row is None or "OidcConfig" not in row.request:
        return groups
    return [oidc_group(row.name, group) for group in groups]


def workforce_arn(settings: ServiceSettings, name: str) -> str:
    """The ARN of a workforce."""
    return settings.arn(f"workforce/{name}")


def _check(request: Mapping[str, Any]) -> None:
    for member, reason in _REFUSED.items():
        if request.get(member):
            raise Invalid(f"{member} cannot be honoured: {reason}")
    for endpoint in ENDPOINTS:
        if endpoint in request.get("OidcConfig", {}):
            check_address(request["OidcConfig"][endpoint], f"OidcConfig.{endpoint}")
    cidrs = request.get("SourceIpConfig", {}).get("Cidrs", [])
    if len(cidrs) > CIDRS_AT_MOST:
        raise Invalid(f"SourceIpConfig.Cidrs can have {CIDRS_AT_MOST} ranges at most")
    for cidr in cidrs:
        try:
            ipaddress.ip_network(cidr, strict=False)
        except ValueError:
            raise Invalid(
                f"SourceIpConfig.Cidrs: {cidr!r} is not a range of addresses such as 203.0.113.0/24"
            ) from None


def _stored(
    request: Mapping[str, Any], before: Mapping[str, Any], secret_before: str | None, secrets: SecretBox
) -> dict[str, Any]:
    """The columns that keep a configuration: the client's secret apart, and never in the clear."""
    config = dict(before)
    secret = secret_before
    for member in ("CognitoConfig", "SourceIpConfig", "OidcConfig", "IpAddressType"):
        if member in request:
            config[member] = request[member]
    if "OidcConfig" in request:
        config["OidcConfig"] = {key: value for key, value in request["OidcConfig"].items() if key != "ClientSecret"}
        secret = secrets.encrypt(request["OidcConfig"]["ClientSecret"])
    return {"request": config, "client_secret": secret}


def _has_workteams(connection: Connection, name: str) -> bool:
    query = select(func.count()).where(workteams.c.workforce == name, workteams.c.deleted_at.is_(None))
    return bool(connection.scalar(query))


def _find(connection: Connection, name: str, *, lock: bool = False) -> Row[Any]:
    query = select(workforces).where(workforces.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFound(f"No workforce has the name {name!r}")
    return row


def _workforce(settings: ServiceSettings, row: Row[Any]) -> Workforce:
    return Workforce(row.name, workforce_arn(settings, row.name), row.request, row.created_at, row.updated_at)
