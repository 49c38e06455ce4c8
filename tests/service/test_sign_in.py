"""Signing in: what it takes, how often one may try, and what ends a session."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select, update

from tests.service.running import RunningService
from trueground.service.engine import accounts, sessions
from trueground.service.engine.errors import Invalid, TooManyTries
from trueground.service.engine.sign_in_limits import ADDRESS, NAME, Try
from trueground.service.store.database import Database
from trueground.service.store.tables import sign_in_failures

pytestmark = pytest.mark.usefixtures("still_clock")


def fail(db: Database, username: str = "ann", times: int = 1, **where: str | None) -> None:
    for _ in range(times):
        assert sessions.sign_in(db, username, "wrong", **where) is None  # type: ignore[arg-type]


@contextmanager
def later(db: Database, **passed: float) -> Iterator[None]:
    """As if this much time had passed since the last failures."""
    with db.write() as connection:
        rows = connection.execute(select(sign_in_failures)).all()
        for row in rows:
            mine = sign_in_failures.c.key == row.key
            connection.execute(update(sign_in_failures).where(mine).values(since=row.since - timedelta(**passed)))
    yield


def test_the_wait_doubles_with_each_failure_up_to_its_bound() -> None:
    assert [NAME.wait(count).total_seconds() for count in (0, 4, 5, 6, 7, 8, 11, 99)] == [0, 0, 1, 2, 4, 8, 60, 60]
    assert [ADDRESS.wait(count).total_seconds() for count in (19, 20, 21, 30, 10**6)] == [0, 1, 2, 900, 900]


def test_after_five_failures_even_the_right_password_waits(store: Database) -> None:
    accounts.add_worker(store, "ann", "secret")
    fail(store, times=5)
    with pytest.raises(TooManyTries) as caught:
        sessions.sign_in(store, "ann", "secret")
    assert caught.value.seconds == 1
    with later(store, seconds=1):
        assert sessions.sign_in(store, "ann", "secret") is not None
    fail(store, times=5)  # signing in made a new start


def test_an_unknown_name_waits_as_a_known_one_does(store: Database) -> None:
    fail(store, "nobody", times=5)
    with pytest.raises(TooManyTries):
        sessions.sign_in(store, "nobody", "secret")


def test_tries_from_one_address_wait_whatever_names_they_try(store: Database) -> None:
    accounts.add_worker(store, "ann", "secret")
    for number in range(20):
        fail(store, f"name-{number}", address="192.0.2.1")
    with pytest.raises(TooManyTries):
        sessions.sign_in(store, "ann", "secret", address="192.0.2.1")
    assert sessions.sign_in(store, "ann", "secret", address="192.0.2.2") is not None
    with later(store, minutes=61):
        fail(store, "ann", address="192.0.2.1")


@pytest.mark.parametrize(
    ("first", "same", "other"),
    [
        ("2001:db8:1:2::7", "2001:db8:1:2:ffff::1", "2001:db8:1:3::7"),
        ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
    ],
)
def test_the_addresses_of_one_line_are_counted_as_one(store: Database, first: str, same: str, other: str) -> None:
    for number in range(20):
        Try(store, f"name-{number}", first).begin()
    with pytest.raises(TooManyTries):
        Try(store, "ann", same).begin()
    Try(store, "ann", other).begin()


def test_an_own_account_does_not_reset_the_count_of_an_address(store: Database) -> None:
    accounts.add_worker(store, "eve", "secret")
    for number in range(19):
        fail(store, f"name-{number}", address="192.0.2.1")
        assert sessions.sign_in(store, "eve", "secret", address="192.0.2.1") is not None
    fail(store, "name-19", address="192.0.2.1")
    with pytest.raises(TooManyTries):
        sessions.sign_in(store, "eve", "secret", address="192.0.2.1")


def test_strangers_do_not_lock_out_a_browser_that_signed_in_before(store: Database) -> None:
    accounts.add_worker(store, "ann", "secret")
    fail(store, times=5, address="192.0.2.66")
    with pytest.raises(TooManyTries):
        sessions.sign_in(store, "ann", "secret", address="192.0.2.7")
    assert sessions.sign_in(store, "ann", "secret", address="192.0.2.7", browser="b1") is not None
    fail(store, times=5, browser="b1")
    with pytest.raises(TooManyTries):
        sessions.sign_in(store, "ann", "secret", browser="b1")


def test_of_tries_that_come_at_once_no_more_pass_than_one_after_the_other(store: Database) -> None:
    accounts.add_worker(store, "ann", "secret")
    barrier = threading.Barrier(12)

    def guess(number: int) -> bool:
        barrier.wait()
        try:
            return sessions.sign_in(store, "ann", f"guess-{number}", address=f"192.0.2.{number}") is None
        except TooManyTries:
            return False

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(guess, range(12))) == 5


def test_the_count_outlives_a_restart(store: Database, store_url: str) -> None:
    fail(store, times=5)
    with closing(Database(store_url)) as again, pytest.raises(TooManyTries):
        sessions.sign_in(again, "ann", "secret")


def test_neither_names_nor_addresses_stand_in_the_store(store: Database) -> None:
    fail(store, "my-password-typed-too-early", address="192.0.2.1")
    with store.read() as connection:
        assert "password" not in str(connection.execute(select(sign_in_failures)).all())


def test_signing_in_ends_the_browsers_old_session_and_takes_a_new_token(store: Database) -> None:
    accounts.add_worker(store, "ann", "secret")
    first = sessions.sign_in(store, "ann", "secret")
    assert first is not None
    second = sessions.sign_in(store, "ann", "secret", old_token=first.token)
    assert second is not None and second.token != first.token and second.csrf_token != first.csrf_token
    assert sessions.session_of(store, first.token) is None and sessions.session_of(store, second.token) is not None


def test_a_closed_account_has_no_sessions_and_gets_none(store: Database) -> None:
    ann = accounts.add_worker(store, "ann", "secret")
    session = sessions.sign_in(store, "ann", "secret")
    assert session is not None
    accounts.disable(store, "ann")
    assert sessions.session_of(store, session.token) is None
    assert sessions.sign_in(store, "ann", "secret") is None
    with pytest.raises(Invalid, match="closed"):
        sessions.start(store, ann.id)
    accounts.enable(store, "ann")
    assert sessions.sign_in(store, "ann", "secret") is not None


def test_changing_ones_password_ends_ones_other_sessions(store: Database) -> None:
    accounts.add_worker(store, "ann", "secret")
    here, elsewhere = sessions.sign_in(store, "ann", "secret"), sessions.sign_in(store, "ann", "secret")
    assert here is not None and elsewhere is not None
    with pytest.raises(Invalid, match="not your password"):
        accounts.change_own_password(store, "ann", "wrong", "longer than ten", token=here.token)
    with pytest.raises(Invalid, match="10 characters"):
        accounts.change_own_password(store, "ann", "secret", "short", token=here.token)
    accounts.change_own_password(store, "ann", "secret", "longer than ten", token=here.token)
    assert sessions.session_of(store, here.token) is not None and sessions.session_of(store, elsewhere.token) is None
    assert sessions.sign_in(store, "ann", "longer than ten") is not None


def test_a_page_and_the_api_say_when_to_try_again(service: RunningService) -> None:
    service.add_worker("ann")
    wrong = {"username": "ann", "password": "wrong"}
    for _ in range(5):
        assert httpx.post(f"{service.url}/api/session", json=wrong).status_code == 401
    answer = httpx.post(f"{service.url}/api/session", json=wrong)
    assert (answer.status_code, answer.json()["error"], answer.headers["retry-after"]) == (429, "too-many-tries", "1")
    page = httpx.post(f"{service.url}/signin", data={**wrong, "password": "secret"})
    assert page.status_code == 429 and "Try again in" in page.text and "retry-after" in page.headers


def test_a_browser_that_signed_in_before_is_known_again(service: RunningService) -> None:
    service.add_worker("ann")
    service.add_worker("bob")
    right, wrong = ({"username": "ann", "password": word} for word in ("secret", "wrong"))
    with httpx.Client(base_url=service.url) as ann:
        assert ann.post("/api/session", json=right).status_code == 200
        ann.post("/signout")
        for _ in range(5):
            httpx.post(f"{service.url}/api/session", json=wrong)
        assert httpx.post(f"{service.url}/api/session", json=right).status_code == 429
        assert ann.post("/api/session", json=right).status_code == 200
        # It is known for this person only.
        for _ in range(5):
            httpx.post(f"{service.url}/api/session", json={"username": "bob", "password": "wrong"})
        assert ann.post("/api/session", json={"username": "bob", "password": "secret"}).status_code == 429


def test_a_session_that_someone_planted_is_of_no_use_after_signing_in(service: RunningService) -> None:
    service.add_worker("ann")
    service.add_worker("eve")
    with httpx.Client(base_url=service.url) as eve, httpx.Client(base_url=service.url) as ann:
        eve.post("/api/session", json={"username": "eve", "password": "secret"})
        ann.cookies.set("trueground_session", eve.cookies["trueground_session"])
        ann.post("/signin", data={"username": "ann", "password": "secret"})
        assert eve.get("/api/session").status_code == 401
        assert ann.get("/api/session").json()["worker"]["username"] == "ann"


def test_an_unknown_name_takes_as_long_as_a_wrong_password(store: Database) -> None:
    accounts.add_worker(store, "ann", "secret")

    def seconds(username: str) -> float:
        start = time.process_time()
        sessions.sign_in(store, username, "wrong")
        return time.process_time() - start

    known, unknown = (min(seconds(name) for _ in range(4)) for name in ("ann", "nobody"))
    assert unknown > known / 3
