"""``trueground worker invite|role|disable|enable|password|erase``, ``trueground vendor``, ``trueground audit``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueground.cli.options import DataRootOption, HomeOption, RoleName, StoreOption
from trueground.cli.store import open_store, user

if TYPE_CHECKING:
    from trueground.service.engine import audit_log

workers = typer.Typer(help="Accounts of the people who label and manage.", no_args_is_help=True)
vendors = typer.Typer(help="Vendors: work teams of other companies, who see their own work only.", no_args_is_help=True)

Username = Annotated[str, typer.Argument(help="The name to sign in with.")]


@workers.command("invite")
def invite(
    role: Annotated[RoleName, typer.Option(help="What the account may do.")] = RoleName.worker,
    team: Annotated[list[str] | None, typer.Option(help="Work team to join; may be repeated.")] = None,
    vendor: Annotated[str | None, typer.Option(help="The vendor whose person it will be.")] = None,
    email: Annotated[str | None, typer.Option(help="Kept with the account, for notices of new work.")] = None,
    url: Annotated[
        str, typer.Option(envvar="TRUEGROUND_PUBLIC_URL", help="The address of the portal.")
    ] = "http://127.0.0.1:8700",
    store: StoreOption = None,
    home: HomeOption = None,
) -> None:
    """Make a link with which somebody makes their own account. It works once, for 7 days."""
    from trueground.service.engine import invitations
    from trueground.service.engine import teams as work_teams
    from trueground.service.security import Identity

    db, _, _ = open_store(home, store)
    groups = [group for one in team or () for group in work_teams.groups_of_workteam(db, one)[:1]]
    by = Identity("admin", user(), user(), None)
    token, made = invitations.invite(db, by, role=role.value, groups=groups, email=email, vendor=vendor)
    typer.echo(f"{url.rstrip('/')}/join/{token}\nvalid until {made.expires_at:%Y-%m-%d %H:%M} UTC")


@workers.command("role")
def set_role(username: Username, role: RoleName, store: StoreOption = None, home: HomeOption = None) -> None:
    """Give an account another role."""
    from trueground.service.engine import accounts

    db, _, _ = open_store(home, store)
    accounts.set_role(db, username, role.value)
    typer.echo(f"{username} is {role.value} now")


@workers.command("password")
def set_password(
    username: Username,
    password: Annotated[
        str | None, typer.Option(envvar="TRUEGROUND_PASSWORD", help="Asked for when it is not given.")
    ] = None,
    store: StoreOption = None,
    home: HomeOption = None,
) -> None:
    """Give an account another password. All its sessions end."""
    from trueground.service.engine import accounts

    db, _, _ = open_store(home, store)
    accounts.get_worker(db, username)
    accounts.set_password(db, username, password or typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    typer.echo(f"{username} has a new password")


@workers.command("disable")
def disable(username: Username, store: StoreOption = None, home: HomeOption = None) -> None:
    """Close an account: its sessions end, and it cannot sign in."""
    from trueground.service.engine import accounts

    db, _, _ = open_store(home, store)
    accounts.disable(db, username)
    typer.echo(f"{username} is closed")


@workers.command("enable")
def enable(username: Username, store: StoreOption = None, home: HomeOption = None) -> None:
    """Open a closed account again."""
    from trueground.service.engine import accounts

    db, _, _ = open_store(home, store)
    accounts.enable(db, username)
    typer.echo(f"{username} is open")


@workers.command("erase")
def erase(
    username: Username,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    store: StoreOption = None,
    home: HomeOption = None,
    data_root: DataRootOption = None,
) -> None:
    """Erase a person's data for good. Their answers stay, under an id that leads to nobody.

    Files that hold their identity are written again. Where that was cut short, give the command once more, with the
    name `erased-…` that it printed.
    """
    from trueground.service.engine import accounts, erasure
    from trueground.service.settings import ServiceSettings

    db, _, settings = open_store(home, store)
    accounts.get_worker(db, username)
    if not yes:
        typer.confirm(f"Erase all data of {username}? It cannot be undone", abort=True)
    worker_id = erasure.erase(db, username)
    typer.echo(f"{username} is {erasure.pseudonym(worker_id)} now")
    storage = ServiceSettings.from_environment(home=settings.home, store_url=store, data_root=data_root).storage()
    typer.echo(f"{erasure.rewrite_files(db, storage, worker_id)} files written again")


@vendors.command("add")
def add_vendor(
    name: Annotated[str, typer.Argument(help="Name of the vendor, and of its work team.")],
    manager: Annotated[list[str] | None, typer.Option(help="User name of a manager; may be repeated.")] = None,
    worker: Annotated[list[str] | None, typer.Option(help="User name of a worker; may be repeated.")] = None,
    description: Annotated[str, typer.Option(help="What the vendor is for.")] = "",
    store: StoreOption = None,
    home: HomeOption = None,
) -> None:
    """Make a vendor's work team, or add people to one that is there. Prints its ARN, which labeling jobs name.

    The people leave all other teams: a vendor's people see the vendor's jobs, progress and people, and nothing else.
    """
    from trueground.service.engine import accounts
    from trueground.service.engine import teams as work_teams
    from trueground.service.engine import vendors as vendor_teams

    db, _, settings = open_store(home, store)
    for username in [*(manager or ()), *(worker or ())]:
        accounts.get_worker(db, username)
    known = {team.name for team in work_teams.list_workteams(db, settings, kind="vendor", name_contains=name).items}
    if name not in known:
        vendor_teams.add_vendor(db, settings, name, description=description)
    for username in manager or ():
        vendor_teams.add_person(db, name, username, manager=True)
    for username in worker or ():
        vendor_teams.add_person(db, name, username)
    typer.echo(work_teams.describe_workteam(db, settings, name, kind="vendor").arn)


def audit(
    actor: Annotated[str, typer.Option(help="Only what this user, key or command did.")] = "",
    act: Annotated[str, typer.Option(help="Only this act, such as CreateLabelingJob.")] = "",
    resource: Annotated[str, typer.Option(help="Only what was done to this user, job or team.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many entries, the newest first.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    store: StoreOption = None,
    home: HomeOption = None,
) -> None:
    """Show what managers, admins and programs did."""
    from trueground.service.engine import audit_log

    db, _, _ = open_store(home, store)
    token: str | None = None
    while limit > 0:
        found = audit_log.entries(db, actor=actor, act=act, resource=resource, limit=min(limit, 1000), token=token)
        for entry in found.items:
            typer.echo(_json(entry) if as_json else _line(entry))
        limit -= len(found.items)
        if (token := found.token) is None:
            return


def _line(entry: audit_log.Entry) -> str:
    who, what = (entry.names.get(part, part) for part in (entry.actor, entry.resource))
    detail = " ".join(f"{key}={_plain(value)}" for key, value in entry.detail.items() if value)
    return f"{entry.at:%Y-%m-%d %H:%M:%S}\t{who}\t{entry.act}\t{what}\t{detail}\t{entry.address or ''}".rstrip()


def _plain(value: Any) -> str:
    return ",".join(str(part) for part in value) if isinstance(value, list) else str(value)


def _json(entry: audit_log.Entry) -> str:
    values = {
        "at": entry.at.isoformat(),
        "actor": entry.actor,
        "act": entry.act,
        "resource": entry.resource,
        "detail": entry.detail,
        "address": entry.address,
    }
    return json.dumps(values)
