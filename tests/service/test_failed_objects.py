"""An object that fails is set aside, and the job goes on; unless something is wrong with all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Row, select, update

from trueground.service.engine import accounts, answering, leasing
from trueground.service.engine.finisher import Finisher
from trueground.service.engine.preparation import Preparer
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import data_objects, labeling_jobs

MakeJob = Callable[..., str]
People = Callable[[int], list[str]]


def fail(store: Database, positions: range, reason: str = "all workers declined it") -> None:
    with store.write() as connection:
        connection.execute(
            update(data_objects)
            .where(data_objects.c.position.between(positions.start, positions.stop - 1))
            .values(state="failed", free=0, failure_reason=reason)
        )


def tick(store: Database, settings: ServiceSettings) -> Row[Any]:
    Finisher(store, settings.storage(), settings).tick()
    with store.read() as connection:
        return connection.execute(select(labeling_jobs)).one()


def manifest(settings: ServiceSettings) -> list[dict[str, Any]]:
    text = (settings.data_root / "out/animals/manifests/output/output.manifest").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_failed_object_is_set_aside_with_its_reason(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, answer_all: Callable[..., int]
) -> None:
    stored_job(objects=20)
    fail(store, range(2))
    (worker,) = people(1)
    assert tick(store, settings).status == "InProgress"
    assert answer_all(store, "animals", worker) == 18
    assert tick(store, settings).status == "Completed"
    lines = manifest(settings)
    assert lines[0]["animal-metadata"]["failure-reason"] == "all workers declined it" and "animal" not in lines[0]
    assert lines[0]["number"] == 0 and lines[2]["animal"] == 1


@pytest.mark.parametrize("declines", ["first", "last"])
def test_an_object_is_done_once_everybody_answered_or_declined_it(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, declines: str
) -> None:
    ann, bob, _ = people(3)
    accounts.disable(store, "worker-2")
    stored_job(objects=1, workers=3)
    anns, bobs = leasing.next_assignment(store, ann), leasing.next_assignment(store, bob)
    assert anns is not None and bobs is not None
    if declines == "first":
        answering.decline(store, bobs.id, bob, "too dark")
    answering.submit_answer(store, anns.id, ann, {"crowd-image-classifier": {"label": "dog"}}, 1.0)
    if declines == "last":
        answering.decline(store, bobs.id, bob, "too dark")
    assert tick(store, settings).status == "Completed" and manifest(settings)[0]["animal"] == 1
    with store.read() as connection:
        assert connection.scalar(select(data_objects.c.free)) == 0


@pytest.mark.parametrize(
    ("objects", "failed", "first"),
    [(20, range(3), 20), (10, range(7, 10), 10), (300, range(80, 91), 100)],
)
def test_a_job_stops_when_more_than_a_tenth_of_its_first_objects_fail(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, answer_all: Callable[..., int],
    objects: int, failed: range, first: int,
) -> None:  # fmt: skip
    stored_job(objects=objects)
    (worker,) = people(1)
    answer_all(store, "animals", worker, most=2)
    fail(store, failed, "the disk is full")
    fail(store, range(failed.start, failed.start + 1), "something else")
    job = tick(store, settings)
    assert job.status == "Failed"
    assert job.failure_reason == (
        f"{len(failed)} of the first {first} data objects failed, more than a tenth. "
        f"The most frequent reason ({len(failed) - 1} times): the disk is full"
    )
    assert answer_all(store, "animals", worker) == 0
    # What was answered before is not lost.
    answered = 2 if failed.start else 0
    assert sum("class-name" in line.get("animal-metadata", {}) for line in manifest(settings)) == answered
    assert sum("failure-reason" in line.get("animal-metadata", {}) for line in manifest(settings)) == len(failed)


@pytest.mark.parametrize(("objects", "failed"), [(20, range(2)), (9, range(8)), (300, range(100, 290))])
def test_a_job_goes_on_where_fewer_or_later_objects_fail_or_it_is_small(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, answer_all: Callable[..., int],
    objects: int, failed: range,
) -> None:  # fmt: skip
    stored_job(objects=objects)
    fail(store, failed)
    (worker,) = people(1)
    assert tick(store, settings).status == "InProgress"
    assert answer_all(store, "animals", worker) == objects - len(failed)
    assert tick(store, settings).status == "Completed"


def test_a_job_whose_function_always_fails_is_stopped_and_says_why(
    store: Database, settings: ServiceSettings, stored_job: MakeJob, own_functions: Callable[..., None]
) -> None:
    def broken(event: dict[str, Any]) -> Any:
        raise KeyError("customer")

    own_functions(broken=broken)
    local = "arn:aws:lambda:us-east-1:000000000000:function:broken"
    stored_job(objects=40, PreHumanTaskLambdaArn=local, MaxConcurrentTaskCount=10)
    preparer = Preparer(store, settings.storage(), settings)
    preparer.tick()
    job = tick(store, settings)
    assert job.status == "Failed" and "KeyError: 'customer'" in job.failure_reason


def test_a_job_of_which_every_object_failed_is_failed_with_the_most_frequent_reason(
    store: Database, settings: ServiceSettings, stored_job: MakeJob
) -> None:
    stored_job(objects=3)
    fail(store, range(3), "declined")
    fail(store, range(1), "unreadable")
    job = tick(store, settings)
    assert (job.status, job.failure_reason) == ("Failed", "declined")
