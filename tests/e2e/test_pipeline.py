"""The pipeline end to end: real Airflow, real service over HTTP, killed in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest

from demo.airflow import LocalAirflow
from demo.digits import read_truth
from demo.people import SimulatedPeople
from demo.progress import RunFailed, follow, result_of, trigger, wait_for_run
from tests.e2e.conftest import DIGITS, Chat, answer_when_asked, sagemaker
from trueground.project import load_project
from trueground.quality.prediction_powered import AuditDesign
from trueground.review import audits
from trueground.review.audit_estimate import night_facts
from trueground.run import Run, folder_name
from trueground.storage import Storage

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


def path_of(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


def worker_responses(output: Path) -> list[dict[str, Any]]:
    """Every answer in a project's output trees, with its job and object."""
    found = []
    for file in output.glob("jobs/*/annotations/worker-response/iteration-*/*/*.json"):
        job, object_id = file.parts[-6], file.parts[-2]
        for answer in json.loads(file.read_text())["answers"]:
            found.append({"job": job, "object": object_id, **answer})
    return found


@pytest.fixture(scope="module")
def run(airflow: LocalAirflow, truth: Path) -> dict[str, Any]:
    """One run of the pipeline, in which the service and the scheduler die while people work."""
    since = datetime.now(UTC).isoformat()
    people = SimulatedPeople(airflow, truth, seconds=0.2)
    people.start()
    try:
        run_id = trigger(airflow, "label_mini", {})
        client = sagemaker(airflow)
        deadline = time.monotonic() + 180
        while True:
            jobs = client.list_labeling_jobs()["LabelingJobSummaryList"]
            if jobs and jobs[-1]["LabelCounters"]["HumanLabeled"] >= 10:
                break
            assert time.monotonic() < deadline, "people did not start to work"
            time.sleep(0.3)
        before = jobs[-1]
        assert before["LabelingJobStatus"] == "InProgress"
        airflow.kill("scheduler")
        airflow.kill("api-server")
        time.sleep(2)
        airflow.start("api-server", "scheduler")
        follow(airflow, "label_mini", run_id)
        published = result_of(airflow, "label_mini", run_id, "publish")
        retraining = wait_for_run(airflow, "retrain_mini", since)
        follow(airflow, "retrain_mini", retraining)
    finally:
        people.stop()
    return {"run_id": run_id, "published": published, "retraining": retraining, "before": before}


def test_every_object_ends_with_exactly_its_answers_though_service_and_scheduler_were_killed(
    airflow: LocalAirflow, run: dict[str, Any]
) -> None:
    answers = worker_responses(airflow.data_root / "mini")
    per_object = Counter((answer["job"], answer["object"]) for answer in answers)
    per_worker = Counter((answer["job"], answer["object"], answer["workerId"]) for answer in answers)
    assert max(per_worker.values()) == 1, "somebody was asked twice"
    rounds = {count for (job, _), count in per_object.items() if "verify" not in job}
    assert rounds == {3}
    assert run["before"]["LabelingJobName"] in {job for job, _ in per_object}
    assert len(answers) == run["published"]["answers"]


def test_no_acknowledged_answer_is_lost(airflow: LocalAirflow, run: dict[str, Any]) -> None:
    """The people's own account of what was acknowledged, against what the output trees hold."""
    log = (airflow.home / "people.log").read_text()
    acknowledged = json.loads(log.strip().splitlines()[-1])["acknowledged"]
    answers = worker_responses(airflow.data_root / "mini")
    assert sum(acknowledged.values()) == len(answers)


def test_no_step_made_a_second_job(airflow: LocalAirflow, run: dict[str, Any]) -> None:
    client = sagemaker(airflow)
    jobs = client.list_labeling_jobs(MaxResults=100)["LabelingJobSummaryList"]
    assert all(job["LabelingJobStatus"] == "Completed" for job in jobs)
    tasks = Counter()
    for job in jobs:
        tags = {
            t["Key"]: t["Value"] for t in client.describe_labeling_job(LabelingJobName=job["LabelingJobName"])["Tags"]
        }
        tasks[tags["trueground:run"], tags["trueground:task"]] += 1
    assert set(tasks.values()) == {1}


