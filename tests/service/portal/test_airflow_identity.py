"""People whom Airflow has signed in, in a portal that it mounts."""

from __future__ import annotations

from pathlib import Path

import httpx
from fastapi import FastAPI, Request

from tests.service.running import _job_request, add_team, running
from trueground.service.app import create_app
from trueground.service.engine import accounts, first_start, jobs
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
