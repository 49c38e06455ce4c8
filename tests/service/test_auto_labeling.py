"""Automated labeling inside the service: rounds of people and a model, with a promise that is audited."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.service.auto_labeling import (
    CLASSES,
    IMAGES,
    TEXTS,
    WORDS,
    MakeRequest,
    Truth,
    anything,
    truth,
)
from tests.service.running import RunningService
from trueground.autolabel.model import LabelModel
from trueground.service.engine import job_insight
from trueground.storage import file_uri


def label_all(service: RunningService, name: str, worker: str, label: Truth = truth, seconds: float = 600) -> Any:
    """Answer whatever the job asks until it has ended."""
    end = time.monotonic() + seconds
    while True:
        service.answer(name, worker, label)
        job = service.client().describe_labeling_job(LabelingJobName=name)
        if job["LabelingJobStatus"] not in ("InProgress", "Initializing"):
            return job
        assert time.monotonic() < end, job
        time.sleep(0.05)


def lines_of(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    path = Path(job["LabelingJobOutput"]["OutputDatasetS3Uri"].removeprefix("file://"))
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_model_labels_what_it_is_sure_of_and_the_next_job_begins_with_it(
    service: RunningService, sagemaker: Any, job_request: MakeRequest, pictures: Callable[[int], list[dict[str, Any]]]
) -> None:
    worker = service.add_worker("ann")
    request = job_request("animals", pictures(500), LabelingJobAlgorithmsConfig=IMAGES)
    sagemaker.create_labeling_job(**request)
    job = label_all(service, "animals", worker)
    assert job["LabelingJobStatus"] == "Completed"
    assert job["LabelingJobAlgorithmsConfig"] == IMAGES
    counters = job["LabelCounters"]
    assert counters["MachineLabeled"] > 150 and counters["Unlabeled"] == 0
    assert counters["HumanLabeled"] + counters["MachineLabeled"] == counters["TotalLabeled"] == 500
    lines = lines_of(job)
    machine = [n for n, line in enumerate(lines) if line["animal-metadata"]["human-annotated"] == "no"]
    assert len(machine) == counters["MachineLabeled"]
    right = sum(lines[n]["animal-metadata"]["class-name"] == truth(n) for n in machine)
    assert right >= 0.95 * len(machine)
    one = lines[machine[0]]
    assert one["animal"] == CLASSES.index(one["animal-metadata"]["class-name"])
    assert one["animal-metadata"]["job-name"] == "labeling-job/animals"
    assert one["animal-metadata"]["type"] == "groundtruth/image-classification"
    assert 0 < one["animal-metadata"]["confidence"] <= 1
    # Answers lie in the folder of the round in which they were asked for.
    folders = {path.name for path in (service.data_root / "out/animals/annotations/worker-response").iterdir()}
    assert {"iteration-1", "iteration-2"} <= folders

    model = job["LabelingJobOutput"]["FinalActiveLearningModelArn"]
    assert model == "arn:aws:sagemaker:us-east-1:000000000000:model/animals"
    again = job_request(
        "again", pictures(500), LabelingJobAlgorithmsConfig={**IMAGES, "InitialActiveLearningModelArn": model}
    )
    sagemaker.create_labeling_job(**again)
    second = label_all(service, "again", worker)
    assert second["LabelCounters"]["TotalLabeled"] == 500
    assert second["LabelCounters"]["HumanLabeled"] < counters["HumanLabeled"]
    wrong = [n for n, line in enumerate(lines_of(second)) if line["animal-metadata"]["class-name"] != truth(n)]
    assert len(wrong) <= 0.05 * 500

    insight = job_insight.job_insight(service.db, "animals")
    assert insight.promise == (0.95, 0.95)
    assert sum(one.asked for one in insight.rounds) == counters["HumanLabeled"]
    assert sum(one.accepted or 0 for one in insight.rounds) == counters["MachineLabeled"]
    settled = [one for one in insight.rounds if one.accepted]
    assert all(one.error_bound is not None and one.error_bound <= 0.05 and one.audited for one in settled)

    listed = sagemaker.list_labeling_jobs(NameContains="animals")["LabelingJobSummaryList"][0]
    assert listed["LabelCounters"] == counters
    assert listed["LabelingJobOutput"]["FinalActiveLearningModelArn"] == model


def test_texts_are_labeled_by_a_model_too(service: RunningService, sagemaker: Any, job_request: MakeRequest) -> None:
    words = {"cat": "meow purr whiskers sofa", "dog": "bark leash walk bone", "bird": "sing wing nest feather"}
    randomness = np.random.default_rng(0)
    objects = [
        {
            "source": " ".join(
                [*randomness.choice(words[truth(n)].split(), 6), *randomness.choice(["the", "a", "house", "garden"], 4)]
            )
        }
        for n in range(400)
    ]
    (service.data_root / "text.html").write_text(
        "<crowd-form><crowd-classifier categories='{{ task.input.labels | to_json }}'>{{ task.input.taskObject }}"
        "</crowd-classifier></crowd-form>"
    )
    texts = {**TEXTS, "UiConfig": {"UiTemplateS3Uri": file_uri(service.data_root / "text.html")}}
    worker = service.add_worker("ann")
    sagemaker.create_labeling_job(**job_request("animals", objects, LabelingJobAlgorithmsConfig=WORDS, **texts))
    job = label_all(service, "animals", worker)
    machine = [
        n for n, line in enumerate(lines_of(job)) if line["animal-metadata"]["human-annotated"] == "no"
    ]  # fmt: skip
    assert len(machine) == job["LabelCounters"]["MachineLabeled"] > 100
    model = LabelModel.from_bytes((service.data_root / "out/animals/activelearning/model.skops").read_bytes())
    assert model.width == 4096
    arn = job["LabelingJobOutput"]["FinalActiveLearningModelArn"]
    config = {**WORDS, "InitialActiveLearningModelArn": arn}
    sagemaker.create_labeling_job(**job_request("again", objects, LabelingJobAlgorithmsConfig=config, **texts))
    second = label_all(service, "again", worker)
    assert second["LabelCounters"]["HumanLabeled"] < job["LabelCounters"]["HumanLabeled"]


def test_where_people_say_anything_no_machine_label_is_accepted(
    service: RunningService, sagemaker: Any, job_request: MakeRequest, pictures: Callable[[int], list[dict[str, Any]]]
) -> None:
    worker = service.add_worker("ann")
    sagemaker.create_labeling_job(**job_request("animals", pictures(300), LabelingJobAlgorithmsConfig=IMAGES))
    job = label_all(service, "animals", worker, lambda position: anything(position))
    assert job["LabelCounters"]["MachineLabeled"] == 0 and job["LabelCounters"]["HumanLabeled"] == 300
    assert "FinalActiveLearningModelArn" in job["LabelingJobOutput"], "the model is bad, but it is there"


def test_people_who_know_one_class_only_leave_no_model(
    service: RunningService, sagemaker: Any, job_request: MakeRequest, pictures: Callable[[int], list[dict[str, Any]]]
) -> None:
    worker = service.add_worker("ann")
    sagemaker.create_labeling_job(**job_request("animals", pictures(120), LabelingJobAlgorithmsConfig=IMAGES))
    job = label_all(service, "animals", worker, lambda _: "cat")
    assert job["LabelingJobStatus"] == "Completed" and job["LabelCounters"]["HumanLabeled"] == 120
    assert "FinalActiveLearningModelArn" not in job["LabelingJobOutput"]


@pytest.mark.parametrize(
    ("conditions", "most_people", "most_labels"),
    [
        ({"MaxHumanLabeledObjectCount": 70}, 70, 300),
        ({"MaxPercentageOfInputDatasetLabeled": 40}, 120, 300),
    ],
)
def test_stopping_conditions_bound_what_people_are_asked(
    service: RunningService,
    sagemaker: Any,
    job_request: MakeRequest,
    pictures: Callable[[int], list[dict[str, Any]]],
    conditions: dict[str, int],
    most_people: int,
    most_labels: int,
) -> None:
    worker = service.add_worker("ann")
    request = job_request("animals", pictures(300), LabelingJobAlgorithmsConfig=IMAGES, StoppingConditions=conditions)
    sagemaker.create_labeling_job(**request)
    # Answers at random: the machine can take nothing over.
    job = label_all(service, "animals", worker, lambda position: anything(position))
    assert job["LabelingJobStatus"] == "Stopped"
    assert job["LabelCounters"]["HumanLabeled"] == most_people
    assert job["LabelCounters"]["Unlabeled"] == most_labels - most_people
    assert len(lines_of(job)) == 300


def test_a_job_is_stopped_between_its_rounds_and_keeps_what_is_done(
    service: RunningService, sagemaker: Any, job_request: MakeRequest, pictures: Callable[[int], list[dict[str, Any]]]
) -> None:
    worker = service.add_worker("ann")
    sagemaker.create_labeling_job(**job_request("animals", pictures(300), LabelingJobAlgorithmsConfig=IMAGES))
    end = time.monotonic() + 120
    while not service.answer("animals", worker, truth, most=20):
        assert time.monotonic() < end
        time.sleep(0.05)
    sagemaker.stop_labeling_job(LabelingJobName="animals")
    job = service.wait_for("animals", "Stopped")
    assert 1 <= job["LabelCounters"]["HumanLabeled"] <= 20
    assert sum("animal" in line for line in lines_of(job)) == job["LabelCounters"]["HumanLabeled"]


def test_a_file_that_is_no_image_is_set_aside_and_the_rest_is_labeled(
    service: RunningService, sagemaker: Any, job_request: MakeRequest, pictures: Callable[[int], list[dict[str, Any]]]
) -> None:
    objects = pictures(300)
    for number in (3, 150, 299):
        (service.data_root / f"pictures/{number}.png").write_bytes(b"no image")
    worker = service.add_worker("ann")
    sagemaker.create_labeling_job(**job_request("animals", objects, LabelingJobAlgorithmsConfig=IMAGES))
    job = label_all(service, "animals", worker)
    assert job["LabelingJobStatus"] == "Completed" and job["LabelCounters"]["Unlabeled"] == 0
    reasons = [line["animal-metadata"].get("failure-reason") for line in lines_of(job)]
    failed = [reason for reason in reasons if reason]
    # One of them may have been in the first sample, where a person saw it.
    assert len(failed) == job["LabelCounters"]["FailedNonRetryableError"] <= 3
    assert all("not an image" in reason for reason in failed)
