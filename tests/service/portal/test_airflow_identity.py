"""People whom Airflow has signed in, in a portal that it mounts."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request

from tests.service.running import _job_request, add_team, running
from trueground.service.app import create_app
from trueground.service.engine import accounts, first_start, jobs
from trueground.service.engine.errors import Invalid
from trueground.service.security import Identity
from trueground.service.settings import ServiceSettings

MANAGER = Identity(kind="manager", username="7", name="Maya", worker_id=None, source="airflow")


def _of_airflow(request: Request) -> Identity | None:
    return MANAGER if request.cookies.get("airflow") == "maya" else None


def _app(folder: Path) -> FastAPI:
    (folder / "data").mkdir()
    return create_app(ServiceSettings(home=folder / "home", data_root=folder / "data"), external_identity=_of_airflow)


def test_a_manager_of_airflow_signs_in_to_label_and_stays_a_manager(tmp_path: Path) -> None:
    app = _app(tmp_path.resolve())
    with running(app) as url, httpx.Client(base_url=url, cookies={"airflow": "maya"}) as maya:
        accounts.add_worker(app.state.service.db, "maya", "secret")
        assert maya.get("/jobs").status_code == 200
        answer = maya.get("/work/animals")
        assert (answer.status_code, answer.headers["location"]) == (303, "/signin?next=%2Fwork%2Fanimals")
        assert maya.post("/api/work/next", json={}).status_code == 401
        assert maya.post("/api/session", json={"username": "maya", "password": "secret"}).status_code == 200
        assert maya.get("/api/work").status_code == 200
        assert maya.get("/jobs").status_code == 200


def test_a_worker_whom_airflow_does_not_know_stays_a_worker(tmp_path: Path) -> None:
    app = _app(tmp_path.resolve())
    with running(app) as url, httpx.Client(base_url=url, cookies={"airflow": "someone"}) as eve:
        accounts.add_worker(app.state.service.db, "eve", "secret")
        assert eve.get("/jobs").status_code == 303
        assert eve.post("/api/session", json={"username": "eve", "password": "secret"}).status_code == 200
        assert eve.get("/jobs").status_code == 403
        assert eve.get("/api/airflow/task", params={"dag": "d", "run": "r", "task": "t"}).status_code == 403


def test_a_job_links_to_its_run_where_the_portal_is_mounted_in_airflow(tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    app = _app(folder)
    # As the plugin does it, in an Airflow that is below a path itself.
    app.state.mounted_at = "/trueground"
    airflow = FastAPI()
    airflow.mount("/trueground", app)
    outer = FastAPI()
    outer.mount("/af", airflow)
    with running(outer) as url, httpx.Client(base_url=url, cookies={"airflow": "maya"}, timeout=60) as maya:
        db = app.state.service.db
        first_start.prepare(db, app.state.service.secrets, app.state.service.settings)
        add_team(db, app.state.service.settings)
        request = _job_request(folder / "data", "animals")
        tags = {"trueground:dag": "label_x", "trueground:run": "scheduled__2026-01-05T00:00:00+00:00"}
        request["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
        jobs.create_job(db, app.state.service.storage, app.state.service.settings, request)
        page = maya.get("/af/trueground/jobs/animals").text
        assert 'href="/af/dags/label_x/runs/scheduled__2026-01-05T00%3A00%3A00%2B00%3A00" target="_top"' in page


def _signed_in(browser: httpx.Client) -> str:
    return str(browser.get("/api/session").json()["worker"]["username"])


def _token(page: str) -> str:
    found = re.search(r'action="/as-worker"><input type="hidden" name="token" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_a_manager_of_airflow_works_as_a_worker_without_signing_in_again(tmp_path: Path) -> None:
    app = _app(tmp_path.resolve())
    with running(app) as url, httpx.Client(base_url=url, cookies={"airflow": "maya"}, follow_redirects=True) as maya:
        service = app.state.service
        add_team(service.db, service.settings, "annotators")
        # The first time, the teams are asked for; nobody is a worker by accident.
        teams = maya.post("/as-worker", data={"token": _token(maya.get("/jobs").text)})
        assert teams.url.path == "/as-worker" and 'value="annotators"' in teams.text
        assert _signed_in(maya) == "7"
        work = maya.post("/as-worker", data={"token": _token(teams.text), "groups": ["annotators", "of-nobody"]})
        assert work.url.path == "/" and "Your work" in work.text
        account = accounts.get_worker(service.db, "airflow:7")
        assert account.groups == ("annotators",) and account.name == "Maya"
        assert _signed_in(maya) == "airflow:7"
        # Still a manager; and back among the jobs, a manager only. The second time nothing is asked.
        jobs = maya.get("/jobs")
        assert jobs.status_code == 200
        assert maya.post("/signout").url.path == "/jobs"
        assert _signed_in(maya) == "7"
        assert maya.post("/as-worker", data={"token": _token(jobs.text)}).url.path == "/"
        assert _signed_in(maya) == "airflow:7"


def test_nobody_becomes_a_worker_by_a_form_of_another_page_or_by_a_local_name(tmp_path: Path) -> None:
    app = _app(tmp_path.resolve())
    with running(app) as url, httpx.Client(base_url=url, cookies={"airflow": "maya"}) as maya:
        own = accounts.add_worker(app.state.service.db, "7", "secret")
        assert maya.post("/as-worker", data={"token": "forged", "groups": ["annotators"]}).status_code == 403
        maya.post("/as-worker", data={"token": _token(maya.get("/jobs").text)})
        assert accounts.get_worker(app.state.service.db, "airflow:7").id != own.id
        with pytest.raises(Invalid):
            accounts.add_worker(app.state.service.db, "airflow:8", "secret")
        with httpx.Client(base_url=url, cookies={"airflow": "someone"}) as eve:
            assert eve.get("/as-worker").status_code == 403
