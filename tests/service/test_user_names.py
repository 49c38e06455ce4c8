"""User names: names that differ only in case are one name, and e-mail addresses are user names."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import text

from trueground.service.engine import accounts, audit_log, erasure, invitations, sessions
from trueground.service.engine.errors import InUse, Invalid
from trueground.service.security import Identity, hash_password
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database

PASSWORD = "longer than ten"


@pytest.mark.parametrize("other", ["ADA", "Ada", "aDa"])
def test_a_name_in_another_case_is_the_same_account(store: Database, other: str) -> None:
    ada = accounts.add_worker(store, "ada", PASSWORD)
    with pytest.raises(InUse, match="already an account 'ada'"):
        accounts.add_worker(store, other, PASSWORD)
    token, _ = invitations.invite(store, Identity("admin", "root", "Root", "1"))
    with pytest.raises(InUse, match="already an account 'ada'"):
        invitations.accept(store, token, other, PASSWORD, name="Another Ada")
    assert accounts.external_worker(store, other, name="Ada", role="worker").id == ada.id
    assert accounts.get_worker(store, other).id == ada.id
    session = sessions.sign_in(store, other, PASSWORD)
    assert session is not None and session.identity.username == "ada"
    assert audit_log.entries(store, resource=other).items[0].act == "AddWorker"


def test_names_of_other_alphabets_are_compared_alike(store: Database) -> None:
    accounts.add_worker(store, "zoë", PASSWORD)
    for other in ("ZOË", "zoe\N{COMBINING DIAERESIS}"):
        with pytest.raises((InUse, Invalid)):
            accounts.add_worker(store, other, PASSWORD)
    accounts.add_worker(store, "zoe", PASSWORD)


def test_the_name_of_an_erased_account_is_free_in_every_case(store: Database) -> None:
    accounts.add_worker(store, "Ada", PASSWORD)
    erasure.erase(store, "ada")
    accounts.add_worker(store, "ADA", PASSWORD)


@pytest.mark.parametrize("username", ["o'neil@example.com", "n'golo.k+work@example.com"])
def test_an_e_mail_address_with_an_apostrophe_is_a_user_name(store: Database, username: str) -> None:
    accounts.add_worker(store, username, PASSWORD, email=username)
    session = sessions.sign_in(store, username, PASSWORD)
    assert session is not None and accounts.get_worker(store, username).email == username


def test_accounts_of_before_that_clash_keep_their_names_and_can_all_sign_in(
    store_url: str, settings: ServiceSettings
) -> None:
    hashed = hash_password(PASSWORD)
    with closing(Database(store_url)) as store:
        store.migrate("0003")
        with store.write() as connection:
            for number, username in enumerate(("Ada", "ada", "ADA", "bob", "oidc:1:ada", "oidc:1:ADA")):
                values = {"id": f"{number:016x}", "username": username, "hash": hashed, "at": f"2026-01-0{number + 1}"}
                connection.execute(
                    text(
                        "INSERT INTO workers (id, username, name, role, password_hash, subject, created_at) "
                        "VALUES (:id, :username, 'A', 'worker', :hash, :id, CAST(:at AS TIMESTAMP))"
                        if connection.dialect.name == "postgresql"
                        else "INSERT INTO workers (id, username, name, role, password_hash, subject, created_at) "
                        "VALUES (:id, :username, 'A', 'worker', :hash, :id, :at || ' 00:00:00.000000')"
                    ),
                    values,
                )
        store.migrate()
        # Each by its own spelling; any other spelling means the oldest.
        expected = {"Ada": 0, "ada": 1, "ADA": 2, "aDA": 0, "bob": 3, "BOB": 3}
        for username, number in expected.items():
            session = sessions.sign_in(store, username, PASSWORD)
            assert session is not None and session.identity.worker_id == f"{number:016x}", username
        with pytest.raises(InUse):
            accounts.add_worker(store, "AdA", PASSWORD)
        erasure.erase(store, "Ada")
        with pytest.raises(InUse):
            accounts.add_worker(store, "AdA", PASSWORD)
