"""Vendors: work teams of another company, whose people see the team's own work and nothing else.

On AWS one subscribes to a vendor in the Marketplace. Here ``trueground vendor add`` makes the team.
"""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from trueground.service.engine import accounts, audit_log, teams
from trueground.service.engine.errors import Invalid, NotFound
from trueground.service.engine.user_names import find_by_username
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import labeling_jobs, worker_groups, workers, workteams


def add_vendor(db: Database, settings: ServiceSettings, name: str, *, description: str = "") -> str:
    """Make a vendor's work team; returns its ARN, which labeling jobs name. Raises :class:`InUse`, :class:`Invalid`."""
    group = group_of(name)
    request = {
        "WorkteamName": name,
        "Description": description or name,
        "MemberDefinitions": [{"OidcMemberDefinition": {"Groups": [group]}}],
    }
    return teams.create_workteam(db, settings, request, kind="vendor")


def group_of(vendor: str) -> str:
    """The group of a vendor's people. No other team's group has such a name by accident."""
    return f"vendor:{vendor}"


def add_person(db: Database, vendor: str, username: str, *, manager: bool = False) -> None:
    """Make an account one of a vendor's people; it leaves all other teams.

    Raises:
        NotFound: there is no such account or vendor.
        Invalid: the account is an admin's.
    """
    with db.write() as connection:
        check_vendor(connection, vendor)
        found = find_by_username(connection, username)
        if found is None:
            raise NotFound(f"there is no account {username!r}")
        if found.role == "admin":
            raise Invalid(f"{username!r} is an admin, who sees everything; a vendor's people see their own team only")
        role = "manager" if manager else found.role
        connection.execute(update(workers).where(workers.c.id == found.id).values(vendor=vendor, role=role))
        connection.execute(worker_groups.delete().where(worker_groups.c.worker_id == found.id))
        detail = {"vendor": vendor, "role": role}
        audit_log.record(connection, act="AddToVendor", resource=f"worker/{found.id}", detail=detail)
        accounts.put_in_group(connection, found.id, group_of(vendor), vendor=vendor)


def check_job(db: Database, vendor: str, name: str, kind: str = "labeling") -> None:
    """Raise :class:`NotFound` where a labeling job is not this vendor's, as if there were none of the name.

    ``kind``: ``labeling``, or ``review`` for the human loops of a flow definition.
    """
    mine = (labeling_jobs.c.name == name) & (labeling_jobs.c.kind == kind) & (labeling_jobs.c.workteam == vendor)
    with db.read() as connection:
        if connection.execute(select(labeling_jobs.c.id).where(mine)).first() is None:
            raise NotFound(f"there is no {'flow definition' if kind == 'review' else 'labeling job'} {name!r}")


def check_vendor(connection: Connection, vendor: str) -> None:
    """Raise :class:`NotFound` where there is no vendor of that name."""
    there = (workteams.c.name == vendor) & (workteams.c.kind == "vendor") & workteams.c.deleted_at.is_(None)
    if connection.execute(select(workteams.c.name).where(there)).first() is None:
        raise NotFound(f"there is no vendor {vendor!r}")
