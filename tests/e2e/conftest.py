"""A real Airflow with the labeling service mounted, on a small project of real digits."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from playwright.sync_api import Browser, sync_playwright

from demo.airflow import LocalAirflow
from demo.digits import write_digits
from tests.e2e.browsing import ARGUMENTS

PROJECT = """
name: mini
description: A few digits.
schedule: null
connection: trueground
task:
  type: image-classification
  labels: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
  title: Which digit is it?
  description: Say which digit the picture shows.
  keywords: [digits]
  instructions: {short: "Choose the digit.", full: "Choose the digit."}
label_attribute: digit
data: {prefix: digits/images/}
output: mini
people: {team: annotators, workers_per_object: 3, task_time_limit: 60, availability: 86400}
rounds: {maximum: 3, first: 60, each: 40, seed: 0}
auto_label: {enabled: true, accuracy: 0.9, confidence: 0.9}
verification: {enabled: true, team: reviewers, workers_per_object: 1, sample: 20, least_sure: 5}
approval: {required: false, users: []}
retrain: {enabled: true, test_share: 0.2}
audit:
  enabled: true
  schedule: null
  objects: 10
  notify: [{kind: http, connection: chat, endpoint: hooks/audits}]
"""

CAREFUL = (
    PROJECT.replace("name: mini", "name: careful")
    .replace("output: mini", "output: careful")
    .replace("test_share: 0.2", "test_share: 0.2, promote: approval")
)
"""A second project, on whose models somebody decides in Airflow."""

NIGHTLY = (
    PROJECT.replace("name: mini", "name: nightly")
    .replace("output: mini", "output: nightly")
    .replace("schedule: null", 'schedule: "@daily"')
    .replace("digits/images/", '"nights/{night}"')
    .replace("maximum: 3, first: 60", "maximum: 1, first: 60")
    .replace("verification: {enabled: true", "verification: {enabled: false")
    .replace("audit:\n  enabled: true", "audit:\n  enabled: false")
    .replace("retrain: {enabled: true", "retrain: {enabled: false")
)
"""A third one, which labels the folder of each night."""

DIGITS = 150


def sagemaker(airflow: LocalAirflow) -> Any:
    """The client of the labeling service, with the key that Airflow has."""
    connection = airflow.connection()
    return boto3.client(
        "sagemaker",
        region_name="us-east-1",
        endpoint_url=airflow.aws_endpoint,
        aws_access_key_id=connection["login"],
        aws_secret_access_key=connection["password"],
    )


class Chat:
    """A web server that keeps what is posted to it."""

    def __init__(self) -> None:
        posted: list[tuple[str, dict[str, Any]]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
                self.send_response(200)
                self.end_headers()

        self.posted = posted
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture(scope="module")
def chat() -> Iterator[Chat]:
    """Where the audit of the project mini tells of its alarms."""
    found = Chat()
    thread = Thread(target=found.server.serve_forever, daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, chat: Chat) -> Iterator[LocalAirflow]:
    """Airflow, running; stopped after the module's tests."""
    folder = tmp_path_factory.mktemp("airflow")
    projects = folder / "projects"
    projects.mkdir()
    (projects / "mini.yaml").write_text(PROJECT)
    (projects / "careful.yaml").write_text(CAREFUL)
    (projects / "nightly.yaml").write_text(NIGHTLY)
    write_digits(folder / "data" / "digits" / "images", folder / "truth.csv", limit=DIGITS)
    lineage = {"type": "file", "log_file_path": str(folder / "lineage" / "event"), "append": False}
    (folder / "lineage").mkdir()
    local = LocalAirflow(
        folder / "home",
        folder / "trueground",
        folder / "data",
        port=18080 + os.getpid() % 1000,
        extra_environment={
            "TRUEGROUND_PROJECTS": str(projects),
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(lineage),
            "AIRFLOW_CONN_CHAT": json.dumps({"conn_type": "http", "host": chat.url}),
        },
    )
    with local.running():
        yield local


@pytest.fixture(scope="module")
def truth(airflow: LocalAirflow) -> Path:
    """What the simulated people know."""
    return airflow.home.parent / "truth.csv"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next((path for name in names if (path := shutil.which(name))), None)
    with sync_playwright() as playwright:
        if executable is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no Chromium: apt-get install chromium, or playwright install chromium")
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


def answer_when_asked(airflow: LocalAirflow, dag_id: str, run_id: str, task_id: str) -> str:
    """Approve what a task of a run asks; the run's state when it is over."""
    path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"
    details = f"{path}/taskInstances/{task_id}/-1/hitlDetails"
    deadline, asked = time.monotonic() + 180, 0.0
    while (state := airflow.api("GET", path)["state"]) not in ("success", "failed"):
        assert time.monotonic() < deadline, "the run does not go on after its confirmation"
        task = airflow.api("GET", f"{path}/taskInstances/{task_id}")
        if task["state"] != "awaiting_input" or airflow.api("GET", details)["response_received"]:
            asked = 0.0
        # Nobody answers within the scheduler's next look: Airflow 3.3.2 may fail a task that is answered before it, and
        # then asks once more.
        elif not asked:
            asked = time.monotonic()
        elif time.monotonic() - asked > 5:
            airflow.api("PATCH", details, json={"chosen_options": ["Approve"], "params_input": {}})
        time.sleep(0.5)
    return str(state)
