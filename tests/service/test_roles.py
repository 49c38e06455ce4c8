"""Roles: what each includes, and which jobs are for whom."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import update

from tests.service.running import TEAM
from trueground.service.engine import accounts, leasing, progress, vendors
from trueground.service.rights import ROLES, Right, Role, may, may_give
from trueground.service.security import Identity
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import workers


@pytest.mark.parametrize(
    ("right", "roles"),
    [
        ("label", ROLES),
        ("review", ("reviewer", "manager", "admin")),
        ("see jobs", ("manager", "admin")),
        ("invite", ("manager", "admin")),
        ("pause workers", ("manager", "admin")),
        ("administer", ("admin",)),
    ],
)
def test_each_role_includes_those_below_it(right: Right, roles: tuple[Role, ...]) -> None:
    assert tuple(role for role in ROLES if may(role, right)) == roles


def test_nobody_gives_away_more_than_they_have() -> None:
    assert may_give("manager") == ("worker", "reviewer") and may_give("admin") == ROLES
    assert may_give("worker") == may_give("reviewer") == ()


def test_a_vendors_people_administer_nothing() -> None:
    assert not Identity("admin", "vera", "Vera", "1", vendor="acme").may("administer")


def test_a_job_for_reviewers_is_seen_by_them_only(store: Database, stored_job: Callable[..., str]) -> None:
    ids = {}
    for role in ROLES:
        ids[role] = accounts.add_worker(store, role, "secret", role=role).id
        accounts.add_to_group(store, role, TEAM)
    stored_job("animals", objects=4)
    stored_job("checks", objects=4, Tags=[{"Key": "trueground:role", "Value": "reviewer"}])
    seen = {role: sorted(work.name for work in progress.work_for(store, worker)) for role, worker in ids.items()}
    assert seen == {role: ["animals"] if role == "worker" else ["animals", "checks"] for role in ROLES}
    assert leasing.next_assignment(store, ids["worker"], "checks") is None
    assert leasing.next_assignment(store, ids["reviewer"], "checks") is not None


def test_a_vendors_person_gets_no_task_of_another_team_whatever_their_groups(
    store: Database, settings: ServiceSettings, people: Callable[[int], list[str]], stored_job: Callable[..., str]
) -> None:
    (worker,) = people(1)
    stored_job(objects=1)
    vendors.add_vendor(store, settings, "acme")
    with store.write() as connection:
        # As no command or page of ours would leave it.
        connection.execute(update(workers).values(vendor="acme"))
    assert leasing.next_assignment(store, worker) is None