def test_the_published_set_is_complete_and_in_ground_truths_form(
    airflow: LocalAirflow, run: dict[str, Any], truth: Path
) -> None:
    published = run["published"]
    lines = [json.loads(line) for line in path_of(published["run_labels"]).read_text().splitlines()]
    assert len(lines) == DIGITS == published["objects"]
    known = read_truth(truth)
    right = 0
    for line in lines:
        metadata = line["digit-metadata"]
        assert metadata["type"] == "groundtruth/image-classification"
        assert metadata["class-name"] == str(line["digit"])
        assert metadata["job-name"].startswith("labeling-job/")
        right += metadata["class-name"] == known[line["source-ref"].rsplit("/", 1)[-1]]
    assert right / DIGITS >= 0.95
    assert published["certificate"]["accuracy_bound"] <= right / DIGITS
    assert path_of(published["report"]).read_text().startswith("<!doctype html>")


def test_retraining_started_by_the_asset_promotes_a_first_model(airflow: LocalAirflow, run: dict[str, Any]) -> None:
    promoted = result_of(airflow, "retrain_mini", run["retraining"], "promote")
    assert promoted["labels"] == [run["published"]["labels"]]
    current = json.loads((airflow.data_root / "mini" / "models" / "current.json").read_text())
    assert current["model"] == promoted["name"]
    assert path_of(promoted["model"]).exists() and path_of(promoted["card"]).exists()
    events = airflow.api("GET", "/assets/events", params={"source_dag_id": "retrain_mini"})["asset_events"]
    assert [event["extra"]["schema"] for event in events] == ["trueground.model/1"]


def states_of(airflow: LocalAirflow, dag_id: str, run_id: str) -> dict[tuple[str, int], str]:
    """The states of a run's tasks, by task and map index."""
    path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances"
    tasks = airflow.api("GET", path, params={"limit": 200})["task_instances"]
    return {(task["task_id"], task["map_index"]): task["state"] for task in tasks}


def test_good_events_train_a_model_that_somebody_approves_while_each_bad_event_is_a_red_task(
    airflow: LocalAirflow, run: dict[str, Any]
) -> None:
    """The events came while the DAG was paused, so no run was started for them."""
    airflow.api("PATCH", "/dags/retrain_careful", json={"is_paused": True})
    (asset,) = airflow.api("GET", "/assets", params={"name_pattern": "careful-labels"})["assets"]
    bad, worse = dict(run["published"]), dict(run["published"])
    del bad["labels"], worse["certificate"]
    for extra in (bad, run["published"], worse):
        airflow.api("POST", "/assets/events", json={"asset_id": asset["id"], "extra": extra})
    airflow.api("PATCH", "/dags/retrain_careful", json={"is_paused": False})
    run_id = trigger(airflow, "retrain_careful", {})
    state = answer_when_asked(airflow, "retrain_careful", run_id, "approve")
    states = states_of(airflow, "retrain_careful", run_id)
    assert state == "failed", states
    assert (states["refused", 0], states["refused", 1]) == ("failed", "failed")
    assert states["promote", -1] == "success"
    problems = result_of(airflow, "retrain_careful", run_id, "note_events")
    assert ["extra.labels" in problems[0], "extra.certificate" in problems[1]] == [True, True]
    promoted = result_of(airflow, "retrain_careful", run_id, "promote")
    assert promoted["labels"] == [run["published"]["labels"]]
    assert promoted["reason"].startswith("approved")


