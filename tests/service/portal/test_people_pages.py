"""The pages of people, as browsers use them: joining, one's account, pausing, networks, the audit log."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from tests.service.running import RunningService
from trueground.service.addresses import client_address
from trueground.service.engine import accounts
from trueground.service.engine.notices import are_wanted
from trueground.service.settings import ServiceSettings

PASSWORD = "longer than ten"


@contextmanager
def signed_in(
    service: RunningService, username: str, password: str = "secret", **headers: str
) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, headers=headers) as client:
        answer = client.post("/api/session", json={"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        client.headers["X-CSRF-Token"] = answer.json()["csrfToken"]
        yield client


def token_in(page: httpx.Response) -> str:
    assert page.status_code == 200, page.text
    return re.findall(r'name="token" value="([^"]+)"', page.text)[0]


@pytest.fixture
def ada(service: RunningService) -> Iterator[httpx.Client]:
    """An admin."""
    service.add_worker("ada", role="admin", team=None)
    with signed_in(service, "ada") as client:
        yield client


def test_an_invited_person_joins_and_finds_their_work(
    service: RunningService, ada: httpx.Client, make_job: Callable[..., str]
) -> None:
    make_job("animals")
    form = {"token": token_in(ada.get("/people")), "role": "worker", "groups": ["annotators"], "email": "a@example.org"}
    made = ada.post("/people/invitations", data=form)
    link = re.findall(r'value="(http[^"]+/join/[^"]+)"', made.text)[0]
    assert link.startswith(service.url) and link not in ada.get("/people").text
    with httpx.Client(base_url=service.url) as ann:
        fields = {"username": "ann", "name": "Ann Other", "password": PASSWORD, "again": PASSWORD}
        wrong = ann.post(link, data={**fields, "again": "something else"})
        assert wrong.status_code == 400 and "not the same" in wrong.text and 'value="Ann Other"' in wrong.text
        assert ann.post(link, data=fields).headers["location"] == "/"
        assert "Which animal is it?" in ann.get("/").text
        assert ann.post(link, data={**fields, "username": "ann2"}).status_code == 404


def test_a_managers_form_of_another_site_is_refused(service: RunningService, ada: httpx.Client) -> None:
    service.add_worker("max", role="manager", team=None)
    with signed_in(service, "max") as max_:
        assert max_.post("/people/invitations", data={"token": "x", "role": "worker"}).status_code == 403
        # Nor is a form that was made for somebody else.
        token = token_in(ada.get("/people"))
        assert max_.post("/people/invitations", data={"token": token, "role": "worker"}).status_code == 403
        token = token_in(max_.get("/people"))
        assert max_.post("/people/invitations", data={"token": token, "role": "admin"}).status_code == 400
        assert max_.post("/api/people/invitations", json={"role": "admin"}).status_code == 400
        assert max_.post("/api/people/invitations", json={}, headers={"X-CSRF-Token": "x"}).status_code == 403


def test_an_invitation_is_withdrawn(ada: httpx.Client) -> None:
    made = ada.post("/api/people/invitations", json={"role": "reviewer"}).json()
    token = token_in(ada.get("/people"))
    path = f"/people/invitations/{made['invitation']['id']}/withdraw"
    assert ada.post(path, data={"token": token}).status_code == 303
    assert ada.get(made["link"]).status_code == 404


def test_an_admin_changes_closes_and_erases_an_account(
    service: RunningService, ada: httpx.Client, make_job: Callable[..., str]
) -> None:
    ann = service.add_worker("ann")
    make_job("animals", objects=1)
    service.answer("animals", ann)
    service.wait_for("animals", "Completed")
    page = f"/people/{ann}"
    with signed_in(service, "ann") as client:
        token = token_in(ada.get(page))
        assert ada.post(page, data={"token": token, "act": "role", "value": "reviewer"}).status_code == 303
        assert client.get("/api/session").json()["worker"]["role"] == "reviewer"
        ada.post(page, data={"token": token, "act": "disable"})
        assert client.get("/api/session").status_code == 401
        ada.post(page, data={"token": token, "act": "enable"})
        ada.post(page, data={"token": token, "act": "password", "value": PASSWORD})
    with signed_in(service, "ann", PASSWORD):
        pass
    assert ada.post(page, data={"token": token, "act": "erase", "value": "wrong"}).status_code == 400
    assert ada.post(page, data={"token": token, "act": "erase", "value": "ann"}).status_code == 303
    assert f"erased-{ann}" in ada.get(page).text and ">ann<" not in ada.get("/people").text
    (file,) = (service.data_root / "out/animals/annotations/worker-response").rglob("*.json")
    for _ in range(1200):
        if f"erased-{ann}" in file.read_text():
            break
        time.sleep(0.05)
    assert f"erased-{ann}" in file.read_text()
    log = ada.get("/api/audit", params={"resource": f"worker/{ann}"}).json()["entries"]
    assert [entry["act"] for entry in log] == [
        "EraseWorker", "SetPassword", "EnableWorker", "DisableWorker", "SetRole", "AddToGroup", "AddWorker",
    ]  # fmt: skip
    assert {entry["address"] for entry in log[:5]} == {"127.0.0.1"}
    assert f"erased-{ann}" in ada.get("/audit", params={"act": "EraseWorker"}).text
    assert ada.get("/api/audit", params={"day": "tomorrow"}).status_code == 400
    assert ada.get("/api/audit", params={"day": "9999-12-31"}).status_code == 400
    assert ada.get("/api/audit", params={"day": "2020-01-01"}).json() == {"entries": [], "next": None}


def test_nobody_takes_their_own_account_from_themselves(service: RunningService, ada: httpx.Client) -> None:
    me = accounts.get_worker(service.db, "ada").id
    token = token_in(ada.get(f"/people/{me}"))
    assert ada.post(f"/people/{me}", data={"token": token, "act": "disable"}).status_code == 400


def test_one_changes_ones_password_notices_and_signs_out_everywhere(service: RunningService) -> None:
    ann = service.add_worker("ann")
    with signed_in(service, "ann") as here, signed_in(service, "ann") as there:
        token = token_in(here.get("/account"))
        fields = {"token": token, "old": "secret", "new": PASSWORD, "again": PASSWORD}
        assert here.post("/account/password", data={**fields, "old": "wrong"}).status_code == 400
        assert "The password is changed" in here.post("/account/password", data=fields).text
        assert here.get("/account").status_code == 200 and there.get("/account").status_code == 303
        here.post("/account/notices", data={"token": token, "wanted": "false"})
        assert not are_wanted(service.db, ann)
        here.post("/account/signout", data={"token": token})
        assert here.get("/account").status_code == 303


@pytest.mark.usefixtures("still_clock")
def test_a_password_cannot_be_guessed_on_the_page_of_the_account(service: RunningService) -> None:
    service.add_worker("ann")
    with signed_in(service, "ann") as ann:
        token = token_in(ann.get("/account"))
        fields = {"token": token, "old": "wrong", "new": PASSWORD, "again": PASSWORD}
        for _ in range(5):
            assert "not your password" in ann.post("/account/password", data=fields).text
        assert "Try again in" in ann.post("/account/password", data={**fields, "old": "secret"}).text


def test_a_paused_worker_gets_no_more_tasks_until_they_are_let_back_in(
    service: RunningService, ada: httpx.Client, make_job: Callable[..., str]
) -> None:
    ann = service.add_worker("ann")
    make_job("animals", objects=5)
    path = f"/jobs/animals/people/{ann}"
    token = token_in(ada.get("/jobs/animals/people"))
    assert ada.post(path, data={"token": token, "reason": " "}).status_code == 400
    assert ada.post(path, data={"token": token, "reason": "Too\nfast"}).status_code == 303
    assert "Too fast" in ada.get("/jobs/animals/people").text
    assert service.answer("animals", ann, most=1) == 0
    assert ada.put(f"/api{path}", json={"paused": False}).status_code == 204
    assert service.answer("animals", ann, most=1) == 1
    assert ada.put("/api/jobs/animals/people/0000", json={"paused": True, "reason": "x"}).status_code == 404


def proxied(settings: ServiceSettings, *ranges: str) -> ServiceSettings:
    return replace(settings, trusted_proxies=ranges)


def test_people_of_a_workforce_with_ranges_work_from_there_only(
    settings: ServiceSettings, running_service: Callable[..., Any], job_request: Callable[..., dict[str, Any]]
) -> None:
    with running_service(proxied(settings, "127.0.0.1/32", "198.51.100.0/24")) as service:
        sagemaker = service.client()
        service.add_worker("ann")
        service.add_worker("ada", role="admin", team=None)
        sagemaker.create_labeling_job(**job_request("animals"))
        inside = {"X-Forwarded-For": "203.0.113.99, 192.0.2.7, 198.51.100.3"}
        outside = {"X-Forwarded-For": "192.0.2.7, 203.0.113.99"}
        with signed_in(service, "ann", **inside) as ann:
            frame = ann.post("/api/work/next", json={}).json()["assignment"]["frameUrl"]
            shown = ann.get(frame)
            media = shown.text.split('src="')[-1].split('"')[0]
            cidrs = {"Cidrs": ["192.0.2.0/24", "2001:db8::/32"]}
            sagemaker.update_workforce(WorkforceName="default", SourceIpConfig=cidrs)
            time.sleep(1.1)
            links = ("/", "/api/work", frame, media)
            assert [ann.get(link).status_code for link in links] == [200] * 4
            ann.headers.update(outside)
            assert [ann.get(link).status_code for link in links] == [403] * 4
            assert ann.post("/api/work/next", json={}).status_code == 403
            wrong = ann.post("/api/session", json={"username": "ann", "password": "secret"})
            assert wrong.status_code == 403 and "network" in wrong.json()["message"]
        # Who is in no team of the workforce may come from anywhere.
        with signed_in(service, "ada", **outside) as ada:
            assert ada.get("/jobs").status_code == 200
        sagemaker.update_workforce(WorkforceName="default", SourceIpConfig={"Cidrs": []})


def test_an_address_that_no_trusted_proxy_tells_is_not_believed(service: RunningService) -> None:
    service.add_worker("ann")
    service.client().update_workforce(WorkforceName="default", SourceIpConfig={"Cidrs": ["192.0.2.0/24"]})
    wrong = {"username": "ann", "password": "secret"}
    headers = {"X-Forwarded-For": "192.0.2.7", "X-Real-IP": "192.0.2.7", "Forwarded": "for=192.0.2.7"}
    assert httpx.post(f"{service.url}/api/session", json=wrong, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", "203.0.113.1", "192.0.2.1"),
        ("10.0.0.1", "203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "8.8.8.8, 203.0.113.1, 10.0.0.2", "203.0.113.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::ffff:10.0.0.1", "2001:db8::7", "2001:db8::7"),
    ],
)
def test_the_address_is_the_last_one_that_is_no_trusted_proxy(peer: str, forwarded: str, expected: str) -> None:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    request = Request({"type": "http", "client": (peer, 1), "headers": headers})
    assert client_address(request, ("10.0.0.0/8",)) == expected
