"""Every route of the service, as everybody: who gets what. A new route without a decision here fails the test."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.service.running import RunningService, _job_request
from trueground.service.app import create_app
from trueground.service.engine import accounts, jobs, leasing, sessions, vendors
from trueground.service.portal.session import COOKIE, CSRF_HEADER
from trueground.service.settings import ServiceSettings

EVERYBODY = ("nobody", "stranger", "ann", "vera", "max", "ada")
"""Nobody; a worker of another team; a worker of the job's team; a vendor's manager; a manager; an admin."""

PAGE, JSON = 303, 401
"""What strangers get: pages lead to where one signs in, JSON says that one must."""

# The job ``animals`` and its worker ``ann`` are the house's; ``vera`` is of the vendor ``acme``.
DECISIONS: dict[str, int | tuple[int, int, int, int, int, int]] = {
    "GET /healthz": 200,
    "GET /static/{name}": 200,
    # The API of AWS: access keys count there, sessions do not.
    "POST /": 403,
    "POST /aws": 403,
    "POST /aws/": 403,
    "GET /human-loops": 403,
    "POST /human-loops": 403,
    "POST /human-loops/stop": 403,
    "GET /human-loops/{HumanLoopName}": 403,
    "DELETE /human-loops/{HumanLoopName}": 403,
    "GET /aws/human-loops": 403,
    "POST /aws/human-loops": 403,
    "POST /aws/human-loops/stop": 403,
    "POST /streams/{job}/objects": 403,
    "POST /aws/streams/{job}/objects": 403,
    "GET /aws/human-loops/{HumanLoopName}": 403,
    "DELETE /aws/human-loops/{HumanLoopName}": 403,
    # Links that are permissions by themselves: these are forged.
    "GET /human-task-uis/{token}": 403,
    "GET /frame/{token}": 404,
    "GET /turk/{token}": 404,
    "POST /turk/answer": 400,
    "GET /media/{token}": 404,
    "HEAD /media/{token}": 404,
    "GET /join/{token}": 404,
    "POST /join/{token}": 404,
    "GET /notices/{token}": 404,
    "POST /notices/{token}": 404,
    # Signing in and out.
    "GET /signin": 200,
    "POST /signin": 401,
    "POST /signout": 303,
    "POST /api/session": 401,
    "DELETE /api/session": 204,
    "GET /api/session": (JSON, 200, 200, 200, 200, 200),
    "GET /oauth2/signin/{workforce}": 404,
    "GET /oauth2/idpresponse": 403,
    # One's own work and account.
    "GET /": (PAGE, 200, 200, 303, 303, 303),
    "GET /api/work": (JSON, 200, 200, 200, 200, 200),
    "POST /api/work/next": (JSON, 200, 200, 200, 200, 200),
    "GET /work/{job}": (PAGE, 404, 200, 404, 404, 404),
    "POST /api/assignments/{assignment_id}/answer": (JSON, 404, 200, 404, 404, 404),
    "POST /api/assignments/{assignment_id}/release": (JSON, 404, 204, 404, 404, 404),
    "GET /api/work/held": (JSON, 200, 200, 200, 200, 200),
    "GET /api/work/paused": (JSON, 200, 200, 200, 200, 200),
    "GET /api/work/answers": (JSON, 200, 200, 200, 200, 200),
    "PUT /api/assignments/{assignment_id}/answer": (JSON, 404, 409, 404, 404, 404),
    "GET /api/assignments/{assignment_id}/draft": (JSON, 404, 200, 404, 404, 404),
    "PUT /api/assignments/{assignment_id}/draft": (JSON, 404, 204, 404, 404, 404),
    "POST /api/assignments/{assignment_id}/pause": (JSON, 404, 204, 404, 404, 404),
    "POST /api/assignments/{assignment_id}/resume": (JSON, 404, 200, 404, 404, 404),
    "POST /api/assignments/{assignment_id}/decline": (JSON, 404, 204, 404, 404, 404),
    "GET /statistics": (PAGE, 200, 200, 200, 200, 200),
    "GET /api/statistics": (JSON, 200, 200, 200, 200, 200),
    # For users of Airflow only: here is none around the service.
    "GET /as-worker": 403,
    "POST /as-worker": 403,
    "GET /account": (PAGE, 200, 200, 200, 200, 200),
    "POST /account/password": (PAGE, 400, 400, 400, 400, 400),
    "POST /account/signout": (PAGE, 303, 303, 303, 303, 303),
    "POST /account/notices": (PAGE, 303, 303, 303, 303, 303),
    # Jobs. To a vendor's manager, the house's are not there.
    "GET /jobs": (PAGE, 403, 403, 200, 200, 200),
    "GET /api/jobs": (JSON, 403, 403, 200, 200, 200),
    "GET /jobs/{name}": (PAGE, 403, 403, 404, 200, 200),
    "GET /api/jobs/{name}": (JSON, 403, 403, 404, 200, 200),
    "POST /jobs/{name}/priority": (PAGE, 403, 403, 404, 303, 303),
    "PUT /api/jobs/{name}/priority": (JSON, 403, 403, 404, 204, 204),
    "GET /jobs/{name}/people": (PAGE, 403, 403, 404, 200, 200),
    "GET /api/jobs/{name}/people": (JSON, 403, 403, 404, 200, 200),
    "POST /jobs/{name}/people/{worker_id}": (PAGE, 403, 403, 404, 303, 303),
    "PUT /api/jobs/{name}/people/{worker_id}": (JSON, 403, 403, 404, 204, 204),
    "GET /jobs/{name}/stop": (PAGE, 403, 403, 404, 200, 200),
    "POST /jobs/{name}/stop": (PAGE, 403, 403, 404, 303, 303),
    "GET /reviews/{name}": (PAGE, 403, 403, 404, 404, 404),
    "GET /api/reviews": (JSON, 403, 403, 200, 200, 200),
    "GET /api/reviews/{name}": (JSON, 403, 403, 404, 404, 404),
    "GET /airflow/task": (PAGE, 403, 403, 404, 200, 200),
    "GET /api/airflow/task": (JSON, 403, 403, 404, 200, 200),
    # People.
    "GET /people": (PAGE, 403, 403, 200, 200, 200),
    "GET /api/people": (JSON, 403, 403, 200, 200, 200),
    "POST /people/invitations": (PAGE, 403, 403, 200, 200, 200),
    "POST /api/people/invitations": (JSON, 403, 403, 200, 200, 200),
    "POST /people/invitations/{invitation}/withdraw": (PAGE, 403, 403, 404, 404, 404),
    "GET /people/{worker_id}": (PAGE, 403, 403, 403, 403, 200),
    "POST /people/{worker_id}": (PAGE, 403, 403, 403, 403, 303),
    "GET /audit": (PAGE, 403, 403, 403, 403, 200),
    "GET /api/audit": (JSON, 403, 403, 403, 403, 200),
}

FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "POST /signin": ("", {"username": "{nobody}", "password": "wrong"}),
    "POST /join/{token}": ("", {"username": "zoe", "name": "Zoe", "password": "0123456789", "again": "0123456789"}),
    "POST /as-worker": ("work as a worker", {}),
    "POST /account/password": ("account", {"old": "wrong", "new": "0123456789", "again": "0123456789"}),
    "POST /account/signout": ("account", {}),
    "POST /account/notices": ("account", {"wanted": "true"}),
    "POST /jobs/{name}/priority": ("priority animals", {"priority": "1"}),
    "POST /jobs/{name}/people/{worker_id}": ("pause animals", {"resume": "true"}),
    "POST /jobs/{name}/stop": ("stop animals", {}),
    "POST /people/invitations": ("people", {}),
    "POST /people/invitations/{invitation}/withdraw": ("people", {}),
    "POST /people/{worker_id}": ("person {ann}", {"act": "role", "value": "worker"}),
}
"""The act that a form's token is for, and its fields. The token is made for whoever sends it: being let in is not."""