def test_one_trigger_rolls_back_and_says_what_there_is_where_it_cannot(
    airflow: LocalAirflow, run: dict[str, Any]
) -> None:
    models = airflow.data_root / "mini" / "models"
    first = json.loads((models / "current.json").read_text())["model"]
    with pytest.raises(RunFailed):
        follow(airflow, "roll_back_mini", trigger(airflow, "roll_back_mini", {}))
    assert json.loads((models / "current.json").read_text())["model"] == first
    named = trigger(airflow, "roll_back_mini", {"model": first, "reason": "to be sure"})
    follow(airflow, "roll_back_mini", named)
    history = json.loads((models / "current.json").read_text())["history"]
    assert [(switch["model"], switch["reason"]) for switch in history] == [
        (first, "the first model"),
        (first, "to be sure"),
    ]


def test_an_audit_asks_about_machine_labels_once_and_tells_what_it_found(
    airflow: LocalAirflow, run: dict[str, Any], truth: Path
) -> None:
    machine = run["published"]["machine"]
    people = SimulatedPeople(airflow, truth, seconds=0.05)
    people.start()
    try:
        night = trigger(airflow, "audit_mini", {})
        follow(airflow, "audit_mini", night)
    finally:
        people.stop()
    path = f"/dags/audit_mini/dagRuns/{quote(night, safe='')}/taskInstances"
    states = {task["task_id"]: task["state"] for task in airflow.api("GET", path)["task_instances"]}
    if not machine:
        assert states == {"draw": "skipped", "judge": "skipped", "record": "success"}
        return
    asked = result_of(airflow, "audit_mini", night, "draw")["objects"]
    found = result_of(airflow, "audit_mini", night, "record")
    assert 0 < asked <= min(10, machine)
    assert found["reviews"] == asked
    assert 0 <= found["lower"] <= found["upper"] <= 1
    state = json.loads((airflow.data_root / "mini" / "audits" / "state.json").read_text())
    assert state["promise"] == found["promise"]
    events = airflow.api("GET", "/assets/events", params={"source_dag_id": "audit_mini"})["asset_events"]
    assert [event["extra"]["reviews"] for event in events] == [asked]


def test_a_broken_promise_is_told_once_by_airflows_notifier(
    airflow: LocalAirflow, run: dict[str, Any], chat: Chat
) -> None:
    projects = Path(airflow.environment["TRUEGROUND_PROJECTS"])
    project = load_project(projects / "mini.yaml", data_root=str(airflow.data_root))
    before = Run(project, "withheld-before", Storage(data_root=str(airflow.data_root)))
    rows = [{"object": f"{n}.png", "label": "7", "model": "old", "prefix": "gone"} for n in range(200)]
    facts = night_facts(before.name, AuditDesign.uniform(len(rows)), range(len(rows)), rows)
    state = audits.keep_night(before, {**facts, "asked": 0}, {row["object"]: n % 2 == 0 for n, row in enumerate(rows)})
    assert state["promise"] == "broken" and not chat.posted
    people = SimulatedPeople(airflow, airflow.data_root.parent / "truth.csv", seconds=0.05)
    people.start()
    try:
        for told in (1, 0):
            night = trigger(airflow, "audit_mini", {})
            follow(airflow, "audit_mini", night)
            assert result_of(airflow, "audit_mini", night, "notify") == {"told": told}
    finally:
        people.stop()
    ((path, message),) = chat.posted
    assert path == "/hooks/audits" and message["text"].startswith("mini: the promise is broken: at least ")
    assert (message["schema"], message["promise"]) == ("trueground.audit/1", "broken")


