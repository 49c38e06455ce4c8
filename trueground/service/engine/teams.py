"""Work teams: create, describe, list, update, delete."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from trueground.service.engine import audit_log, tags
from trueground.service.engine.errors import InUse, Invalid, NotFound
from trueground.service.engine.pages import Page, named_page
from trueground.service.engine.topics import is_standard_topic
from trueground.service.engine.workforces import groups_of_members, workforce_arn, workforce_for
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import (
    labeling_jobs,
    worker_groups,
    workers,
    workforces,
    workteam_groups,
    workteams,
)

Kind = Literal["private", "vendor", "public"]


@dataclass(frozen=True, slots=True)
class Workteam:
    """A work team. Its members are the accounts with a group that ``member_definitions`` names."""

    name: str
    arn: str
    kind: Kind
    workforce_arn: str
    description: str
    request: Mapping[str, Any]
    """The CreateWorkteam request, without its tags."""
    created_at: datetime
    updated_at: datetime

    @property
    def member_definitions(self) -> list[dict[str, Any]]:
        """Whose accounts are members."""
        found: list[dict[str, Any]] = self.request["MemberDefinitions"]
        return found


def create_workteam(db: Database, settings: ServiceSettings, request: dict[str, Any], *, kind: Kind = "private") -> str:
    """Create a work team; returns its ARN. Raises :class:`InUse`, :class:`NotFound`, :class:`Invalid`.

    The AWS API makes private teams only; the other kinds are made by the service's own commands.
    """
    _check(request)
    name = request["WorkteamName"]
    groups = _groups(request["MemberDefinitions"])
    created = now()
    try:
        with db.write() as connection:
            before = connection.execute(select(workteams).where(workteams.c.name == name).with_for_update()).first()
            if before is not None and before.deleted_at is None:
                raise InUse(f"there is already a work team {name!r}")
            values = {
                "workforce": workforce_for(connection, request.get("WorkforceName")),
                "kind": kind,
                "description": request["Description"],
                "request": tags.without(request),
                "created_at": created,
                "updated_at": created,
                "deleted_at": None,
            }
            if before is None:
                connection.execute(insert(workteams).values(name=name, **values))
            else:
                connection.execute(update(workteams).where(workteams.c.name == name).values(**values))
            _set_groups(connection, name, groups)
            tags.put(connection, resource(name, kind), tags.of_request(request))
            audit_log.record(connection, act="CreateWorkteam", resource=resource(name, kind))
    except IntegrityError:
        raise InUse(f"there is already a work team {name!r}") from None
    return settings.arn(resource(name, kind))


def ensure_workteam(db: Database, settings: ServiceSettings, name: str, *, description: str = "") -> tuple[str, bool]:
    """The ARN of the work team of this name, and whether it was made now: of the accounts in the group of its name."""
    with contextlib.suppress(NotFound):
        return describe_workteam(db, settings, name).arn, False
    definitions = [{"OidcMemberDefinition": {"Groups": [name]}}]
    request = {"WorkteamName": name, "MemberDefinitions": definitions, "Description": description or name}
    try:
        return create_workteam(db, settings, request), True
    except InUse:
        # Somebody else made it at the same time.
        return describe_workteam(db, settings, name).arn, False


def describe_workteam(db: Database, settings: ServiceSettings, name: str, *, kind: Kind | None = None) -> Workteam:
    """One work team, of this kind where one is given. Raises :class:`NotFound`."""
    with db.read() as connection:
        return _workteam(settings, _find(connection, name, kind))


def list_workteams(
    db: Database,
    settings: ServiceSettings,
    *,
    kind: Kind | None = None,
    name_contains: str | None = None,
    sort_by: str = "Name",
    descending: bool = False,
    limit: int = 100,
    token: str | None = None,
) -> Page[Workteam]:
    """A page of work teams, sorted by ``Name`` or ``CreateDate``."""
    query = select(workteams).where(workteams.c.deleted_at.is_(None))
    if kind is not None:
        query = query.where(workteams.c.kind == kind)
    with db.read() as connection:
        page = named_page(
            connection,
            query,
            workteams,
            name_contains=name_contains,
            sort_by=sort_by,
            descending=descending,
            limit=limit,
            token=token,
        )
    return Page([_workteam(settings, row) for row in page.items], page.token)


def update_workteam(db: Database, settings: ServiceSettings, request: dict[str, Any]) -> Workteam:
    """Change a private work team's members or description; what is not given stays.

    Raises :class:`NotFound`, :class:`Invalid`.
    """
    _check(request)
    name = request["WorkteamName"]
    with db.write() as connection:
        row = _find(connection, name, "private", lock=True)
        if "MemberDefinitions" in request:
            _set_groups(connection, name, _groups(request["MemberDefinitions"]))
        connection.execute(
            update(workteams)
            .where(workteams.c.name == name)
            .values(
                description=request.get("Description", row.description),
                request={**row.request, **request},
                updated_at=now(),
            )
        )
        audit_log.record(connection, act="UpdateWorkteam", resource=resource(name))
        return _workteam(settings, _find(connection, name, "private"))


def delete_workteam(db: Database, name: str, *, kind: Kind = "private") -> None:
    """Delete a work team; jobs that are over keep its name.

    Raises:
        NotFound: there is no such team.
        InUse: a job or flow definition that has not ended gives it work.
    """
    with db.write() as connection:
        _find(connection, name, kind, lock=True)
        at_work = select(labeling_jobs.c.name).where(
            labeling_jobs.c.workteam == name, labeling_jobs.c.status.in_(("InProgress", "Stopping"))
        )
        job = connection.scalar(at_work.limit(1))
        if job is not None:
            raise InUse(f"the work team {name!r} still gets work from {job!r}: stop that first")
        _set_groups(connection, name, [])
        tags.remove_all(connection, resource(name, kind))
        audit_log.record(connection, act="DeleteWorkteam", resource=resource(name, kind))
        connection.execute(update(workteams).where(workteams.c.name == name).values(deleted_at=now()))


def groups_of_workteam(db: Database, name: str) -> list[str]:
    """The groups whose accounts are members. Raises :class:`NotFound`."""
    with db.read() as connection:
        _find(connection, name)
        query = select(workteam_groups.c.group_name).where(workteam_groups.c.workteam == name)
        return list(connection.scalars(query.order_by(workteam_groups.c.group_name)))


def count_members(connection: Connection, name: str) -> int | None:
    """How many open accounts are in a work team; ``None`` where others know: a provider's people, or the public."""
    team = connection.execute(
        select(workteams.c.kind, workforces.c.request)
        .join(workforces, workforces.c.name == workteams.c.workforce)
        .where(workteams.c.name == name)
    ).first()
    if team is None or team.kind == "public" or "OidcConfig" in team.request:
        return None
    query = (
        select(func.count(worker_groups.c.worker_id.distinct()))
        .join(workteam_groups, workteam_groups.c.group_name == worker_groups.c.group_name)
        .join(workers, workers.c.id == worker_groups.c.worker_id)
        .where(workteam_groups.c.workteam == name, workers.c.disabled_at.is_(None))
    )
    return connection.scalar(query) or 0


