"""What a data-ops person does in Airflow: forms, one more look at a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from demo.airflow import LocalAirflow
from demo.people import SimulatedPeople
from demo.progress import RunFailed, follow, result_of, trigger
from trueground.storage import file_uri

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

OBJECTS = 10
FORM = {
    "name": "few", "data.manifest": "few.manifest", "label_attribute": "digit", "task.labels": list("0123456789"),
    "people.team": "annotators", "people.workers_per_object": 2, "verification.sample": 3, "verification.least_sure": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def few(airflow: LocalAirflow, truth: Path) -> dict[str, Any]:
    """A few digits, labeled by form."""
    pictures = sorted((airflow.data_root / "digits" / "images").iterdir())[:OBJECTS]
    lines = [json.dumps({"source-ref": file_uri(picture)}) for picture in pictures]
    (airflow.data_root / "few.manifest").write_text("\n".join(lines) + "\n")
    with people(airflow, truth):
        run_id = trigger(airflow, "label_dataset", FORM)
        follow(airflow, "label_dataset", run_id)
    return {"run_id": run_id, "published": result_of(airflow, "label_dataset", run_id, "publish")}


class people:
    """People who work inside the block."""

    def __init__(self, airflow: LocalAirflow, truth: Path) -> None:
        self.people = SimulatedPeople(airflow, truth, seconds=0.02)

    def __enter__(self) -> None:
        self.people.start()

    def __exit__(self, *_: object) -> None:
        self.people.stop()


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
        logs = airflow.api("GET", f"/dags/label_dataset/dagRuns/{quote(run_id, safe='')}/taskInstances/project/logs/1")
        assert said in json.dumps(logs)