BODIES: dict[str, dict[str, Any]] = {
    "POST /api/session": {"username": "{nobody}", "password": "wrong"},
    "POST /api/work/next": {"job": "animals"},
    "POST /api/assignments/{assignment_id}/answer": {"answerContent": {"crowd-image-classifier": {"label": "dog"}}},
    "PUT /api/assignments/{assignment_id}/answer": {"answerContent": {"crowd-image-classifier": {"label": "dog"}}},
    "PUT /api/assignments/{assignment_id}/draft": {"answerContent": {"crowd-image-classifier": {"label": "dog"}}},
    "POST /api/assignments/{assignment_id}/decline": {"reason": "it cannot be seen"},
    "PUT /api/jobs/{name}/priority": {"priority": 1},
    "PUT /api/jobs/{name}/people/{worker_id}": {"paused": False},
    "POST /api/people/invitations": {},
}


@dataclass
class House:
    """The service with two teams, of which one is a vendor's, and a job for each."""

    app: FastAPI
    client: TestClient
    ids: dict[str, str]

    def send(self, route: str, person: str) -> httpx.Response:
        """Ask for a route as a person with a fresh session."""
        service, (method, path) = self.app.state.service, route.split(" ")
        self.client.cookies.clear()
        headers: dict[str, str] = {}
        if person != "nobody":
            session = sessions.start(service.db, self.ids[person])
            self.client.cookies.set(COOKIE, session.token)
            headers[CSRF_HEADER] = session.csrf_token
        filled = path.replace(":path", "").format(
            name="portal.css" if path.startswith("/static") else "animals",
            job="animals",
            worker_id=self.ids["ann"],
            token="forged.token",
            invitation="0" * 64,
            workforce="nothing",
            assignment_id=self._lease(route),
            HumanLoopName="loop",
        )
        options: dict[str, Any] = {"headers": headers, "follow_redirects": False}
        if "airflow" in path:
            options["params"] = {"dag": "d", "run": "r", "task": "t"}
        if route in ("GET /api/work/held", "GET /api/work/answers"):
            options["params"] = {"job": "animals"}
        if route in FORMS:
            act, fields = FORMS[route]
            claims = {"who": f"local/{person}", "act": act.format(**self.ids)}
            options["data"] = {**_fresh(fields), "token": service.signer.sign("form", claims, 60)}
        if route in BODIES:
            options["json"] = _fresh(BODIES[route])
        # Whoever may stop the job is let in; the job itself is still needed.
        with patch("trueground.service.portal.pages.stop_job"):
            return self.client.request(method, filled, **options)

    def _lease(self, route: str) -> str:
        if "{assignment_id}" not in route:
            return ""
        lease = leasing.next_assignment(self.app.state.service.db, self.ids["ann"], "animals")
        assert lease is not None
        return lease.id


