"""Operators for human loops, against the real service."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.plugins.conftest import first_event
from tests.service.running import RunningService
from trueground.service.engine import answering, leasing, reviews
from trueground.service.engine.origins import Origin
from trueground.storage import file_uri

pytestmark = pytest.mark.thorough

TEMPLATE = """<crowd-form>
  <crowd-text-area name="text" value="{{ task.input.taskObject }}"></crowd-text-area>
</crowd-form>
"""
CONTEXT: Any = {"dag_run": SimpleNamespace(run_after=datetime.now(UTC))}


@pytest.fixture
def flow(service: RunningService, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> str:
    """A flow definition made by the operators."""
    connect(service.url, service.credentials)
    monkeypatch.setenv("TRUEGROUND_DATA_ROOT", str(service.data_root))
    return make_flow(service)


def make_flow(service: RunningService, title: str = "Check the text") -> str:
    from operators.human_loops import CreateFlowDefinitionOperator, CreateHumanTaskUiOperator

    ui = CreateHumanTaskUiOperator(task_id="ui", name="Texts", template=TEMPLATE).execute(CONTEXT)
    arn: str = CreateFlowDefinitionOperator(
        task_id="flow",
        name="Texts",
        human_task_ui=ui,
        team="annotators",
        title=title,
        description="Correct what is wrong.",
        output_path=file_uri(service.data_root / "reviews"),
        settings={"TaskTimeLimitInSeconds": 60},
    ).execute(CONTEXT)
    return arn


def write_file(service: RunningService, contents: dict[str, Any]) -> str:
    file = service.data_root / "loops.jsonl"
    file.write_text("".join(json.dumps({"id": key, "content": value}) + "\n" for key, value in contents.items()))
    return file_uri(file)


def start(flow: str, file: str, shard: int = 0, shards: int = 1) -> dict[str, Any]:
    from operators.human_loops import StartHumanLoopsOperator

    operator = StartHumanLoopsOperator(
        task_id="start", flow_definition=flow, file=file, name="texts", run_name="night", shard=shard, shards=shards
    )
    found: dict[str, Any] = operator.execute(CONTEXT)
    return found


def loops(service: RunningService, flow: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.client("sagemaker-a2i-runtime").list_human_loops(FlowDefinitionArn=flow)[
        "HumanLoopSummaries"
    ]
    return found


def answer_all(service: RunningService, flow: str, worker: str) -> None:
    service.db.version += 1
    while (lease := leasing.next_assignment(service.db, worker, flow.rpartition("/")[2])) is not None:
        answering.submit_answer(service.db, lease.id, worker, {"text": "seen"}, 0.5)


def test_the_same_content_makes_one_flow_definition_and_another_another(service: RunningService, flow: str) -> None:
    assert make_flow(service) == flow
    other = make_flow(service, "Check it again")
    assert other != flow
    arns = {item["FlowDefinitionArn"] for item in service.client().list_flow_definitions()["FlowDefinitionSummaries"]}
    assert arns == {flow, other}
    assert len(service.client().list_human_task_uis()["HumanTaskUiSummaries"]) == 1


def test_a_template_that_nobody_could_work_with_is_refused_before_it_is_sent(
    service: RunningService, flow: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from airflow.sdk.exceptions import AirflowFailException
    from operators.human_loops import CreateHumanTaskUiOperator

    broken = TEMPLATE.replace("crowd-text-area", "crowd-textarea")
    with pytest.raises(AirflowFailException, match=r"template of Broken:2: <crowd-textarea> .* <crowd-text-area>\?"):
        CreateHumanTaskUiOperator(task_id="ui", name="Broken", template=broken).execute(CONTEXT)
    doubtful = TEMPLATE.replace("</crowd-form>", '<img src="http://example.org/x.png"></crowd-form>')
    CreateHumanTaskUiOperator(task_id="ui", name="Doubtful", template=doubtful).execute(CONTEXT)
    assert "the image http://example.org/x.png is not shown" in capsys.readouterr().out
    # The service says the same to whoever asks it directly.
    client = service.client()
    with pytest.raises(client.exceptions.ClientError, match=r"UiTemplate\.Content: <crowd-textarea>") as caught:
        client.create_human_task_ui(HumanTaskUiName="broken", UiTemplate={"Content": broken})
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_shards_start_a_loop_an_object_and_a_repeated_task_starts_none(service: RunningService, flow: str) -> None:
    file = write_file(service, {f"text {number}": {"taskObject": f"word {number}"} for number in range(25)})
    parts = [start(flow, file, shard, 2) for shard in (0, 1)]
    assert [part["loops"] for part in parts] == [13, 12]
    assert parts[0]["prefix"] == parts[1]["prefix"]
    names = {loop["HumanLoopName"] for loop in loops(service, flow)}
    assert len(names) == 25
    assert all(name.startswith(parts[0]["prefix"]) and len(name) <= 63 for name in names)
    start(flow, file)
    assert {loop["HumanLoopName"] for loop in loops(service, flow)} == names


def test_a_start_that_died_half_way_goes_on_though_some_loops_are_over(service: RunningService, flow: str) -> None:
    contents = {f"text {number}": {"taskObject": f"word {number}"} for number in range(10)}
    start(flow, write_file(service, dict(list(contents.items())[:4])))
    answer_all(service, flow, service.add_worker("ada"))
    assert start(flow, write_file(service, contents))["loops"] == 10
    assert len(loops(service, flow)) == 10


def test_another_content_for_an_object_of_the_same_run_is_refused(service: RunningService, flow: str) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    start(flow, write_file(service, {"one": {"taskObject": "word"}}))
    with pytest.raises(AirflowFailException, match="object 'one' was started in this run with another input"):
        start(flow, write_file(service, {"one": {"taskObject": "another"}}))


def test_a_line_that_is_no_loop_is_named(service: RunningService, flow: str, tmp_path: Path) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    file = service.data_root / "wrong.jsonl"
    file.write_text('{"id": "a", "content": {}}\n{"id": "b"}\n')
    with pytest.raises(AirflowFailException, match=r"wrong.jsonl:2: a line is"):
        start(flow, file_uri(file))


def test_one_trigger_waits_for_all_loops_of_a_run_and_for_no_others(service: RunningService, flow: str) -> None:
    from airflow.sdk.exceptions import TaskDeferred
    from operators.human_review import HumanReviewSensor

    file = write_file(service, {f"text {number}": {"taskObject": "word"} for number in range(230)})
    parts = [start(flow, file, shard, 2) for shard in (0, 1)]
    sensor = HumanReviewSensor(task_id="wait", human_loops=parts, poll_interval=0.1)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})
    worker = service.add_worker("ada")
    threading.Timer(0.5, answer_all, (service, flow, worker)).start()
    event = asyncio.run(asyncio.wait_for(first_event(deferred.value.trigger), 60))
    assert all(loop["HumanLoopStatus"] == "Completed" for loop in loops(service, flow))
    assert sensor.resume({}, event) == {**parts[0], "loops": 230}
    # Loops of another run are open, and nobody waits for them.
    other = service.client("sagemaker-a2i-runtime")
    other.start_human_loop(HumanLoopName="other", FlowDefinitionArn=flow, HumanLoopInput={"InputContent": "{}"})
    assert asyncio.run(asyncio.wait_for(first_event(deferred.value.trigger), 60)) == event


def test_loops_say_which_task_started_them_and_what_may_not_work_is_logged(
    service: RunningService, flow: str, caplog: pytest.LogCaptureFixture
) -> None:
    from operators.human_loops import StartHumanLoopsOperator

    file = write_file(service, {"a": {"taskObject": "one"}, "b": {"taskObject": "two"}})
    ti = SimpleNamespace(dag_id="review", run_id="night 1", task_id="loops.start", map_index=2)
    operator = StartHumanLoopsOperator(task_id="start", flow_definition=flow, file=file, name="texts", run_name="night")
    operator.execute({**CONTEXT, "ti": ti})
    (found,) = reviews.reviews_of_task(service.db, Origin("review", "night 1", "loops.start", "2"))
    assert (found.progress.objects, found.progress.status) == (2, "InProgress")
    assert [origin.run for origin in found.runs] == ["night 1"]
    # The team has no members: AWS would take the flow definition without a word, and so it is made.
    make_flow(service, "Another title")
    assert "had no members" in caplog.text
