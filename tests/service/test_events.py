"""Events of finished jobs and loops, kept with the change that they tell of."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from trueground.service.engine import (
    answering,
    events,
    flow_definitions,
    human_loops,
    human_task_uis,
    jobs,
    leasing,
)
from trueground.service.engine.finisher import Finisher
from trueground.service.engine.loop_ends import LoopEnds
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import data_objects
from trueground.service.store.tables import events as table
from trueground.storage import file_uri


def kept(store: Database, settings: ServiceSettings) -> list[dict[str, Any]]:
    with store.read() as connection:
        return [events.envelope(settings, row) for row in connection.execute(select(table).order_by(table.c.id))]


def test_a_finished_job_leaves_one_event_as_eventbridge_shapes_it(
    store: Database,
    settings: ServiceSettings,
    people: Callable[[int], list[str]],
    stored_job: Callable[..., str],
    answer_all: Callable[..., int],
) -> None:
    stored_job(objects=2)
    assert kept(store, settings) == []
    answer_all(store, "animals", people(1)[0])
    for _ in range(3):
        Finisher(store, settings.storage(), settings).tick()
    (event,) = kept(store, settings)
    assert event.pop("id").count("-") == 4
    assert event.pop("time").endswith("Z")
    assert event == {
        "version": "0",
        "detail-type": "SageMaker Ground Truth Labeling Job State Change",
        "source": "aws.sagemaker",
        "account": "000000000000",
        "region": "us-east-1",
        "resources": ["arn:aws:sagemaker:us-east-1:000000000000:labeling-job/animals"],
        "detail": {"LabelingJobStatus": "Completed"},
    }


def test_failed_and_stopped_jobs_leave_theirs(
    store: Database, settings: ServiceSettings, stored_job: Callable[..., str]
) -> None:
    finisher = Finisher(store, settings.storage(), settings)
    stored_job("a")
    with store.write() as connection:
        connection.execute(update(data_objects).values(state="failed", free=0, failure_reason="unreadable"))
    finisher.tick()
    stored_job("b")
    jobs.stop_job(store, "b")
    finisher.tick()
    told = [(event["resources"][0].rpartition("/")[2], event["detail"]) for event in kept(store, settings)]
    assert told == [("a", {"LabelingJobStatus": "Failed"}), ("b", {"LabelingJobStatus": "Stopped"})]


def test_an_event_is_not_kept_where_its_change_is_undone(store: Database, settings: ServiceSettings) -> None:
    from trueground.service.store.database import now

    with pytest.raises(RuntimeError), store.write() as connection:
        events.record(connection, resource="labeling-job/x", detail_type=events.LABELING_JOB, detail={}, at=now())
        raise RuntimeError
    assert kept(store, settings) == []


def test_a_human_loop_that_ends_leaves_its_event(
    store: Database, settings: ServiceSettings, people: Callable[[int], list[str]]
) -> None:
    template = {"Content": "<crowd-form>{{ task.input.words }}<input name='q'></crowd-form>"}
    ui = human_task_uis.create_ui(store, settings, {"HumanTaskUiName": "words-ui", "UiTemplate": template})
    request = {
        "FlowDefinitionName": "words",
        "HumanLoopConfig": {
            "WorkteamArn": settings.arn("workteam/private-crowd/annotators"),
            "HumanTaskUiArn": ui,
            "TaskTitle": "Check",
            "TaskDescription": "Check it.",
            "TaskCount": 1,
        },
        "OutputConfig": {"S3OutputPath": file_uri(settings.data_root / "reviews")},
        "RoleArn": "arn:aws:iam::000000000000:role/labeling",
    }
    flow = flow_definitions.create_flow(store, settings.storage(), settings, request)
    start = {"HumanLoopName": "one", "FlowDefinitionArn": flow, "HumanLoopInput": {"InputContent": '{"words": "a"}'}}
    human_loops.start_loop(store, settings, start)
    lease = leasing.next_assignment(store, people(1)[0])
    assert lease is not None
    answering.submit_answer(store, lease.id, lease.worker_id, {"x": "a"}, 1.0)
    LoopEnds(store, settings.storage(), settings).tick()
    (event,) = kept(store, settings)
    assert event["detail-type"] == "SageMaker A2I HumanLoop Status Change"
    assert event["resources"] == [settings.arn("human-loop/one")]
    detail = event["detail"]
    assert detail["humanLoopStatus"] == "Completed" and detail["flowDefinitionArn"] == flow
    assert detail["failureCode"] is None and detail["creationTime"].endswith("Z")
    output = detail["humanLoopOutput"]["outputS3Uri"]
    assert json.loads(settings.storage().read_bytes(output))["humanLoopName"] == "one"