def _fresh(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with a user name that nobody has tried yet, so that no limit is reached."""
    return {key: secrets.token_hex(8) if value == "{nobody}" else value for key, value in fields.items()}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("routes").resolve()
    (folder / "data").mkdir()
    settings = ServiceSettings(home=folder / "home", data_root=folder / "data")
    app = create_app(settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        service = RunningService("", settings, {}, app.state.service.db)
        db = service.db
        service.add_team()
        service.add_team("strangers")
        ids = {"ann": service.add_worker("ann"), "stranger": service.add_worker("stranger", team="strangers")}
        ids |= {
            name: service.add_worker(name, role=role, team=None)
            for name, role in (("max", "manager"), ("ada", "admin"))
        }
        vendors.add_vendor(db, settings, "acme")
        ids["vera"] = accounts.add_worker(db, "vera", "secret").id
        vendors.add_person(db, "acme", "vera", manager=True)
        ids["vic"] = accounts.add_worker(db, "vic", "secret", name="Vic of Acme").id
        vendors.add_person(db, "acme", "vic")
        acme = settings.arn("workteam/vendor-crowd/acme")
        storage = settings.storage()
        jobs.create_job(db, storage, settings, _job_request(folder / "data", "animals", objects=50))
        jobs.create_job(
            db, storage, settings, _job_request(folder / "data", "plants", WorkteamArn=acme, TaskKeywords=["plants"])
        )
        yield House(app, client, ids)


def routes_of(routes: Iterable[Any]) -> Iterator[str]:
    """Every method and path, those of included routers too."""
    for route in routes:
        inner = getattr(route, "original_router", route)
        if hasattr(inner, "routes"):
            yield from routes_of(inner.routes)
        else:
            path = re.sub(r":\w+}", "}", route.path)
            yield from (f"{method} {path}" for method in sorted(route.methods))


def test_every_route_has_a_decision(house: House) -> None:
    assert set(routes_of(house.app.routes)) == set(DECISIONS)


@pytest.mark.parametrize("route", DECISIONS)
def test_everybody_gets_what_was_decided(house: House, route: str) -> None:
    decision = DECISIONS[route]
    expected = decision if isinstance(decision, tuple) else (decision,) * len(EVERYBODY)
    assert tuple(house.send(route, person).status_code for person in EVERYBODY) == expected


SEEN_BY_VENDORS = sorted(
    route for route, decision in DECISIONS.items() if isinstance(decision, tuple) and route.startswith("GET")
)


@pytest.mark.parametrize("route", SEEN_BY_VENDORS)
def test_a_vendors_manager_reads_no_name_of_the_house_anywhere(house: House, route: str) -> None:
    answer = house.send(route, "vera")
    shown = answer.text.replace(str(answer.request.url.path), "").replace("labeling job &#39;animals&#39;", "")
    shown = shown.replace("labeling job 'animals'", "")
    for name in ("animals", "annotators", "strangers", "stranger", "ann", "max", "ada", *house.ids.values()):
        if name not in (house.ids["vera"], house.ids["vic"]):
            assert f">{name}<" not in shown and f'"{name}"' not in shown and f"/{name}" not in shown


def test_a_vendors_manager_sees_the_vendors_own(house: House) -> None:
    service = house.app.state.service
    session = sessions.start(service.db, house.ids["vera"])
    house.client.cookies.clear()
    house.client.cookies.set(COOKIE, session.token)
    get = house.client.get
    assert [job["name"] for job in get("/api/jobs").json()["jobs"]] == ["plants"]
    assert get("/api/jobs/plants").json()["workteam"] == "acme"
    assert "Vic of Acme" in get("/jobs/plants/people").text
    assert [person["username"] for person in get("/api/people").json()["people"]] == ["vera", "vic"]
    # Priorities weigh a vendor's jobs against those of others.
    assert get("/jobs/plants").status_code == 200 and "/priority" not in get("/jobs/plants").text
    made = house.client.post(
        "/api/people/invitations", json={"vendor": "other"}, headers={CSRF_HEADER: session.csrf_token}
    )
    assert made.json()["invitation"]["vendor"] == "acme"


def test_a_vendors_worker_gets_the_vendors_tasks_only(house: House) -> None:
    db = house.app.state.service.db
    assert leasing.next_assignment(db, house.ids["vic"], "animals") is None
    lease = leasing.next_assignment(db, house.ids["vic"])
    assert lease is not None and lease.job_name == "plants"
