"""``trueground serve``, in one process or several, with people and jobs."""

from __future__ import annotations

import configparser
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.service_processes import ROOT, free_port, running, wait_for

TEAM = "annotators"
PASSWORD = "secret-secret-1"
TEMPLATE = """<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
<crowd-form><crowd-classifier name="category" categories="{{ task.input.labels | to_json | escape }}" header="Is it?">
<classification-target>{{ task.input.taskObject }}</classification-target></crowd-classifier></crowd-form>
"""
LAMBDA = "arn:aws:lambda:us-east-1:432418664414:function:"
ACCOUNT = "us-east-1:000000000000"


@dataclass
class TruegroundServer:
    """A running service, in one process or several."""

    addresses: list[str]
    pids: list[int]
    people: list[tuple[str, str]]
    """User names and passwords."""
    folder: Path
    database: str

    def client(self, api: str = "sagemaker", *, connections: int = 10) -> Any:
        """A boto3 client, as a requester has it."""
        import boto3
        from botocore.config import Config

        keys = configparser.ConfigParser()
        keys.read(self.folder / "home/credentials")
        options = Config(read_timeout=600, retries={"total_max_attempts": 1}, max_pool_connections=connections)
        return boto3.client(
            api, endpoint_url=self.addresses[0], region_name="us-east-1", config=options,
            aws_access_key_id=keys["trueground"]["aws_access_key_id"],
            aws_secret_access_key=keys["trueground"]["aws_secret_access_key"],
        )  # fmt: skip

    def create_job(self, objects: int, workers: int) -> str:
        """A job over short texts; gives its name."""
        name = f"texts-{objects}-{workers}-{os.urandom(3).hex()}"
        self.client().create_labeling_job(**write_inputs(self.folder, name, objects, workers))
        return name

    def wait_for_the_end(self, job: str) -> None:
        """Wait until a job's output is there."""
        client = self.client()
        while client.describe_labeling_job(LabelingJobName=job)["LabelingJobStatus"] in ("Initializing", "InProgress"):
            time.sleep(0.5)


def write_inputs(folder: Path, name: str, objects: int, workers: int) -> dict[str, Any]:
    """Write a job's files; gives its CreateLabelingJob request."""
    inputs = folder / "data" / name
    inputs.mkdir(parents=True)
    with (inputs / "input.manifest").open("w") as manifest:
        for number in range(objects):
            manifest.write(json.dumps({"source": f"A short text, number {number}."}) + "\n")
    (inputs / "template.html").write_text(TEMPLATE)
    (inputs / "labels.json").write_text(json.dumps({"labels": [{"label": "good"}, {"label": "bad"}]}))
    return {
        "LabelingJobName": name,
        "LabelAttributeName": "category",
        "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": f"file://{inputs}/input.manifest"}}},
        "OutputConfig": {"S3OutputPath": f"file://{folder}/data/out"},
        "RoleArn": "arn:aws:iam::000000000000:role/labeling",
        "LabelCategoryConfigS3Uri": f"file://{inputs}/labels.json",
        "HumanTaskConfig": {
            "WorkteamArn": f"arn:aws:sagemaker:{ACCOUNT}:workteam/private-crowd/{TEAM}",
            "UiConfig": {"UiTemplateS3Uri": f"file://{inputs}/template.html"},
            "PreHumanTaskLambdaArn": LAMBDA + "PRE-TextMultiClass",
            "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": LAMBDA + "ACS-TextMultiClass"},
            "TaskTitle": "Is it good?",
            "TaskDescription": "Say whether the text is good.",
            "NumberOfHumanWorkersPerDataObject": workers,
            "TaskTimeLimitInSeconds": 600,
        },
    }


@contextmanager
def trueground(
    folder: Path, people: int, database: str | None = None, *, processes: int = 1
) -> Iterator[TruegroundServer]:
    """The service on SQLite, or in the PostgreSQL database of this URL, with a team of so many people."""
    from trueground.service.engine import accounts, first_start, teams
    from trueground.service.security import SecretBox
    from trueground.service.settings import ServiceSettings
    from trueground.service.store.database import Database

    (folder / "data").mkdir(parents=True, exist_ok=True)
    settings = ServiceSettings(home=folder / "home", data_root=folder / "data", store_url=database)
    names = [f"person-{number}" for number in range(people)]
    with closing(Database(settings.database_url)) as db:
        new = not settings.credentials_file.exists()
        first_start.prepare(db, SecretBox.load(settings.home), settings)
        if new:
            definitions = [{"OidcMemberDefinition": {"Groups": [TEAM]}}]
            request = {"WorkteamName": TEAM, "Description": TEAM, "MemberDefinitions": definitions}
            teams.create_workteam(db, settings, request)
            for name in names:
                accounts.add_worker(db, name, PASSWORD)
                accounts.add_to_group(db, name, TEAM)
    log = folder / "trueground.log"
    server = TruegroundServer([], [], [(name, PASSWORD) for name in names], folder, settings.database_url)
    with ExitStack() as stack:
        for _ in range(processes):
            port = free_port()
            command = [
                sys.executable, "-c", "from trueground.cli import main; main()", "serve", "--port", str(port),
                "--home", str(settings.home), "--data-root", str(settings.data_root), "--store", server.database,
            ]  # fmt: skip
            process = stack.enter_context(running(command, log, environment={"PYTHONPATH": str(ROOT)}, cwd=ROOT))
            server.addresses.append(f"http://127.0.0.1:{port}")
            server.pids.append(process.pid)
            wait_for(f"{server.addresses[-1]}/healthz", process, log)
        yield server
