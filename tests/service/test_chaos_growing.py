"""Kills while a job grows: objects are pushed into a streaming job, a model takes part of another one.

The seed is printed, and set, as in :mod:`tests.service.test_chaos`.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from botocore.awsrequest import AWSRequest
from sqlalchemy import select

from tests.service.chaos_scene import PATIENCE, Annotator, Scene, scene, wait_for
from tests.service.running import CATEGORIES, LAMBDA, PIXEL, RunningService, _job_request, read_credentials
from trueground.service.store.database import Database
from trueground.service.store.tables import answers, data_objects, label_rounds, labeling_jobs
from trueground.storage import file_uri

pytestmark = pytest.mark.slow

PEOPLE = 3
STREAM_ON_SQLITE = {"kill_service": 8, "cut_workers": 4, "tear_answers": 4}
STREAM_ON_POSTGRESQL = {
    "kill_service": 4, "kill_backend": 6, "kill_server": 1, "cut_workers": 4, "tear_answers": 4, "cut_store": 4,
}  # fmt: skip
KILLS_OF_ROUNDS = 10


@contextmanager
def under_fire(store: str, log: Path) -> Iterator[tuple[Scene, RunningService, int]]:
    """A scene with its people, and the seed; what happened is printed where it fails."""
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(10**9))
    print(f"CHAOS_SEED={seed}")
    with scene(store, seed, log) as play, closing(Database(play.settings.database_url)) as db:
        service = RunningService(play.service.url, play.settings, read_credentials(play.settings), db)
        service.add_team()
        for number in range(PEOPLE):
            service.add_worker(f"worker-{number}")
        try:
            yield play, service, seed
        except BaseException:
            print(f"happened: {dict(play.happened)}\nthe service's log ends:\n{play.service.tail()}")
            raise
        print(f"happened: {dict(play.happened)}")


@contextmanager
def at_work(annotators: list[Annotator], done: threading.Event) -> Iterator[list[Future[None]]]:
    for annotator in annotators:
        annotator.sign_in()
    with ThreadPoolExecutor(len(annotators)) as pool:
        futures = [pool.submit(annotator.work) for annotator in annotators]
        try:
            yield futures
        finally:
            done.set()
        for future in futures:
            future.result()


class Pusher:
    """Someone who pushes objects with ids, and again until the service says that it has them."""

    def __init__(self, service: RunningService, port: int, number: int, seed: int, stop: threading.Event) -> None:
        self.service, self.port, self.number, self.stop = service, port, number, stop
        self.random = random.Random(f"push {seed} {number}")
        self.acknowledged: dict[str, int] = {}
        """The position of each object that the service said it has, by id."""

    def work(self) -> None:
        count = 0
        while not self.stop.is_set():
            # Now and then one that was pushed before.
            keys = [f"{self.number}-{count + i}" for i in range(self.random.randint(1, 4))]
            count += len(keys)
            if self.acknowledged and self.random.random() < 0.3:
                keys.append(self.random.choice(list(self.acknowledged)))
            self.push(keys)
            time.sleep(self.random.random() * 0.1)

    def push(self, keys: list[str]) -> None:
        picture = file_uri(self.service.data_root / "in/animals/pixel.png")
        lines = [{"source-ref": picture, "key": key, "dataset-objectid-attribute-name": "key"} for key in keys]
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        for key, told in zip(keys, self._send(body), strict=True):
            assert told["Status"] in ("added", "duplicate"), told
            position = int(told["DatasetObjectId"])
            assert self.acknowledged.setdefault(key, position) == position, f"{key} is in the job twice"

    def _send(self, body: bytes) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{self.port}/aws/streams/animals/objects"
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            request = AWSRequest("POST", url, data=body, headers={"amz-sdk-invocation-id": secrets.token_hex(8)})
            self.service.sign(request)
            with suppress(httpx.TransportError):
                response = httpx.post(url, content=body, headers=dict(request.headers), timeout=20)
                if response.status_code < 500:
                    assert response.status_code == 200, response.text
                    objects: list[dict[str, Any]] = response.json()["Objects"]
                    return objects
            time.sleep(0.02)
        raise AssertionError("the service does not answer any more")


@pytest.mark.parametrize(
    ("store", "faults"),
    [("sqlite", STREAM_ON_SQLITE), ("postgresql", STREAM_ON_POSTGRESQL)],
    ids=["sqlite", "postgresql"],
)
def test_each_acknowledged_push_is_there_once_whatever_breaks(
    store: str, faults: dict[str, int], tmp_path: Path
) -> None:
    with under_fire(store, tmp_path / "service.log") as (play, service, seed):
        streaming = [{"Key": "trueground:streaming", "Value": "yes"}]
        request = _job_request(service.data_root, "animals", 1, 1, Tags=streaming)
        (service.data_root / "in/animals/pixel.png").write_bytes(PIXEL)
        service.client().create_labeling_job(**request)
        done, full = threading.Event(), threading.Event()
        annotators = [Annotator(play.workers_line.port, number, seed, done) for number in range(PEOPLE)]
        pushers = [Pusher(service, play.workers_line.port, number, seed, full) for number in range(2)]

        def pushed() -> int:
            return sum(len(pusher.acknowledged) for pusher in pushers)

        with at_work(annotators, done) as futures, ThreadPoolExecutor(len(pushers)) as pool:
            pushing = [pool.submit(pusher.work) for pusher in pushers]
            try:
                plan = [name for name, count in faults.items() for _ in range(count)]
                play.random.shuffle(plan)
                for name in plan:
                    due = pushed() + play.random.randint(1, 12)
                    wait_for(lambda due=due: pushed() >= due, [*futures, *pushing], f"no push before {name}")
                    getattr(play, name)()
                    play.happened[name] += 1
            finally:
                full.set()
            for one in pushing:
                one.result()
            wait_for(lambda: open_objects(service) == 0, futures, "not all that was pushed is labeled")
        service.client().stop_labeling_job(LabelingJobName="animals")
        wait_for(lambda: status(service) == "Stopped", [], "the job does not stop")
        check_pushed(service, annotators, pushers)
        assert play.kills >= sum(count for name, count in faults.items() if name.startswith("kill"))


def check_pushed(service: RunningService, annotators: list[Annotator], pushers: list[Pusher]) -> None:
    acknowledged = {key: position for pusher in pushers for key, position in pusher.acknowledged.items()}
    with service.db.read() as connection:
        query = select(data_objects.c.position, data_objects.c.dedup_key).order_by(data_objects.c.position)
        stored = connection.execute(query).all()
        objects = connection.scalar(select(labeling_jobs.c.objects))
    assert [row.position for row in stored] == list(range(len(stored))), "positions are missing or there twice"
    assert {row.dedup_key: row.position for row in stored if row.dedup_key is not None} == acknowledged
    assert objects == len(stored) == len(acknowledged) + 1  # and the manifest's
    output = service.data_root / "out/animals/manifests/output/output.manifest"
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line.get("key") for line in lines] == [row.dedup_key for row in stored]
    assert all("animal" in line for line in lines)
    check_answers(service, annotators)


def check_answers(service: RunningService, annotators: list[Annotator]) -> None:
    """Each acknowledged answer is there, once, and no object has two of them."""
    with service.db.read() as connection:
        stored = connection.execute(select(answers.c.position, answers.c.content)).all()
    marks = Counter(row.content["mark"]["mark"] for row in stored)
    assert marks == Counter(mark for annotator in annotators for mark in annotator.acknowledged.values())
    assert set(Counter(row.position for row in stored).values()) == {1}, "an object was answered twice"


def open_objects(service: RunningService) -> int:
    time.sleep(0.1)
    with service.db.read() as connection:
        query = select(data_objects.c.position).where(data_objects.c.state.not_in(("written", "labeled")))
        return len(connection.execute(query).all())


def status(service: RunningService) -> str:
    time.sleep(0.1)
    return str(service.client().describe_labeling_job(LabelingJobName="animals")["LabelingJobStatus"])


def truth(position: int) -> str:
    return CATEGORIES[position * 7 % 3]


def text_job(service: RunningService, objects: int) -> dict[str, Any]:
    """A request for automated labeling of texts that a model understands."""
    words = {"cat": "meow purr whiskers sofa", "dog": "bark leash walk bone", "bird": "sing wing nest feather"}
    randomness = np.random.default_rng(0)
    lines = [
        {"source": " ".join([*randomness.choice(words[truth(n)].split(), 6), *randomness.choice(["the", "a"], 3)])}
        for n in range(objects)
    ]
    (service.data_root / "text.html").write_text(
        "<crowd-form><crowd-classifier categories='{{ task.input.labels | to_json }}'>{{ task.input.taskObject }}"
        "</crowd-classifier></crowd-form>"
    )
    algorithm = "arn:aws:sagemaker:us-east-1:027400017018:labeling-job-algorithm-specification/text-classification"
    return _job_request(
        service.data_root,
        "animals",
        lines,
        LabelingJobAlgorithmsConfig={"LabelingJobAlgorithmSpecificationArn": algorithm},
        UiConfig={"UiTemplateS3Uri": file_uri(service.data_root / "text.html")},
        # So few objects prove no more, and some are to be left for the machine.
        Tags=[{"Key": f"trueground:auto-label-{what}", "Value": "0.8"} for what in ("accuracy", "confidence")],
        PreHumanTaskLambdaArn=LAMBDA + "PRE-TextMultiClass",
        AnnotationConsolidationConfig={"AnnotationConsolidationLambdaArn": LAMBDA + "ACS-TextMultiClass"},
    )


def test_a_job_with_automated_labeling_goes_on_wherever_in_its_rounds_it_was_killed(tmp_path: Path) -> None:
    with under_fire("sqlite", tmp_path / "service.log") as (play, service, seed):
        service.client().create_labeling_job(**text_job(service, 400))
        done = threading.Event()
        annotators = [Annotator(play.workers_line.port, number, seed, done, truth) for number in range(PEOPLE)]

        def answered() -> int:
            return sum(len(annotator.acknowledged) for annotator in annotators)

        with at_work(annotators, done) as futures:
            for number in range(KILLS_OF_ROUNDS):
                if number % 2:
                    # Within a round, where there is one: people are at it.
                    before, end = answered(), time.monotonic() + 1
                    while answered() < before + 8 and time.monotonic() < end:
                        time.sleep(0.002)
                else:
                    # While one is settled and the next planned, where no answer comes.
                    time.sleep(play.random.random() * 1.5)
                play.kill_service()
                play.happened["kill_service"] += 1
            wait_for(lambda: status(service) == "Completed", futures, "the job does not complete")
        check_answers(service, annotators)
        check_rounds(service, answered())
        assert play.kills == KILLS_OF_ROUNDS


def check_rounds(service: RunningService, asked: int) -> None:
    """Whom a round asked is answered by people, what it proposed by the machine, and nothing by both."""
    with service.db.read() as connection:
        objects = connection.execute(select(data_objects.c.position, data_objects.c.state, data_objects.c.iteration))
        machine = {row.position for row in objects if row.state == "machine"}
        human = set(connection.scalars(select(answers.c.position)))
        opened = set(connection.scalars(select(data_objects.c.position).where(data_objects.c.iteration.is_not(None))))
        rounds = connection.execute(select(label_rounds).order_by(label_rounds.c.number)).all()
    assert machine and not machine & human and len(machine | human) == 400
    assert opened == human and len(human) == asked
    assert [one.number for one in rounds] == list(range(1, len(rounds) + 1))
    assert all(one.settled_at is not None for one in rounds)
    assert sum(one.settlement["accepted"] for one in rounds) == len(machine)
    counters = service.client().describe_labeling_job(LabelingJobName="animals")["LabelCounters"]
    assert (counters["HumanLabeled"], counters["MachineLabeled"]) == (len(human), len(machine))
    output = service.data_root / "out/animals/manifests/output/output.manifest"
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    by_machine = {n for n, line in enumerate(lines) if line["animal-metadata"]["human-annotated"] == "no"}
    assert len(lines) == 400 and by_machine == machine
