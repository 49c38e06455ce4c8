"""Invitations: who may invite whom, and that a link makes one account."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from trueground.service.engine import accounts, invitations, vendors
from trueground.service.engine.errors import EngineError, InUse, Invalid, LimitExceeded, NotFound
from trueground.service.security import Identity
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import audit_log
from trueground.service.store.tables import invitations as table

PASSWORD = "longer than ten"
MANAGER = Identity("manager", "max", "Max", "1")
ADMIN = Identity("admin", "ada", "Ada", "2")


def test_an_invited_person_makes_their_account_with_the_role_and_groups_they_were_invited_for(store: Database) -> None:
    token, made = invitations.invite(store, MANAGER, role="reviewer", groups=["annotators"], email="ann@example.org")
    assert invitations.find(store, token) == made
    ann = invitations.accept(store, token, "ann", PASSWORD, name="Ann Other")
    assert accounts.get_worker(store, "ann") == accounts.Worker(
        ann.id, "ann", "Ann Other", "reviewer", "local", ("annotators",), "ann@example.org"
    )
    with store.read() as connection:
        assert token not in str(connection.execute(select(table)).all())
        log = str(connection.execute(select(audit_log)).all())
        assert "ann@example.org" not in log and token not in log and "AcceptInvitation" in log


def test_a_link_makes_one_account_even_if_used_twice_at_once(store: Database) -> None:
    token, _ = invitations.invite(store, ADMIN)
    barrier = threading.Barrier(4)

    def accept(number: int) -> bool:
        barrier.wait()
        try:
            invitations.accept(store, token, f"ann-{number}", PASSWORD, name="Ann")
        except EngineError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(accept, range(4))) == 1
    assert len(accounts.list_workers(store)) == 1


def test_a_link_ends_after_seven_days_and_when_it_is_withdrawn(store: Database) -> None:
    token, made = invitations.invite(store, ADMIN)
    with store.write() as connection:
        connection.execute(update(table).values(expires_at=made.expires_at - timedelta(days=7, seconds=1)))
    with pytest.raises(NotFound, match="older than 7 days"):
        invitations.accept(store, token, "ann", PASSWORD, name="Ann")
    token, made = invitations.invite(store, ADMIN)
    invitations.withdraw(store, made.id)
    with pytest.raises(NotFound):
        invitations.find(store, token)
    assert invitations.list_open(store) == []


@pytest.mark.parametrize(
    ("by", "options", "message"),
    [
        (MANAGER, {"role": "manager"}, "a manager cannot give the role manager"),
        (MANAGER, {"role": "admin"}, "a manager cannot give the role admin"),
        (Identity("reviewer", "r", "R", "3"), {}, "a reviewer cannot give the role worker"),
        (ADMIN, {"groups": ["nobody"]}, "no work team has the group 'nobody'"),
        (ADMIN, {"email": "ann@example.org\nBcc: all@example.org"}, "no e-mail address"),
    ],
)
def test_what_may_not_be_invited_is_refused(
    store: Database, by: Identity, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        invitations.invite(store, by, **options)


def test_a_vendors_manager_invites_into_the_vendors_team_only(store: Database, settings: ServiceSettings) -> None:
    vendors.add_vendor(store, settings, "acme")
    vera = Identity("manager", "vera", "Vera", "4", vendor="acme")
    token, made = invitations.invite(store, vera, groups=["annotators"], vendor="another")
    assert (made.vendor, made.groups) == ("acme", ("vendor:acme",))
    invitations.accept(store, token, "vic", PASSWORD, name="Vic")
    assert accounts.get_worker(store, "vic").vendor == "acme"
    _, ours = invitations.invite(store, ADMIN)
    with pytest.raises(NotFound):
        invitations.withdraw(store, ours.id, vendor="acme")
    assert invitations.list_open(store, vendor="acme") == []
    with pytest.raises(Invalid, match="own groups only"):
        accounts.add_to_group(store, "vic", "annotators")


def test_at_most_a_hundred_invitations_are_open(store: Database) -> None:
    for _ in range(100):
        _, made = invitations.invite(store, ADMIN)
    with pytest.raises(LimitExceeded):
        invitations.invite(store, ADMIN)
    invitations.withdraw(store, made.id)
    invitations.invite(store, ADMIN)


@pytest.mark.parametrize(
    ("username", "password", "name", "kind"),
    [
        ("ann", "short", "Ann", Invalid),
        ("a b", PASSWORD, "Ann", Invalid),
        ("erased-1", PASSWORD, "Ann", Invalid),
        ("ann", PASSWORD, "Ann\nBcc: x", Invalid),
        ("taken", PASSWORD, "Ann", InUse),
    ],
)
def test_an_account_that_cannot_be_leaves_the_invitation_open(
    store: Database, username: str, password: str, name: str, kind: type[Exception]
) -> None:
    accounts.add_worker(store, "taken", "secret")
    token, _ = invitations.invite(store, ADMIN)
    with pytest.raises(kind):
        invitations.accept(store, token, username, password, name=name)
    invitations.accept(store, token, "ann", PASSWORD, name="Ann")
