"""Human loops on both databases, without HTTP: races, crashes and what survives them."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select, update

from trueground.service.engine import (
    answering,
    flow_definitions,
    human_loops,
    human_task_uis,
    leasing,
    loop_ends,
)
from trueground.service.engine.errors import Conflict, InUse
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import data_objects
from trueground.storage import file_uri


@pytest.fixture
def flow(store: Database, settings: ServiceSettings) -> Callable[..., str]:
    """``flow(name, count)``: a flow definition in ``store``; returns its ARN."""

    def make(name: str = "words", count: int = 1, **human: Any) -> str:
        template = {"Content": "<crowd-form>{{ task.input.words }}<input name='q'></crowd-form>"}
        ui = human_task_uis.create_ui(store, settings, {"HumanTaskUiName": f"{name}-ui", "UiTemplate": template})
        request = {
            "FlowDefinitionName": name,
            "HumanLoopConfig": {
                "WorkteamArn": settings.arn("workteam/private-crowd/annotators"),
                "HumanTaskUiArn": ui,
                "TaskTitle": "Check",
                "TaskDescription": "Check it.",
                "TaskCount": count,
                **human,
            },
            "OutputConfig": {"S3OutputPath": file_uri(settings.data_root / "reviews")},
            "RoleArn": "arn:aws:iam::000000000000:role/labeling",
        }
        return flow_definitions.create_flow(store, settings.storage(), settings, request)

    return make


@pytest.fixture
def ends(store: Database, settings: ServiceSettings) -> loop_ends.LoopEnds:
    """What ends loops, to be called by the test."""
    return loop_ends.LoopEnds(store, settings.storage(), settings)


def _start(store: Database, settings: ServiceSettings, arn: str, name: str, text: str = "{}") -> str:
    request = {"HumanLoopName": name, "FlowDefinitionArn": arn, "HumanLoopInput": {"InputContent": text}}
    return human_loops.start_loop(store, settings, request)


def _answer(store: Database, worker: str, flow: str = "words") -> None:
    lease = leasing.next_assignment(store, worker, flow)
    assert lease is not None
    answering.submit_answer(store, lease.id, worker, {"text": worker}, 1.0)


def _path(loop: human_loops.HumanLoop) -> Path:
    assert loop.output_uri is not None
    return Path(urlsplit(loop.output_uri).path)


def test_a_loop_goes_from_its_start_to_its_output(
    store: Database, settings: ServiceSettings, people: Callable[[int], list[str]], flow: Any, ends: Any
) -> None:
    ada, ben = people(2)
    arn = flow(count=2)
    _start(store, settings, arn, "first", '{"words": "hello"}')
    _answer(store, ada)
    ends.tick()
    assert human_loops.describe_loop(store, settings, "first").status == "InProgress"
    _answer(store, ben)
    ends.tick()
    loop = human_loops.describe_loop(store, settings, "first")
    assert loop.status == "Completed"
    output = json.loads(_path(loop).read_text())
    assert [given["workerId"] for given in output["humanAnswers"]] == [ada, ben]
    human_loops.delete_loop(store, "first")
    flow_definitions.delete_flow(store, "words")


def test_starts_at_once_make_one_loop_also_over_two_flow_definitions(
    store: Database, settings: ServiceSettings, flow: Any
) -> None:
    arns = [flow("words"), flow("more")]

    def start(number: int) -> str:
        try:
            _start(store, settings, arns[number % 2], "first")
        except Conflict:
            return "conflict"
        return arns[number % 2]

    with ThreadPoolExecutor(8) as pool:
        outcomes = set(pool.map(start, range(16)))
    assert "conflict" in outcomes and len(outcomes) == 2
    with store.read() as connection:
        assert len(connection.execute(select(data_objects)).all()) == 1


def test_loops_started_at_once_stand_in_one_queue(store: Database, settings: ServiceSettings, flow: Any) -> None:
    arn = flow()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: _start(store, settings, arn, f"loop-{number}"), range(40)))
    with store.read() as connection:
        positions = connection.scalars(select(data_objects.c.position).order_by(data_objects.c.position)).all()
    assert positions == list(range(40))


def test_a_crash_after_the_output_was_written_has_the_same_bytes_written_again(
    store: Database,
    settings: ServiceSettings,
    people: Callable[[int], list[str]],
    flow: Any,
    ends: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (ada,) = people(1)
    _start(store, settings, flow(), "first")
    _answer(store, ada)
    with monkeypatch.context() as patch:
        patch.setattr(loop_ends, "_record", _crash)
        ends.tick()
    (written,) = settings.data_root.rglob("output.json")
    before = written.read_bytes()
    assert human_loops.describe_loop(store, settings, "first").status == "InProgress"
    loop_ends.LoopEnds(store, settings.storage(), settings).tick()
    loop = human_loops.describe_loop(store, settings, "first")
    assert (loop.status, _path(loop)) == ("Completed", written)
    assert written.read_bytes() == before
    written.unlink()
    loop_ends.LoopEnds(store, settings.storage(), settings).tick()
    assert not written.exists()


def _crash(*_: Any) -> None:
    raise OSError("the power is gone")


def test_an_output_that_cannot_be_written_is_tried_again(
    store: Database,
    settings: ServiceSettings,
    people: Callable[[int], list[str]],
    flow: Any,
    ends: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (ada,) = people(1)
    _start(store, settings, flow(), "first")
    _answer(store, ada)
    (settings.data_root / "reviews").write_text("a file where the folder should be")
    ends.tick()
    assert human_loops.describe_loop(store, settings, "first").status == "InProgress"
    (settings.data_root / "reviews").unlink()
    ends.tick()
    assert human_loops.describe_loop(store, settings, "first").status == "InProgress"
    clock = loop_ends.time.monotonic
    monkeypatch.setattr(loop_ends.time, "monotonic", lambda: clock() + 100)
    ends.tick()
    assert human_loops.describe_loop(store, settings, "first").status == "Completed"


def test_loops_that_expire_do_not_hold_up_those_that_do_not(
    store: Database, settings: ServiceSettings, people: Callable[[int], list[str]], flow: Any, ends: Any
) -> None:
    (ada,) = people(1)
    arn = flow(TaskAvailabilityLifetimeInSeconds=3600)
    for number in range(3):
        _start(store, settings, arn, f"loop-{number}")
    with store.write() as connection:
        past = now() - timedelta(seconds=1)
        connection.execute(update(data_objects).where(data_objects.c.position == 0).values(available_until=past))
    ends.tick()
    statuses = [human_loops.describe_loop(store, settings, f"loop-{number}").status for number in range(3)]
    assert statuses == ["Failed", "InProgress", "InProgress"]
    _answer(store, ada)
    ends.tick()
    assert human_loops.describe_loop(store, settings, "loop-1").status == "Completed"


def test_a_flow_definition_with_a_loop_under_way_is_not_deleted(
    store: Database, settings: ServiceSettings, flow: Any, ends: Any
) -> None:
    arn = flow()
    _start(store, settings, arn, "first")
    with pytest.raises(InUse):
        flow_definitions.delete_flow(store, "words")
    human_loops.stop_loop(store, "first")
    with pytest.raises(InUse):
        flow_definitions.delete_flow(store, "words")
    ends.tick()
    flow_definitions.delete_flow(store, "words")
    human_task_uis.delete_ui(store, "words-ui")
    assert flow() == arn
