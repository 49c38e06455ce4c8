"""Waiting for people: triggers and adoption against the real service."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.conftest import first_event
from tests.service.running import RunningService

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).resolve().parents[2]


def digits_run(service: RunningService, objects: int = 2) -> Any:
    """A run of the digits project on the service's data root, with its manifest built."""
    from demo.digits import write_digits
    from trueground.manifests import build_manifest
    from trueground.project import load_project
    from trueground.run import Run
    from trueground.storage import Storage

    write_digits(service.data_root / "digits" / "images", service.data_root.parent / "truth.csv", limit=objects)
    project = load_project(ROOT / "include/projects/digits.yaml", data_root=str(service.data_root))
    run = Run(project, "night 1", Storage(service.data_root))
    build_manifest(run.storage, project.data.prefix, run.uri("input.manifest"))
    return run


def dispatch(run: Any, manifest: str | None = None) -> str:
    from types import SimpleNamespace

    from operators.connections import LabelingServiceHook
    from operators.labeling_job import LabelingJobOperator

    operator = LabelingJobOperator(
        task_id="label",
        project="digits.yaml",
        kind="label",
        step="round-1",
        manifest=manifest or run.uri("input.manifest"),
    )
    ti = SimpleNamespace(dag_id="label_digits", run_id="night 1", task_id="round_1.label", map_index=-1)
    name: str = operator._create_or_adopt(run, LabelingServiceHook(aws_conn_id="trueground"), {"ti": ti})
    return name


def test_a_dispatch_that_is_repeated_adopts_its_job(service: RunningService, connect: Callable[..., None]) -> None:
    connect(service.url, service.credentials)
    run = digits_run(service)
    first = dispatch(run)
    assert dispatch(run) == first
    jobs = service.client().list_labeling_jobs()["LabelingJobSummaryList"]
    assert [job["LabelingJobName"] for job in jobs] == [first]
    # Stopped by somebody: what people did counts, nobody is asked again.
    service.client().stop_labeling_job(LabelingJobName=first)
    service.wait_for(first, "Stopped")
    assert dispatch(run) == first


def test_a_job_of_the_same_name_with_other_input_is_refused(
    service: RunningService, connect: Callable[..., None]
) -> None:
    from trueground.errors import InputError

    connect(service.url, service.credentials)
    run = digits_run(service)
    dispatch(run)
    run.write_lines(run.objects()[:1], "other.manifest")
    with pytest.raises(InputError, match="with other input"):
        dispatch(run, run.uri("other.manifest"))


def test_a_team_that_does_not_exist_is_named_before_anything_is_made(
    service: RunningService, connect: Callable[..., None]
) -> None:
    from trueground.errors import InputError

    connect(service.url, service.credentials)
    run = digits_run(service)
    people = run.project.people.model_copy(update={"team": "nobody"})
    object.__setattr__(run, "project", run.project.model_copy(update={"people": people}))
    with pytest.raises(InputError, match="trueground team add nobody"):
        dispatch(run)
    assert service.client().list_labeling_jobs()["LabelingJobSummaryList"] == []


def test_the_trigger_fires_once_the_job_is_over(service: RunningService, connect: Callable[..., None]) -> None:
    from operators.triggers import LabelingJobTrigger

    connect(service.url, service.credentials)
    run = digits_run(service)
    name = dispatch(run)
    for number in range(3):
        worker = service.add_worker(f"worker{number}")
        threading.Timer(0.5, service.answer, (name, worker, "3")).start()
    trigger = LabelingJobTrigger(job_name=name, connection="trueground", poll_interval=0.1)
    event = asyncio.run(asyncio.wait_for(first_event(trigger), 30))
    assert event == {"job_name": name, "status": "Completed"}


def test_the_trigger_says_when_there_is_no_such_job(service: RunningService, connect: Callable[..., None]) -> None:
    from operators.triggers import LabelingJobTrigger

    connect(service.url, service.credentials)
    trigger = LabelingJobTrigger(job_name="nothing", connection="trueground", poll_interval=0.1)
    event = asyncio.run(asyncio.wait_for(first_event(trigger), 30))
    assert "nothing" in event["error"]


class HumanLoops(BaseHTTPRequestHandler):
    """Amazon A2I's DescribeHumanLoop for loops that complete at the third look, after one server error."""

    looks: dict[str, int]

    def do_GET(self) -> None:
        name = self.path.rsplit("/", 1)[-1]
        looks = self.looks[name] = self.looks.get(name, 0) + 1
        body = {"HumanLoopName": name, "HumanLoopStatus": "Completed" if looks > 2 else "InProgress"}
        self.send_response(500 if looks == 1 else 200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        pass


def test_the_sensors_trigger_waits_for_all_human_loops_and_outlives_errors(connect: Callable[..., None]) -> None:
    from operators.triggers import HumanLoopsTrigger

    handler = type("Loops", (HumanLoops,), {"looks": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        connect(
            f"http://127.0.0.1:{server.server_address[1]}",
            {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "secret"},
        )
        trigger = HumanLoopsTrigger(human_loops=["one", "two"], connection="trueground", poll_interval=0.05)
        event = asyncio.run(asyncio.wait_for(first_event(trigger), 30))
    finally:
        server.shutdown()
    assert event == {"human_loops": {"one": "Completed", "two": "Completed"}}


def test_the_sensor_fails_where_the_work_ended_otherwise() -> None:
    from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
    from operators.human_review import HumanReviewSensor

    sensor = HumanReviewSensor(task_id="wait", labeling_job="job")
    with pytest.raises(TaskDeferred):
        sensor.execute({})
    assert sensor.resume({}, {"job_name": "job", "status": "Stopped"})["status"] == "Stopped"
    with pytest.raises(AirflowFailException, match="Failed"):
        sensor.resume({}, {"job_name": "job", "status": "Failed"})
    with pytest.raises(AirflowFailException, match="no such"):
        sensor.resume({}, {"error": "no such job"})
