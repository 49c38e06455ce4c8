"""What a data-ops person does in Airflow: forms, one more look at a finished run."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx
import pytest

from demo.airflow import LocalAirflow
from demo.digits import read_truth
from demo.people import SimulatedPeople
from demo.progress import RunFailed, follow, result_of, trigger, wait_for_run
from tests.e2e.conftest import answer_when_asked, sagemaker
from trueground.storage import file_uri

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

OBJECTS = 10
FORM = {
    "name": "few", "data.manifest": "few.manifest", "label_attribute": "digit", "task.labels": list("0123456789"),
    "people.team": "annotators", "people.workers_per_object": 2, "verification.sample": 3, "verification.least_sure": 0,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def manifest(airflow: LocalAirflow) -> None:
    """A few digits to label."""
    pictures = sorted((airflow.data_root / "digits" / "images").iterdir())[:OBJECTS]
    lines = [json.dumps({"source-ref": file_uri(picture)}) for picture in pictures]
    (airflow.data_root / "few.manifest").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def few(airflow: LocalAirflow, truth: Path) -> dict[str, Any]:
    """They are labeled by form."""
    with people(airflow, truth):
        run_id = trigger(airflow, "label_dataset", FORM)
        follow(airflow, "label_dataset", run_id)
    return {"run_id": run_id, "published": result_of(airflow, "label_dataset", run_id, "publish")}


@contextmanager
def people(airflow: LocalAirflow, truth: Path, seconds: float = 0.02) -> Iterator[None]:
    """People who work inside the block."""
    working = SimulatedPeople(airflow, truth, seconds=seconds)
    working.start()
    try:
        yield
    finally:
        working.stop()


def test_a_data_set_is_labeled_by_form_and_published_as_its_own_asset(
    airflow: LocalAirflow, few: dict[str, Any]
) -> None:
    assert (few["published"]["objects"], few["published"]["project"]) == (OBJECTS, "few")
    events = airflow.api("GET", "/assets/events", params={"source_dag_id": "label_dataset"})["asset_events"]
    assert [(event["name"], event["extra"]["labels"]) for event in events] == [
        ("few-labels", few["published"]["labels"])
    ]
    (kept,) = (airflow.data_root / "few" / "labels" / "runs").glob("*/project.json")
    assert json.loads(kept.read_text())["people"] == {
        "team": "annotators",
        "workers_per_object": 2,
        "priority": 0,
        "task_time_limit": 300,
        "availability": 864_000,
    }


@pytest.mark.parametrize("field", ["people.workers_per_object", "rounds.maximum"])
def test_the_form_refuses_a_value_out_of_range_by_its_field(
    airflow: LocalAirflow, few: dict[str, Any], field: str
) -> None:
    with pytest.raises(httpx.HTTPStatusError) as caught:
        airflow.api(
            "POST", "/dags/label_dataset/dagRuns", json={"logical_date": None, "conf": {**FORM, "name": "x", field: 99}}
        )
    assert caught.value.response.status_code == 400
    assert field in caught.value.response.text


def test_the_first_task_refuses_what_does_not_fit_and_a_name_that_is_taken(
    airflow: LocalAirflow, few: dict[str, Any]
) -> None:
    for change, said in (
        ({"verification.team": "annotators", "name": "x"}, "verification.team"),
        ({}, "name: the run"),
    ):
        run_id = trigger(airflow, "label_dataset", {**FORM, **change})
        with pytest.raises(RunFailed, match="failed at project"):
            follow(airflow, "label_dataset", run_id)
        assert said in log_of(airflow, "label_dataset", run_id, "project")


def test_a_finished_run_is_verified_further_and_nobody_is_asked_twice(
    airflow: LocalAirflow, few: dict[str, Any], truth: Path
) -> None:
    folder = Path(unquote(urlsplit(few["published"]["labels"]).path)).parents[1]
    before = few["published"]["labels"], (folder / "published" / "all.manifest").read_bytes()
    with people(airflow, truth):
        first = trigger(airflow, "continue_dataset", {"name": "few", "verification.sample": 6})
        follow(airflow, "continue_dataset", first)
    judged = [json.loads(line) for line in (folder / "verification" / "answers.jsonl").read_text().splitlines()]
    assert len({line["object_id"] for line in judged}) == len(judged) == 6
    published = result_of(airflow, "continue_dataset", first, "publish")
    assert published["objects"] == OBJECTS and published["labels"] != before[0]
    assert published["certificate"]["accuracy_bound"] >= few["published"]["certificate"]["accuracy_bound"]
    assert (folder / "published" / "all.manifest").read_bytes() == before[1], "a label set never changes"


def test_a_run_that_was_stopped_early_is_labeled_to_its_end_and_keeps_what_was_done(
    airflow: LocalAirflow, truth: Path
) -> None:
    client = sagemaker(airflow)
    with people(airflow, truth, seconds=2.0):
        run_id = trigger(airflow, "label_dataset", {**FORM, "name": "rest", "verification.enabled": False})
        deadline = time.monotonic() + 120
        while True:
            jobs = client.list_labeling_jobs(NameContains="rest-round-1")["LabelingJobSummaryList"]
            if jobs and jobs[0]["LabelCounters"]["HumanLabeled"] >= 2:
                break
            assert time.monotonic() < deadline, "nobody works"
            time.sleep(0.1)
    early = trigger(airflow, "continue_dataset", {"name": "rest", "more_rounds": 1})
    with pytest.raises(RunFailed, match="failed at start"):
        follow(airflow, "continue_dataset", early)
    assert f"name: the run '{run_id}' is not over" in log_of(airflow, "continue_dataset", early, "start")
    client.stop_labeling_job(LabelingJobName=jobs[0]["LabelingJobName"])
    with pytest.raises(RunFailed, match="check_labels"):
        follow(airflow, "label_dataset", run_id)
    with people(airflow, truth):
        more = trigger(airflow, "continue_dataset", {"name": "rest", "more_rounds": 1})
        follow(airflow, "continue_dataset", more)
    published = result_of(airflow, "continue_dataset", more, "publish")
    assert published["objects"] == published["all_objects"] == OBJECTS
    (folder,) = (airflow.data_root / "rest" / "labels" / "runs").iterdir()
    rounds = [(folder / "rounds" / number / "input.manifest").read_text().splitlines() for number in "12"]
    assert 0 < len(rounds[1]) < len(rounds[0]) == OBJECTS, "what had a label was asked again"


def test_another_teams_dag_reads_the_label_set_and_refuses_an_event_by_its_field(
    airflow: LocalAirflow, few: dict[str, Any]
) -> None:
    (asset,) = airflow.api("GET", "/assets", params={"name_pattern": "digits-labels"})["assets"]
    broken = {key: value for key, value in few["published"].items() if key != "run_labels"}
    for extra, problem in ((few["published"], None), (broken, "extra.run_labels: the field is missing")):
        since = datetime.now(UTC).isoformat()
        airflow.api("POST", "/assets/events", json={"asset_id": asset["id"], "extra": extra})
        run_id = wait_for_run(airflow, "example_use_labels", since)
        if problem is None:
            follow(airflow, "example_use_labels", run_id)
            continue
        with pytest.raises(RunFailed, match="read_events"):
            follow(airflow, "example_use_labels", run_id)
        assert problem in log_of(airflow, "example_use_labels", run_id, "read_events")
    first = airflow.api("GET", "/dags/example_use_labels/dagRuns", params={"order_by": "run_after"})["dag_runs"][0]
    path = f"/dags/example_use_labels/dagRuns/{quote(first['dag_run_id'], safe='')}/taskInstances/count_classes"
    counts = airflow.api("GET", f"{path}/xcomEntries/return_value", params={"map_index": 0})["value"]
    counts = json.loads(counts) if isinstance(counts, str) else counts
    assert sum(counts.values()) == OBJECTS


def test_predictions_are_reviewed_by_form_and_published_as_their_own_asset(airflow: LocalAirflow, truth: Path) -> None:
    pictures = sorted((airflow.data_root / "digits" / "images").iterdir())[:4]
    known = read_truth(truth)
    lines = []
    for number, picture in enumerate(pictures):
        right = known[picture.name]
        label, confidence = (right, 0.99) if number == 0 else (str((int(right) + 1) % 10), 0.4)
        line = {"id": picture.name, "service": "custom", "source-ref": file_uri(picture)}
        lines.append(json.dumps({**line, "prediction": {"label": label, "confidence": confidence}}))
    (airflow.data_root / "predictions.jsonl").write_text("\n".join(lines) + "\n")
    unsure = {"ConditionType": "ConfidenceCheck", "ConditionParameters": {"ConfidenceLessThan": 0.9}}
    form = {
        "name": "seen", "source.predictions": "predictions.jsonl", "conditions": [unsure], "label_attribute": "digit",
        "labels": list("0123456789"), "review.team": "annotators", "review.second_team": "reviewers",
    }  # fmt: skip
    with pytest.raises(RunFailed, match=r"review\.reviewers_per_object: 10 is greater"):
        trigger(airflow, "review_predictions", {**form, "review.reviewers_per_object": 10})
    with people(airflow, truth):
        run_id = trigger(airflow, "review_predictions", form)
        follow(airflow, "review_predictions", run_id)
    published = result_of(airflow, "review_predictions", run_id, "merge")
    assert (published["objects"], published["reviewed"], published["accepted"]) == (4, 3, 1)
    rows = [json.loads(line) for line in Path(unquote(urlsplit(published["reviews"]).path)).read_text().splitlines()]
    assert {row["id"]: row["final"] for row in rows} == {picture.name: known[picture.name] for picture in pictures}
    events = airflow.api("GET", "/assets/events", params={"source_dag_id": "review_predictions"})["asset_events"]
    assert [event["name"] for event in events] == ["seen-reviews"]
    run_id = trigger(airflow, "review_predictions", {**form, "name": "other", "review.second_team": "annotators"})
    with pytest.raises(RunFailed, match="failed at project"):
        follow(airflow, "review_predictions", run_id)
    assert "review: a team stands there twice" in log_of(airflow, "review_predictions", run_id, "project")


def test_reviews_are_stopped_early_and_the_run_publishes_what_it_has(airflow: LocalAirflow) -> None:
    pictures = sorted((airflow.data_root / "digits" / "images").iterdir())[:3]
    lines = [
        {"id": picture.name, "service": "custom", "source-ref": file_uri(picture),
         "prediction": {"label": "7", "confidence": 0.4}}
        for picture in pictures
    ]  # fmt: skip
    (airflow.data_root / "more.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    form = {
        "name": "cut-short", "source.predictions": "more.jsonl", "labels": list("0123456789"),
        "review.team": "annotators", "review.escalation_team": "reviewers",
    }  # fmt: skip
    run_id = trigger(airflow, "review_predictions", form)
    wait = f"/dags/review_predictions/dagRuns/{quote(run_id, safe='')}/taskInstances/review.wait"
    deadline = time.monotonic() + 240
    while airflow.api("GET", wait)["state"] != "deferred":
        assert time.monotonic() < deadline, "the run does not come to wait for people"
        time.sleep(1)
    for over in (0, 3):
        stop = trigger(airflow, "stop_reviews", {"name": "cut-short"})
        assert answer_when_asked(airflow, "stop_reviews", stop, "confirm") == "success"
        assert result_of(airflow, "stop_reviews", stop, "stop") == {"stopped": 3 - over, "over": over, "not_started": 0}
        follow(airflow, "review_predictions", run_id)
    published = result_of(airflow, "review_predictions", run_id, "merge")
    assert (published["reviewed"], published["unanswered"]) == (3, 3)


def test_a_backfill_labels_past_nights_each_its_own_and_tells_their_partitions(
    airflow: LocalAirflow, truth: Path
) -> None:
    pictures = sorted((airflow.data_root / "digits" / "images").iterdir())
    nights = {"2026-01-02": pictures[20:23], "2026-01-03": pictures[22:26]}
    for night, some in nights.items():
        folder = airflow.data_root / "nights" / night
        folder.mkdir(parents=True)
        for picture in some:
            shutil.copy(picture, folder)
    airflow.api("PATCH", "/dags/label_nightly", json={"is_paused": False})
    span = {"from_date": "2026-01-02T00:00:00Z", "to_date": "2026-01-03T00:00:00Z"}
    with people(airflow, truth):
        airflow.api("POST", "/backfills", json={"dag_id": "label_nightly", "max_active_runs": 1, **span})
        runs = wait_for_runs(airflow, "label_nightly", len(nights))
        for run_id in runs:
            follow(airflow, "label_nightly", run_id)
    events = airflow.api("GET", "/assets/events", params={"source_dag_id": "label_nightly"})["asset_events"]
    by_night = {event["partition_key"]: event["extra"] for event in events if event["name"] == "nightly-nights"}
    assert {night: extra["objects"] for night, extra in by_night.items()} == {"2026-01-02": 3, "2026-01-03": 4}
    assert by_night["2026-01-03"]["all_objects"] == 7, "a later run adds to the set"
    assert {event["partition_key"] for event in events if event["name"] == "nightly-labels"} == {None}

    since = datetime.now(UTC).isoformat()
    (asset,) = airflow.api("GET", "/assets", params={"name_pattern": "digits-nights"})["assets"]
    content = {"asset_id": asset["id"], "extra": by_night["2026-01-02"], "partition_key": "2026-01-02"}
    airflow.api("POST", "/assets/events", json=content)
    run_id = wait_for_run(airflow, "example_use_nights", since)
    follow(airflow, "example_use_nights", run_id)
    assert result_of(airflow, "example_use_nights", run_id, "count_night") == {"night": "2026-01-02", "labels": 3}


def wait_for_runs(airflow: LocalAirflow, dag_id: str, count: int) -> list[str]:
    """The ids of a DAG's runs, the oldest first, once there are so many."""
    deadline = time.monotonic() + 120
    while True:
        path = f"/dags/{dag_id}/dagRuns"
        runs = airflow.api("GET", path, params={"order_by": "logical_date", "limit": 10})["dag_runs"]
        if len(runs) >= count:
            return [run["dag_run_id"] for run in runs]
        assert time.monotonic() < deadline, f"{len(runs)} runs of {dag_id}"
        time.sleep(0.5)


def log_of(airflow: LocalAirflow, dag_id: str, run_id: str, task_id: str) -> str:
    """The log of a task's first try."""
    return json.dumps(
        airflow.api("GET", f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}/logs/1")
    )


def task_states(airflow: LocalAirflow, dag_id: str, run_id: str) -> dict[str, str]:
    path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances"
    return {
        task["task_id"]: task["state"] for task in airflow.api("GET", path, params={"limit": 200})["task_instances"]
    }
