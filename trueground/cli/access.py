"""``trueground worker|team|keys``: who may work, and which programs may call."""

from __future__ import annotations

from typing import Annotated

import typer

from trueground.cli.options import HomeOption, RoleName, StoreOption
from trueground.cli.people import workers
from trueground.cli.store import open_store

teams = typer.Typer(help="Work teams: who gets the tasks of a labeling job.", no_args_is_help=True)
keys = typer.Typer(help="Access keys, with which programs sign their requests.", no_args_is_help=True)


@workers.command("add")
def add_worker(
    username: Annotated[str, typer.Argument(help="The name to sign in with.")],
    name: Annotated[str | None, typer.Option(help="The name that others see.", show_default="the user name")] = None,
    password: Annotated[
        str | None, typer.Option(envvar="TRUEGROUND_PASSWORD", help="Asked for when it is not given.")
    ] = None,
    role: Annotated[RoleName, typer.Option(help="What the account may do; see docs/people.md.")] = RoleName.worker,
    team: Annotated[list[str] | None, typer.Option(help="Work team to join; may be repeated.")] = None,
    store: StoreOption = None,
    home: HomeOption = None,
) -> None:
    """Make an account, and put it into work teams."""
    from trueground.service.engine import accounts
    from trueground.service.engine import teams as work_teams

    db, _, _ = open_store(home, store)
    # Before the account is made: a wrong team must leave nothing behind.
    groups = [work_teams.groups_of_workteam(db, one)[0] for one in team or ()]
    if password is None:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    accounts.add_worker(db, username, password, name=name, role=role.value)
    for group in groups:
        accounts.add_to_group(db, username, group)
    typer.echo(f"{role.value} {username} added" + (f" to {', '.join(team)}" if team else ""))


@workers.command("list")
def list_workers(store: StoreOption = None, home: HomeOption = None) -> None:
    """All accounts with their role and groups."""
    from trueground.service.engine import accounts

    db, _, _ = open_store(home, store)
    for worker in accounts.list_workers(db):
        state = "\terased" if worker.erased_at else "\tclosed" if worker.disabled_at else ""
        typer.echo(f"{worker.username}\t{worker.role}\t{worker.name}\t{', '.join(worker.groups)}{state}")


@teams.command("add")
def add_team(
    name: Annotated[str, typer.Argument(help="Name of the work team.")],
    worker: Annotated[list[str] | None, typer.Option(help="User name of a member; may be repeated.")] = None,
    description: Annotated[str, typer.Option(help="What the team is for.")] = "",
    store: StoreOption = None,
    home: HomeOption = None,
) -> None:
    """Make a work team, or add members to one that is there. Prints its ARN, which labeling jobs name."""
    from trueground.service.engine import accounts
    from trueground.service.engine import teams as work_teams

    db, _, settings = open_store(home, store)
    for username in worker or ():
        accounts.get_worker(db, username)
    arn, _ = work_teams.ensure_workteam(db, settings, name, description=description)
    group = work_teams.groups_of_workteam(db, name)[0]
    for username in worker or ():
        accounts.add_to_group(db, username, group)
    typer.echo(arn)


@teams.command("list")
def list_teams(store: StoreOption = None, home: HomeOption = None) -> None:
    """All work teams with their members."""
    from trueground.service.engine import accounts
    from trueground.service.engine import teams as work_teams

    db, _, settings = open_store(home, store)
    people = accounts.list_workers(db)
    token: str | None = None
    while True:
        page = work_teams.list_workteams(db, settings, token=token)
        for team in page.items:
            groups = set(work_teams.groups_of_workteam(db, team.name))
            members = [worker.username for worker in people if groups & set(worker.groups)]
            typer.echo(f"{team.name}\t{team.arn}\t{', '.join(members)}")
        if (token := page.token) is None:
            return


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="What the key is for.")] = "",
    store: StoreOption = None,
    home: HomeOption = None,
) -> None:
    """Make an access key. The secret is printed here and can never be read again."""
    from trueground.service.engine import keys as access_keys

    db, box, _ = open_store(home, store)
    key_id, secret = access_keys.create_key(db, box, name)
    typer.echo(f"aws_access_key_id = {key_id}\naws_secret_access_key = {secret}")


@keys.command("list")
def list_keys(store: StoreOption = None, home: HomeOption = None) -> None:
    """All access keys, without their secrets."""
    from trueground.service.engine import keys as access_keys

    db, _, _ = open_store(home, store)
    for key in access_keys.list_keys(db):
        state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "in use"
        typer.echo(f"{key.id}\t{key.created_at:%Y-%m-%d}\t{state}\t{key.name}")


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The access key id.")],
    store: StoreOption = None,
    home: HomeOption = None,
) -> None:
    """End an access key for good."""
    from trueground.service.engine import keys as access_keys

    db, _, _ = open_store(home, store)
    access_keys.revoke_key(db, key_id)
    typer.echo(f"{key_id} revoked")
