"""Triggers and operators that need no running Airflow."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.thorough


def test_triggers_come_back_from_what_they_serialize() -> None:
    from airflow.sdk.module_loading import import_string
    from operators.triggers import DescribedWorkTrigger, HumanLoopsTrigger, LabelingJobTrigger, StartedLoopsTrigger

    started = {"flow_definition": "arn", "prefix": "a-", "created_after": "2026-01-02T03:04:05+00:00"}
    work = {
        "operation": "describe_training_job",
        "request": {"TrainingJobName": "a"},
        "status": "s",
        "over": ["Failed"],
    }
    for trigger in (
        LabelingJobTrigger(job_name="a", connection="c", poll_interval=2.0),
        HumanLoopsTrigger(human_loops=["a", "b"], connection="c", poll_interval=2.0),
        StartedLoopsTrigger(**started, connection="c", poll_interval=2.0),
        DescribedWorkTrigger(**work, connection="c", poll_interval=2.0),
    ):
        path, fields = trigger.serialize()
        again = import_string(path)(**fields)
        assert type(again) is type(trigger)
        assert again.serialize() == (path, fields)


def test_the_sensor_waits_for_one_thing_only() -> None:
    from operators.human_review import HumanReviewSensor

    with pytest.raises(ValueError, match="one of the two"):
        HumanReviewSensor(task_id="wait")
    with pytest.raises(ValueError, match="one of the two"):
        HumanReviewSensor(task_id="wait", labeling_job="a", human_loops=["b"])


def test_no_human_loops_means_no_wait() -> None:
    from operators.human_review import HumanReviewSensor

    assert HumanReviewSensor(task_id="wait", human_loops=[]).execute({}) == {"human_loops": {}}
