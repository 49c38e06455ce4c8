"""What the tests of the labeling service start and ask: the service in a thread or a process, and requests to it."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import psycopg
import pytest
import uvicorn
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from fastapi import FastAPI

from trueground.service.app import create_app
from trueground.service.engine import accounts, answering, leasing, teams
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.storage import file_uri

ROLE = "arn:aws:iam::000000000000:role/labeling"
LAMBDA = "arn:aws:lambda:us-east-1:432418664414:function:"
CATEGORIES = ("cat", "dog", "bird")
TEAM = "annotators"
POSTGRESQL = "postgresql://postgres@127.0.0.1:5432"
TEMPLATE = """<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
<crowd-form>
  <crowd-image-classifier name="crowd-image-classifier" src="{{ task.input.taskObject | grant_read_access }}"
    header="Which animal is it?" categories="{{ task.input.labels | to_json | escape }}">
    <full-instructions header="Animals">Choose the animal.</full-instructions>
    <short-instructions>Choose the animal.</short-instructions>
  </crowd-image-classifier>
</crowd-form>
"""
# The smallest PNG there is.
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")


@dataclass
class RunningService:
    """A labeling service that answers at ``url``."""

    url: str
    settings: ServiceSettings
    credentials: dict[str, str] = field(repr=False)
    db: Database

    @property
    def data_root(self) -> Path:
        return self.settings.data_root

    def client(self, api: str = "sagemaker", **overrides: Any) -> Any:
        """A real boto3 client with the service's own key, or another."""
        return boto3.client(
            api,
            endpoint_url=overrides.pop("endpoint_url", self.url),
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=30).merge(overrides.pop("config", Config())),
            **{**self.credentials, **overrides},
        )

    def send(
        self, operation: str, content: Any, *, sign: Callable[[AWSRequest], None] | None = None, path: str = "/"
    ) -> httpx.Response:
        """Send a request past boto3's own checks. ``sign`` replaces the right signature."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers = {"X-Amz-Target": f"SageMaker.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        request = AWSRequest("POST", self.url + path, data=body, headers=headers)
        (sign or self.sign)(request)
        return httpx.post(self.url + path, content=request.data, headers=dict(request.headers))

    def sign(self, request: AWSRequest, *, service: str = "sagemaker", **replaced: str) -> None:
        """Sign a request with the service's key, or another."""
        keys = {**self.credentials, **replaced}
        credentials = Credentials(keys["aws_access_key_id"], keys["aws_secret_access_key"])
        SigV4Auth(credentials, service, "us-east-1").add_auth(request)

    def add_worker(
        self, username: str, *, password: str = "secret", role: str = "worker", team: str | None = TEAM
    ) -> str:
        """An account, a member of the team; returns its worker id."""
        worker = accounts.add_worker(self.db, username, password, role=role)  # type: ignore[arg-type]
        if team is not None:
            accounts.add_to_group(self.db, username, team)
        return worker.id

    def add_team(self, name: str = TEAM) -> str:
        """A work team of the accounts in the group of its name; returns its ARN."""
        return add_team(self.db, self.settings, name)

    def answer(self, job: str, worker_id: str, label: str | Callable[[int], str] = "dog", most: int = 10**9) -> int:
        """Answer up to ``most`` of the tasks a worker can get in a job; returns how many."""
        # Jobs are made in another connection to the store: what this one remembers of them may be a second old.
        self.db.version += 1
        return answer_all(self.db, job, worker_id, label, most)

    def wait_for(self, name: str, *statuses: str, seconds: float = 120) -> dict[str, Any]:
        """Describe the job until it has one of these statuses."""
        client, end = self.client(), time.monotonic() + seconds
        while True:
            job: dict[str, Any] = client.describe_labeling_job(LabelingJobName=name)
            if job["LabelingJobStatus"] in statuses:
                return job
            assert time.monotonic() < end, f"{name} is still {job['LabelingJobStatus']}"
            time.sleep(0.05)


def answer_all(
    db: Database, job: str, worker_id: str, label: str | Callable[[int], str] = "dog", most: int = 10**9
) -> int:
    count = 0
    while count < most and (lease := leasing.next_assignment(db, worker_id, job)) is not None:
        value = label(lease.position) if callable(label) else label
        content = {"crowd-image-classifier": {"label": value}}
        answering.submit_answer(db, lease.id, worker_id, content, 0.5)
        count += 1
    return count


def add_team(db: Database, settings: ServiceSettings, name: str = TEAM) -> str:
    definitions = [{"OidcMemberDefinition": {"Groups": [name]}}]
    request = {"WorkteamName": name, "Description": name, "MemberDefinitions": definitions}
    return teams.create_workteam(db, settings, request)


