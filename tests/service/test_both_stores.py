"""The whole service on SQLite and on PostgreSQL, and its files on this machine and on S3."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from sqlalchemy import select

from tests.moto_server import MotoServer, serve_s3
from tests.service.running import RunningService
from trueground.service.engine import answering, jobs, leasing, progress
from trueground.service.engine.errors import Closed, InUse
from trueground.service.engine.finisher import Finisher
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import answers, data_objects, labeling_jobs
from trueground.storage import Storage

ANSWER = {"crowd-image-classifier": {"label": "dog"}}
RunService = Callable[[ServiceSettings], Any]
MakeRequest = Callable[..., dict[str, Any]]


def test_a_job_runs_from_creation_to_output(
    store_url: str, settings: ServiceSettings, running_service: RunService, job_request: MakeRequest
) -> None:
    with running_service(replace(settings, store_url=store_url)) as service:
        workers = [service.add_worker(f"worker-{number}") for number in range(3)]
        client = service.client()
        tags = [{"Key": "trueground:run", "Value": "manual__2026-11-23"}]
        client.create_labeling_job(**job_request("animals", objects=6, workers=2, MaxConcurrentTaskCount=4, Tags=tags))
        client.create_labeling_job(**job_request("Zebras", objects=2))
        while any([service.answer("animals", worker) for worker in workers]):
            pass
        job = service.wait_for("animals", "Completed")
        assert job["LabelCounters"]["HumanLabeled"] == 6 and job["Tags"] == tags
        client.stop_labeling_job(LabelingJobName="Zebras")
        service.wait_for("Zebras", "Stopped")
        pages = client.get_paginator("list_labeling_jobs").paginate(SortBy="Name", PaginationConfig={"PageSize": 1})
        listed = [job["LabelingJobName"] for page in pages for job in page["LabelingJobSummaryList"]]
        assert sorted(listed) == ["Zebras", "animals"]
        (found,) = progress.find_by_tags(service.db, {"trueground:run": "manual__2026-11-23"})
        assert (found.name, found.answers) == ("animals", 12)
        assert progress.job_progress(service.db, "animals").agreement == pytest.approx(1.0)
        with pytest.raises(ClientError, match="ResourceInUse"):
            client.create_labeling_job(**job_request("animals"))


def test_of_two_jobs_with_one_name_created_at_once_one_is_made(
    store: Database, settings: ServiceSettings, job_request: MakeRequest
) -> None:
    request = job_request("animals", objects=20)
    barrier = threading.Barrier(2)

    def create(_: int) -> str:
        barrier.wait()
        try:
            return jobs.create_job(store, settings.storage(), settings, request)
        except InUse:
            return "in use"

    with ThreadPoolExecutor(2) as pool:
        made = sorted(pool.map(create, range(2)))
    assert made[0].endswith("labeling-job/animals") and made[1] == "in use"
    with store.read() as connection:
        assert len(connection.execute(select(data_objects.c.position)).all()) == 20


def test_no_answer_that_was_taken_is_missing_from_the_output_of_a_job_stopped_under_way(
    store: Database, settings: ServiceSettings, people: Callable[[int], list[str]], stored_job: Callable[..., str]
) -> None:
    """People answer while the job ends around them: an answer is either refused or in the files."""
    crowd = people(4)
    stored_job(objects=2000, workers=2)
    at_once = replace(settings, stop_grace=0.0)
    started = threading.Semaphore(0)

    def work(worker: str) -> int:
        taken = 0
        while (lease := leasing.next_assignment(store, worker)) is not None:
            try:
                answering.submit_answer(store, lease.id, worker, ANSWER, 1.0)
            except Closed:
                break
            taken += 1
            started.release()
            time.sleep(0.005)  # or they would be done before the job is stopped
        return taken

    with ThreadPoolExecutor(len(crowd)) as pool:
        futures = [pool.submit(work, worker) for worker in crowd]
        for _ in range(20):
            assert started.acquire(timeout=20)
        finisher = Finisher(store, settings.storage(), at_once)
        finisher.tick()
        jobs.stop_job(store, "animals")
        for _ in range(3):
            finisher.tick()
        acknowledged = sum(future.result() for future in futures)
    with store.read() as connection:
        stored = Counter(row.position for row in connection.execute(select(answers.c.position)))
        states = set(connection.scalars(select(data_objects.c.state)))
        assert connection.scalar(select(labeling_jobs.c.status)) == "Stopped"
    assert sum(stored.values()) == acknowledged >= 20
    assert states == {"written", "withheld"}
    folder = settings.data_root / "out/animals/annotations/worker-response/iteration-1"
    written = {int(file.parent.name): len(json.loads(file.read_text())["answers"]) for file in folder.rglob("*.json")}
    assert written == dict(stored)


@pytest.fixture
def s3() -> Iterator[MotoServer]:
    """A real S3 server on this machine, with the bucket ``labels``."""
    with serve_s3("labels") as server:
        yield server


def test_everything_may_lie_on_s3(
    s3: MotoServer, settings: ServiceSettings, running_service: RunService, job_request: MakeRequest
) -> None:
    request = job_request("animals", objects=[{"source-ref": f"s3://labels/images/{n}.png"} for n in range(3)])
    text = json.dumps(request)
    files = Storage(s3_options=s3.options)
    for name in ("input.manifest", "template.html", "labels.json"):
        files.write_bytes(f"s3://labels/in/{name}", (settings.data_root / "in/animals" / name).read_bytes())
        text = text.replace(f"file://{settings.data_root}/in/animals/{name}", f"s3://labels/in/{name}")
    for number in range(3):
        files.write_bytes(f"s3://labels/images/{number}.png", b"a picture")
    request = json.loads(text.replace(f"file://{settings.data_root}/out", "s3://labels/out"))
    with running_service(replace(settings, s3_options=s3.options)) as service:
        worker = service.add_worker("ann")
        service.client().create_labeling_job(**request)
        # The pictures are looked for before people get them.
        answered, end = 0, time.monotonic() + 15
        while answered < 3 and time.monotonic() < end:
            answered += service.answer("animals", worker)
            time.sleep(0.05)
        job = service.wait_for("animals", "Completed")
    assert job["LabelingJobOutput"]["OutputDatasetS3Uri"] == "s3://labels/out/animals/manifests/output/output.manifest"
    lines = files.read_text(job["LabelingJobOutput"]["OutputDatasetS3Uri"]).splitlines()
    assert [json.loads(line)["animal-metadata"]["class-name"] for line in lines] == ["dog"] * 3
    responses = list(files.list("s3://labels/out/animals/annotations/worker-response/"))
    assert len(responses) == 3


def test_null_characters_are_refused_wherever_they_stand(
    store_url: str,
    settings: ServiceSettings,
    running_service: Callable[[ServiceSettings], AbstractContextManager[RunningService]],
) -> None:
    with running_service(replace(settings, store_url=store_url)) as service:
        service.add_worker("ada", role="admin")
        client = httpx.Client(base_url=service.url)
        answer = client.post("/api/session", json={"username": "ada", "password": "secret"})
        client.headers["X-CSRF-Token"] = answer.json()["csrfToken"]
        visits: list[tuple[str, str, Any]] = [
            ("POST", "/api/session", {"username": "a\0da", "password": "secret"}),
            ("POST", "/api/work/next", {"job": "a\0"}),
            ("GET", "/api/work/held?job=%00", None),
            ("GET", "/api/work/answers?job=%00", None),
            ("GET", "/api/assignments/%00/draft", None),
            ("PUT", "/api/assignments/%00/draft", {"answerContent": {}}),
            ("POST", "/api/assignments/%00/resume", None),
            ("POST", "/api/assignments/%00/answer", {"answerContent": {}}),
            ("GET", "/work/%00", None),
            ("GET", "/jobs/%00", None),
            ("GET", "/jobs/%00/people", None),
            ("GET", "/people/%00", None),
            ("GET", "/api/audit?actor=%00&act=%00", None),
        ]
        for method, path, body in visits:
            told = client.request(method, path, json=body)
            assert told.status_code < 500, (method, path, told.text)