def test_openlineage_is_told_how_data_labels_and_model_hang_together(
    airflow: LocalAirflow, run: dict[str, Any]
) -> None:
    events = [json.loads(file.read_text()) for file in (airflow.data_root.parent / "lineage").iterdir()]
    reads: dict[str, set[str]] = defaultdict(set)
    writes: dict[str, str] = {}
    rows: dict[str, int | None] = {}
    for event in events:
        if event["eventType"] == "COMPLETE":
            job = event["job"]["name"]
            reads[job] |= {data["name"] for data in event["inputs"]}
            for data in event["outputs"]:
                writes[data["name"]] = job
                rows[data["name"]] = data.get("outputFacets", {}).get("outputStatistics", {}).get("rowCount")
    labels = str(path_of(run["published"]["labels"]))
    model = str(path_of(result_of(airflow, "retrain_mini", run["retraining"], "promote")["model"]))
    assert (writes[labels], rows[labels]) == ("label_mini.publish", DIGITS)
    assert writes[model] == "retrain_mini.retrain" and labels in reads["retrain_mini.retrain"]
    manifest = str(airflow.data_root / "mini" / "runs" / folder_name(run["run_id"]) / "input.manifest")
    assert writes[manifest] == "label_mini.build_manifest" and manifest in reads["label_mini.publish"]


def test_a_second_run_finds_nothing_new(airflow: LocalAirflow, run: dict[str, Any]) -> None:
    again = trigger(airflow, "label_mini", {})
    follow(airflow, "label_mini", again)
    path = f"/dags/label_mini/dagRuns/{quote(again, safe='')}/taskInstances"
    states = {
        task["task_id"]: task["state"] for task in airflow.api("GET", path, params={"limit": 200})["task_instances"]
    }
    assert states["build_manifest"] == "skipped"
    assert states["publish"] == "skipped"


def test_a_cleared_dispatch_adopts_its_job(airflow: LocalAirflow, run: dict[str, Any]) -> None:
    before = len(sagemaker(airflow).list_labeling_jobs(MaxResults=100)["LabelingJobSummaryList"])
    airflow.api(
        "POST",
        "/dags/label_mini/clearTaskInstances",
        json={"dry_run": False, "dag_run_id": run["run_id"], "task_ids": ["round_1.label"], "only_failed": False},
    )
    follow(airflow, "label_mini", run["run_id"])
    after = sagemaker(airflow).list_labeling_jobs(MaxResults=100)["LabelingJobSummaryList"]
    assert len(after) == before


def test_the_aws_cli_describes_the_job(airflow: LocalAirflow, run: dict[str, Any]) -> None:
    connection = airflow.connection()
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": connection["login"],
        "AWS_SECRET_ACCESS_KEY": connection["password"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    name = run["before"]["LabelingJobName"]
    command = [
        "sagemaker",
        "describe-labeling-job",
        "--labeling-job-name",
        name,
        "--endpoint-url",
        airflow.aws_endpoint,
    ]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("aws")), *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["LabelingJobStatus"] == "Completed"


def test_the_tab_and_the_link_of_a_task_lead_to_its_job(airflow: LocalAirflow, run: dict[str, Any]) -> None:
    import httpx

    path = f"/dags/label_mini/dagRuns/{quote(run['run_id'], safe='')}/taskInstances/round_1.label/links"
    link = airflow.api("GET", path)["extra_links"]["Labeling job"]
    assert link.startswith(airflow.portal)
    token = httpx.post(
        f"{airflow.url}/auth/token", json={"username": airflow.user, "password": airflow.password}
    ).json()
    cookies = {"_token": token["access_token"]}
    page = httpx.get(link, cookies=cookies, follow_redirects=True)
    assert page.status_code == 200
    assert run["before"]["LabelingJobName"] in page.text
    stranger = httpx.get(link, follow_redirects=True)
    assert run["before"]["LabelingJobName"] not in stranger.text


def test_stopping_a_job_waits_for_a_confirmation_in_airflow(airflow: LocalAirflow, run: dict[str, Any]) -> None:
    name = run["before"]["LabelingJobName"]
    run_id = trigger(airflow, "stop_labeling_job", {"labeling_job": name})
    state = answer_when_asked(airflow, "stop_labeling_job", run_id, "confirm")
    assert state == "success"
    stopped = result_of(airflow, "stop_labeling_job", run_id, "stop")
    # It was over already, so stopping it changed nothing.
    assert stopped == {"job_name": name, "status_before": "Completed"}