def _job_request(
    data_root: Path, name: str, objects: int | list[dict[str, Any]] = 3, workers: int = 1, **overrides: Any
) -> dict[str, Any]:
    """A CreateLabelingJob request, its files written below the data root.

    ``overrides`` replace members at the top; those of HumanTaskConfig are replaced under their own names.
    """
    folder = data_root / "in" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if isinstance(objects, int):
        (folder / "pixel.png").write_bytes(PIXEL)
        objects = [{"source-ref": file_uri(folder / "pixel.png"), "number": n} for n in range(objects)]
    (folder / "input.manifest").write_text("".join(json.dumps(line) + "\n" for line in objects))
    (folder / "template.html").write_text(TEMPLATE)
    labels = {"document-version": "2018-11-28", "labels": [{"label": label} for label in CATEGORIES]}
    (folder / "labels.json").write_text(json.dumps(labels))
    request: dict[str, Any] = {
        "LabelingJobName": name,
        "LabelAttributeName": "animal",
        "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": file_uri(folder / "input.manifest")}}},
        "OutputConfig": {"S3OutputPath": file_uri(data_root / "out")},
        "RoleArn": ROLE,
        "LabelCategoryConfigS3Uri": file_uri(folder / "labels.json"),
        "HumanTaskConfig": {
            "WorkteamArn": f"arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/{TEAM}",
            "UiConfig": {"UiTemplateS3Uri": file_uri(folder / "template.html")},
            "PreHumanTaskLambdaArn": LAMBDA + "PRE-ImageMultiClass",
            "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": LAMBDA + "ACS-ImageMultiClass"},
            "TaskKeywords": ["animals"],
            "TaskTitle": "Which animal is it?",
            "TaskDescription": "Say which animal the picture shows.",
            "NumberOfHumanWorkersPerDataObject": workers,
            "TaskTimeLimitInSeconds": 60,
        },
    }
    human = request["HumanTaskConfig"]
    for member, value in overrides.items():
        place = request if member in _TOP else human
        place[member] = value
        if value is None:
            del place[member]
    return request


_TOP = (
    "LabelAttributeName", "InputConfig", "OutputConfig", "RoleArn", "LabelCategoryConfigS3Uri", "StoppingConditions",
    "LabelingJobAlgorithmsConfig", "Tags", "HumanTaskConfig",
)  # fmt: skip


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """Serve an app on a free port, in a thread; gives its address."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=2, forwarded_allow_ips=[])
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        end = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive() and time.monotonic() < end, "the service did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


def read_credentials(settings: ServiceSettings) -> dict[str, str]:
    text = settings.credentials_file.read_text()
    return {
        "aws_access_key_id": re.search(r"aws_access_key_id = (\S+)", text)[1],  # type: ignore[index]
        "aws_secret_access_key": re.search(r"aws_secret_access_key = (\S+)", text)[1],  # type: ignore[index]
    }


@contextmanager
def _running_service(settings: ServiceSettings) -> Iterator[RunningService]:
    app = create_app(settings)
    with running(app) as url, closing(Database(settings.database_url)) as db:
        add_team(db, settings)
        yield RunningService(url, settings, read_credentials(settings), db)


REVIEW_TEMPLATE = """<crowd-form>
  <crowd-text-area name="transcription" value="{{ task.input.words }}"></crowd-text-area>
</crowd-form>
"""


def _flow_request(service: RunningService, sagemaker: Any, name: str, count: int, **members: Any) -> dict[str, Any]:
    uis = sagemaker.list_human_task_uis()["HumanTaskUiSummaries"]
    if f"{name}-ui" not in [ui["HumanTaskUiName"] for ui in uis]:
        sagemaker.create_human_task_ui(HumanTaskUiName=f"{name}-ui", UiTemplate={"Content": REVIEW_TEMPLATE})
    request: dict[str, Any] = {
        "FlowDefinitionName": name,
        "HumanLoopConfig": {
            "WorkteamArn": service.settings.arn(f"workteam/private-crowd/{TEAM}"),
            "HumanTaskUiArn": service.settings.arn(f"human-task-ui/{name}-ui"),
            "TaskTitle": "Check the transcript",
            # Requests that are alike within a second are one to the service; no two of these are.
            "TaskDescription": f"Correct what was heard wrongly ({secrets.token_hex(4)}).",
            "TaskCount": count,
        },
        "OutputConfig": {"S3OutputPath": file_uri(service.data_root / "reviews")},
        "RoleArn": ROLE,
    }
    top = ("HumanLoopRequestSource", "HumanLoopActivationConfig", "OutputConfig", "RoleArn", "Tags", "HumanLoopConfig")
    for member, value in members.items():
        place = request if member in top else request["HumanLoopConfig"]
        place[member] = value
        if value is None:
            del place[member]
    return request


@dataclass
class ServiceProcess:
    """``trueground serve`` in a process of its own, which a test may kill and start again."""

    settings: ServiceSettings
    url: str = ""
    port: int = 0
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, "-c", "from trueground.cli.serve import serve; import typer; typer.run(serve)"]
        options = [
            "--port",
            str(self.port),
            "--home",
            str(self.settings.home),
            "--data-root",
            str(self.settings.data_root),
        ]
        options += ["--store", self.settings.database_url]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(command + options, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        self.url = first.split()[-1]
        self.port = int(self.url.rpartition(":")[2])  # a service that is started again is found where it was
        for _ in range(400):
            with suppress(OSError):
                urllib.request.urlopen(f"{self.url}/healthz", timeout=1).close()
                return
            time.sleep(0.05)
        raise AssertionError(f"the service did not start: {first}")

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def connected(self) -> RunningService:
        return RunningService(
            self.url, self.settings, read_credentials(self.settings), Database(self.settings.database_url)
        )


@contextmanager
def postgresql_database() -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database; it is dropped afterwards."""
    try:
        server = psycopg.connect(f"{POSTGRESQL}/postgres", autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        pytest.skip(f"needs PostgreSQL at 127.0.0.1:5432 with trust for the user postgres: {error}")
    name = f"trueground_{secrets.token_hex(6)}"
    with server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{POSTGRESQL}/{name}"
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")
