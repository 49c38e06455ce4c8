"""Follow a DAG run over Airflow's REST API and print a line for each stage, with counts."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

import boto3
import httpx

from demo.airflow import LocalAirflow
from demo.processes import DemoError

PAUSE = 1.0
SAY_AGAIN = 5.0
"""Seconds between two lines about the same waiting job."""


class RunFailed(DemoError):
    """A DAG run did not succeed; the message names the tasks and their logs."""


def trigger(airflow: LocalAirflow, dag_id: str, conf: dict[str, Any]) -> str:
    """Start a DAG run, once the dag-processor has read the DAG; returns the run's id."""
    deadline = time.monotonic() + 120
    while True:
        try:
            run = airflow.api("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
            return str(run["dag_run_id"])
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 404 or time.monotonic() > deadline:
                errors = airflow.api("GET", "/importErrors")["import_errors"]
                raise RunFailed(f"cannot start {dag_id}: {error.response.text} {errors or ''}") from error
        time.sleep(PAUSE)


def follow(airflow: LocalAirflow, dag_id: str, run_id: str) -> None:
    """Print what happens until the run is over. Raises :class:`RunFailed` where it did not succeed."""
    client = boto3.client(
        "sagemaker",
        region_name="us-east-1",
        endpoint_url=airflow.aws_endpoint,
        aws_access_key_id=airflow.connection()["login"],
        aws_secret_access_key=airflow.connection()["password"],
    )
    path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"
    told: dict[str, str] = {}
    waiting: dict[str, tuple[str, float]] = {}
    start = time.monotonic()
    while True:
        run = airflow.api("GET", path)
        tasks = airflow.api("GET", f"{path}/taskInstances", params={"limit": 200})["task_instances"]
        for task in sorted(tasks, key=lambda item: item["start_date"] or "9"):
            name, state = task["task_id"], task["state"]
            if state == "deferred":
                _tell_progress(airflow, client, path, name, waiting, start)
            elif told.get(name) != state and state in ("success", "failed", "up_for_retry", "awaiting_input"):
                told[name] = state
                result = _result(airflow, path, name) if state == "success" else state
                print(f"{time.monotonic() - start:6.0f} s  {dag_id}  {name:24} {result}", flush=True)
        if run["state"] in ("success", "failed"):
            break
        time.sleep(PAUSE)
    if run["state"] == "failed":
        failed = [task["task_id"] for task in tasks if task["state"] == "failed"]
        raise RunFailed(f"{dag_id} failed at {', '.join(failed)}; the logs: {airflow.home / 'logs'}")


def wait_for_run(airflow: LocalAirflow, dag_id: str, since: str, limit: float = 120) -> str:
    """The id of the first run of a DAG that was queued after ``since`` (ISO time)."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        runs = airflow.api("GET", f"/dags/{dag_id}/dagRuns", params={"run_after_gte": since})["dag_runs"]
        if runs:
            return str(runs[0]["dag_run_id"])
        time.sleep(PAUSE)
    raise RunFailed(f"{dag_id} was not started by the published labels within {limit:.0f} s")


def result_of(airflow: LocalAirflow, dag_id: str, run_id: str, task_id: str) -> Any:
    """What a task returned; ``None`` where it returned nothing."""
    return _xcom(airflow, f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}", task_id, "return_value")


def _xcom(airflow: LocalAirflow, path: str, task: str, key: str) -> Any:
    try:
        entry = airflow.api("GET", f"{path}/taskInstances/{task}/xcomEntries/{key}", params={"deserialize": "false"})
    except httpx.HTTPStatusError:
        return None
    value = entry["value"]
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        # A task that returned a text.
        return value


def _result(airflow: LocalAirflow, path: str, task: str) -> str:
    value = _xcom(airflow, path, task, "return_value")
    if not isinstance(value, dict):
        return "done"
    shown = {key: item for key, item in value.items() if isinstance(item, (int, float)) and not isinstance(item, bool)}
    shown.update(value.get("counters", {}))
    return ", ".join(f"{key.replace('_', ' ')} {item}" for key, item in shown.items()) or "done"


def _tell_progress(
    airflow: LocalAirflow, client: Any, path: str, task: str, waiting: dict[str, tuple[str, float]], start: float
) -> None:
    try:
        states = airflow.api("GET", f"{path}/taskInstances/{task}/state-store")
        job = next((e["value"] for e in states.get("task_state_store", []) if e["key"] == "labeling_job"), None)
        if job is None:
            return
        counters = client.describe_labeling_job(LabelingJobName=job)["LabelCounters"]
    except (httpx.HTTPError, StopIteration):
        return
    done, total = counters["TotalLabeled"], counters["TotalLabeled"] + counters["Unlabeled"]
    line = f"people labeled {done} of {total}"
    said, when = waiting.get(task, ("", 0.0))
    if line != said and time.monotonic() - when > SAY_AGAIN:
        waiting[task] = (line, time.monotonic())
        print(f"{time.monotonic() - start:6.0f} s    … {task}: {line}", flush=True)
