"""What the tests of the public workforce share: the service with a Mechanical Turk beside it, and its workers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from html import unescape
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from tests.service.mturk_server import MTurkServer, mturk_server
from tests.service.running import RunningService, _running_service
from trueground.service.engine import jobs, public_workers
from trueground.service.engine.mturk import PublicWork
from trueground.service.security import SecretBox
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import answers, labeling_jobs, public_tasks

PUBLIC = "arn:aws:sagemaker:us-east-1:394669845002:workteam/public-crowd/default"
PRICE = {"AmountInUsd": {"Dollars": 0, "Cents": 3, "TenthFractionsOfACent": 6}}
FREE = ["FreeOfPersonallyIdentifiableInformation", "FreeOfAdultContent"]
ANSWER = {"crowd-image-classifier": {"label": "dog"}}
ADA, BEN = "A1ADALOVELACE", "A2BENJAMIN"


@pytest.fixture
def turk(monkeypatch: pytest.MonkeyPatch) -> Iterator[MTurkServer]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    with mturk_server() as server:
        yield server


@pytest.fixture
def public_settings(settings: ServiceSettings, turk: MTurkServer) -> ServiceSettings:
    return replace(settings, mturk_endpoint=turk.url, public_url="https://labels.example.org", poll_interval=0.05)


@pytest.fixture
def public_service(public_settings: ServiceSettings) -> Iterator[RunningService]:
    with _running_service(public_settings) as service:
        yield service


@pytest.fixture
def public_request(job_request: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A request for a job of the public workforce; classifiers replace those that it states."""

    def make(objects: int = 1, workers: int = 1, classifiers: list[str] = FREE, **members: Any) -> dict[str, Any]:
        members = {"WorkteamArn": PUBLIC, "PublicWorkforceTaskPrice": PRICE, **members}
        request = job_request("animals", objects, workers, **members)
        request["InputConfig"]["DataAttributes"] = {"ContentClassifiers": classifiers}
        return request

    return make


@pytest.fixture
def work(store: Database, public_settings: ServiceSettings) -> PublicWork:
    """What the background thread does, step by step, on both databases."""
    return PublicWork(store, public_settings, SecretBox.load(public_settings.home))


@pytest.fixture
def public_job(
    store: Database, public_settings: ServiceSettings, public_request: Callable[..., dict[str, Any]]
) -> Callable[..., None]:
    def make(*args: Any, **options: Any) -> None:
        jobs.create_job(store, public_settings.storage(), public_settings, public_request(*args, **options))

    return make


def task_of(db: Database, position: int = 0) -> public_workers.PublicTask:
    with db.read() as connection:
        job_id = connection.scalar(select(labeling_jobs.c.id))
    return public_workers.public_task(db, job_id, position)  # type: ignore[arg-type]


def label(work: PublicWork, db: Database, turk: MTurkServer, worker: str, position: int = 0) -> str:
    """A worker accepts, answers and hands in; the id of their assignment at Mechanical Turk."""
    task = task_of(db, position)
    assert task.hit_id is not None
    accepted = turk.accept(task.hit_id, worker)
    hand_in(work, db, worker, position)
    turk.submit(accepted)
    return accepted


def hand_in(work: PublicWork, db: Database, worker: str, position: int = 0) -> None:
    worker_id = public_workers.worker_of(db, work._box, worker)
    place = public_workers.take(db, worker_id, task_of(db, position))
    assert place.lease is not None
    public_workers.hand_in(db, place.lease.id, worker_id, ANSWER, 2.0)


def look_again(db: Database) -> None:
    """Some minutes pass, after which HITs are looked at again of which nobody handed anything in here."""
    with db.write() as connection:
        connection.execute(update(public_tasks).values(checked_at=now() - timedelta(minutes=6)))


def given(db: Database) -> list[Any]:
    with db.read() as connection:
        return list(connection.execute(select(answers)).all())


def states(db: Database) -> list[str]:
    with db.read() as connection:
        return list(connection.scalars(select(public_tasks.c.state).order_by(public_tasks.c.position)))


@pytest.fixture
def page(public_service: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=public_service.url) as client:
        yield client


def made(service: RunningService, turk: MTurkServer, request: dict[str, Any]) -> str:
    """Create the job and wait for its HIT."""
    service.client().create_labeling_job(**request)
    end = time.monotonic() + 10
    while not turk.hits or "wanted" in states(service.db):
        assert time.monotonic() < end
        time.sleep(0.05)
    return next(iter(turk.hits))


def data(text: str, name: str) -> str:
    return unescape(re.search(rf'{name}="([^"]*)"', text)[1])  # type: ignore[index]
