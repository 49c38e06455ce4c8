"""Objects are made ready for people ahead of them, one by one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Row, select, update

from trueground.errors import AccessError, UnavailableError
from trueground.service.engine import answering, leasing, progress
from trueground.service.engine.finisher import Finisher
from trueground.service.engine.function_calls import FunctionFailed
from trueground.service.engine.preparation import Preparer, needs_people
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import data_objects, labeling_jobs
from trueground.storage import Storage

LOCAL = "arn:aws:lambda:us-east-1:000000000000:function:"
ANSWER = {"crowd-image-classifier": {"label": "dog"}}


def objects(store: Database) -> list[Row[Any]]:
    with store.read() as connection:
        return list(connection.execute(select(data_objects).order_by(data_objects.c.position)).all())


def states(store: Database) -> list[str]:
    return [row.state for row in objects(store)]


def prepare(store: Database, settings: ServiceSettings, storage: Storage | None = None) -> None:
    Preparer(store, storage or settings.storage(), settings).tick()


def test_a_function_of_ones_own_makes_what_the_template_sees(
    store: Database, settings: ServiceSettings, stored_job: Callable[..., str], own_functions: Callable[..., None],
    people: Callable[[int], list[str]],
) -> None:  # fmt: skip
    events = []

    def prepare_text(event: dict[str, Any]) -> dict[str, Any]:
        events.append(event)
        return {"taskInput": {"taskObject": event["dataObject"]["source"].upper(), "labels": ["a"]}}

    own_functions(prepare=prepare_text)
    line = {"source": "a text", "hint": {"deep": [1, "ü"]}}
    stored_job("texts", [line], workers=2, PreHumanTaskLambdaArn=LOCAL + "prepare")
    (worker,) = people(1)
    assert leasing.next_assignment(store, worker, "texts") is None
    Finisher(store, settings.storage(), settings).tick()
    assert states(store) == ["unprepared"]
    prepare(store, settings)
    assert events == [
        {
            "version": "2018-10-16",
            "labelingJobArn": "arn:aws:sagemaker:us-east-1:000000000000:labeling-job/texts",
            "dataObject": line,
        }
    ]
    lease = leasing.next_assignment(store, worker, "texts")
    assert lease is not None
    assert progress.task_view(store, lease.id, worker).task_input == {"taskObject": "A TEXT", "labels": ["a"]}
    (row,) = objects(store)
    assert row.free == 1 and row.wanted == 2


def test_each_object_ends_as_its_function_says(
    store: Database, settings: ServiceSettings, stored_job: Callable[..., str], own_functions: Callable[..., None]
) -> None:
    def choose(event: dict[str, Any]) -> Any:
        kind = event["dataObject"]["source"]
        if kind == "raises":
            raise LookupError("unknown customer")
        if kind == "unspeakable":
            raise LookupError("\0 \ud800")
        return {
            "plain": {"taskInput": {}},
            "not needed": {"isHumanAnnotationRequired": False},
            "text": {"taskInput": {}, "humanAnnotationRequired": "false"},
            "empty": {},
            "list": [],
        }[kind]

    own_functions(choose=choose)
    kinds = ["plain", "not needed", "text", "empty", "list", "raises", "unspeakable"]
    stored_job("texts", [{"source": kind} for kind in kinds], PreHumanTaskLambdaArn=LOCAL + "choose")
    prepare(store, settings)
    rows = objects(store)
    assert [row.state for row in rows] == ["waiting", "not-required", "not-required"] + ["failed"] * 4
    assert [row.free for row in rows] == [1, 0, 0, 0, 0, 0, 0]
    assert "no taskInput" in rows[3].failure_reason and "no object" in rows[4].failure_reason
    assert rows[5].failure_reason == "the function 'choose' failed: LookupError: unknown customer"
    assert rows[6].failure_reason == "the function 'choose' failed: LookupError: ? ?"


@pytest.mark.parametrize(
    ("response", "needed"),
    [
        ({"taskInput": {}}, True),
        ({"taskInput": {}, "isHumanAnnotationRequired": True}, True),
        ({"taskInput": {}, "humanAnnotationRequired": "true"}, True),
        ({"taskInput": {}, "isHumanAnnotationRequired": "False"}, False),
        ({"humanAnnotationRequired": False}, False),
    ],
)
def test_both_spellings_of_the_flag_are_taken(response: dict[str, Any], needed: bool) -> None:
    assert needs_people(response) is needed


@pytest.mark.parametrize("response", [None, "x", {"taskInput": "x"}, {"taskInput": {}, "isHumanAnnotationRequired": 1}])
def test_another_response_fails_the_object(response: Any) -> None:
    with pytest.raises(FunctionFailed):
        needs_people(response)


def test_objects_are_prepared_in_order_and_not_further_ahead_than_asked(
    store: Database, settings: ServiceSettings, stored_job: Callable[..., str], own_functions: Callable[..., None],
    people: Callable[[int], list[str]],
) -> None:  # fmt: skip
    own_functions(prepare=lambda event: {"taskInput": {}})
    lines = [{"source": str(number)} for number in range(12)]
    stored_job("texts", lines, PreHumanTaskLambdaArn=LOCAL + "prepare", MaxConcurrentTaskCount=4)
    prepare(store, settings)
    assert states(store) == ["waiting"] * 4 + ["unprepared"] * 8
    (worker,) = people(1)
    for _ in range(2):
        lease = leasing.next_assignment(store, worker, "texts")
        assert lease is not None
        answering.submit_answer(store, lease.id, worker, ANSWER, 1.0)
    prepare(store, settings)
    assert states(store) == ["answered"] * 2 + ["waiting"] * 4 + ["unprepared"] * 6


def test_a_slow_function_keeps_nobody_from_what_is_ready(
    service: Any, make_job: Callable[..., str], own_functions: Callable[..., None]
) -> None:
    held = threading.Event()

    def prepare_text(event: dict[str, Any]) -> Any:
        if event["dataObject"]["source"] == "0":
            held.wait(20)
        return {"taskInput": event["dataObject"]}

    own_functions(prepare=prepare_text)
    lines = [{"source": str(number)} for number in range(30)]
    make_job("texts", lines, PreHumanTaskLambdaArn=LOCAL + "prepare")
    worker = service.add_worker("ann")
    answered = 0
    try:
        for _ in range(200):
            answered += service.answer("texts", worker)
            if answered == 29:
                break
            threading.Event().wait(0.05)
        assert answered == 29
    finally:
        held.set()
    for _ in range(200):
        answered += service.answer("texts", worker)
        if answered == 30:
            break
        threading.Event().wait(0.05)
    service.wait_for("texts", "Completed")


class Files(Storage):
    """S3 as a test wants it: ``there`` are the files, ``away`` says that it cannot be reached."""

    def __init__(self, root: Any) -> None:
        super().__init__(root)
        self.there: set[str] = set()
        self.forbidden: set[str] = set()
        self.away = False

    def size(self, uri: str) -> int:
        if not uri.startswith("s3://"):
            return super().size(uri)
        if self.away:
            raise UnavailableError("S3 cannot be reached", file=uri)
        if uri in self.forbidden:
            raise AccessError("access to S3 is denied", file=uri)
        if uri not in self.there:
            raise FileNotFoundError(uri)
        return 1


def test_a_file_that_is_not_on_s3_fails_its_object_before_anybody_gets_it(
    store: Database, settings: ServiceSettings, stored_job: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trueground.service.engine import preparation

    monkeypatch.setattr(preparation, "PAUSE", 0.0)
    stored_job("pictures", [{"source-ref": f"s3://bucket/{name}.png"} for name in ("there", "gone", "secret")])
    files = Files(settings.data_root)
    files.there, files.forbidden = {"s3://bucket/there.png"}, {"s3://bucket/secret.png"}
    preparer = Preparer(store, files, replace(settings, poll_interval=0.01))
    files.away = True
    preparer._begin()
    while preparer._under_way:
        from concurrent.futures import wait

        done, _ = wait(preparer._under_way)
        preparer._keep(done)
    assert states(store) == ["unprepared"] * 3
    files.away = False
    preparer.tick()
    rows = objects(store)
    assert [row.state for row in rows] == ["waiting", "failed", "failed"] and rows[0].task_input is None
    assert rows[1].failure_reason == "there is no file s3://bucket/gone.png."
    assert "s3://bucket/secret.png: access to S3 is denied" in rows[2].failure_reason


def test_what_was_not_prepared_when_a_job_is_stopped_stays_as_it_was(
    store: Database, settings: ServiceSettings, stored_job: Callable[..., str], own_functions: Callable[..., None]
) -> None:
    from trueground.service.engine.jobs import stop_job

    own_functions(prepare=lambda event: {"taskInput": {}})
    stored_job("texts", [{"source": "x"}], PreHumanTaskLambdaArn=LOCAL + "prepare")
    stop_job(store, "texts")
    Finisher(store, settings.storage(), settings).tick()
    prepare(store, settings)
    assert states(store) == ["withheld"]
    with store.read() as connection:
        assert connection.scalar(select(labeling_jobs.c.status)) == "Stopped"
    written = (settings.data_root / "out/texts/manifests/output/output.manifest").read_text()
    assert json.loads(written) == {"source": "x"}


def test_an_object_that_lacks_what_its_task_type_needs_fails(
    store: Database, settings: ServiceSettings, stored_job: Callable[..., str]
) -> None:
    stored_job(objects=1)
    with store.write() as connection:
        connection.execute(update(data_objects).values(state="unprepared", free=0, line='{"source": "pushed"}'))
    prepare(store, settings)
    (row,) = objects(store)
    assert (row.state, row.failure_reason) == ("failed", "the task type needs the key 'source-ref'")


def test_each_job_gets_its_turn(
    store: Database, settings: ServiceSettings, stored_job: Callable[..., str], own_functions: Callable[..., None]
) -> None:
    held = threading.Event()

    def prepare_text(event: dict[str, Any]) -> Any:
        if event["dataObject"]["source"].startswith("slow"):
            held.wait(20)
        return {"taskInput": {}}

    own_functions(prepare=prepare_text)
    stored_job("slow", [{"source": f"slow {n}"} for n in range(30)], PreHumanTaskLambdaArn=LOCAL + "prepare")
    stored_job("quick", [{"source": f"quick {n}"} for n in range(30)], PreHumanTaskLambdaArn=LOCAL + "prepare")
    preparer = Preparer(store, settings.storage(), settings)
    thread = threading.Thread(target=preparer.tick)
    thread.start()
    try:
        for _ in range(200):
            if [row.state for row in objects(store) if "quick" in row.line] == ["waiting"] * 30:
                break
            threading.Event().wait(0.05)
        else:
            raise AssertionError("the quick job waits for the slow one")
    finally:
        held.set()
        thread.join()
    assert set(states(store)) == {"waiting"}