def workteam_of_arn(connection: Connection, settings: ServiceSettings, arn: str, member: str = "WorkteamArn") -> str:
    """The name of the work team that an ARN names, locked against its deletion while the transaction lasts.

    Raises :class:`Invalid` that names the ``member`` of the request, where it is not one of this service.
    """
    name = arn.rpartition("/")[2]
    query = select(workteams).where(workteams.c.name == name, workteams.c.deleted_at.is_(None))
    row = connection.execute(query.with_for_update(read=True)).first()
    if row is None or arn != settings.arn(resource(name, row.kind)):
        raise Invalid(f"{member}: there is no work team {arn!r} here; ListWorkteams tells which there are")
    return name


def resource(name: str, kind: str = "private") -> str:
    """The last part of a work team's ARN."""
    return f"workteam/{kind}-crowd/{name}"


def kind_of(arn: str) -> Kind | None:
    """The kind of work team that an ARN names."""
    kinds: dict[str, Kind] = {"private-crowd": "private", "vendor-crowd": "vendor", "public-crowd": "public"}
    return next((kind for part, kind in kinds.items() if f"workteam/{part}" in arn), None)


def topic_of(request: Mapping[str, Any]) -> str | None:
    """The topic that is told of new work for a team, by its request."""
    return request.get("NotificationConfiguration", {}).get("NotificationTopicArn") or None


def binds_addresses(db: Database, name: str) -> bool:
    """Whether the links to files that a team's workers get open only from the address that asked for them."""
    with db.read() as connection:
        request = connection.scalar(select(workteams.c.request).where(workteams.c.name == name))
    return _constraints(request or {}).get("SourceIp") == "Enabled"


def _check(request: Mapping[str, Any]) -> None:
    topic = topic_of(request)
    if topic is not None and not is_standard_topic(topic):
        raise Invalid(
            f"NotificationConfiguration.NotificationTopicArn cannot be honoured: {topic!r} is not the ARN of a "
            "standard SNS topic"
        )
    if _constraints(request).get("VpcSourceIp") == "Enabled":
        raise Invalid(
            "WorkerAccessConfiguration.S3Presign.IamPolicyConstraints.VpcSourceIp cannot be honoured: the service is "
            "not part of a VPC; use SourceIp"
        )


def _constraints(request: Mapping[str, Any]) -> Mapping[str, str]:
    access: Mapping[str, Any] = request.get("WorkerAccessConfiguration") or {}
    found: Mapping[str, str] = access.get("S3Presign", {}).get("IamPolicyConstraints", {})
    return found


def _find(connection: Connection, name: str, kind: Kind | None = None, *, lock: bool = False) -> Row[Any]:
    query = select(workteams).where(workteams.c.name == name, workteams.c.deleted_at.is_(None))
    if kind is not None:
        query = query.where(workteams.c.kind == kind)
    row = connection.execute(query.with_for_update() if lock else query).first()
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


def _set_groups(connection: Connection, name: str, groups: list[str]) -> None:
    connection.execute(delete(workteam_groups).where(workteam_groups.c.workteam == name))
    groups = groups_of_members(connection, name, groups)
    kind = connection.scalar(select(workteams.c.kind).where(workteams.c.name == name))
    foreign = [group for group in groups if group.startswith("vendor:")]
    if foreign and kind != "vendor":
        raise Invalid(f"MemberDefinitions names {foreign[0]!r}: a vendor's people cannot be in other work teams")
    if groups:
        connection.execute(insert(workteam_groups), [{"workteam": name, "group_name": group} for group in groups])


def _workteam(settings: ServiceSettings, row: Row[Any]) -> Workteam:
    return Workteam(
        name=row.name,
        arn=settings.arn(resource(row.name, row.kind)),
        kind=row.kind,
        workforce_arn=workforce_arn(settings, row.workforce),
        description=row.description,
        request=row.request,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
