"""SIGKILL in the middle: every acknowledged answer is there, none twice, and the job completes."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from trueground.service.engine import answering, leasing
from trueground.service.engine.errors import Closed
from trueground.service.engine.finisher import Finisher
from trueground.service.engine.output import Output
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import answers, data_objects, labeling_jobs

MakeJob = Callable[..., str]
People = Callable[[int], list[str]]
ANSWER = {"crowd-image-classifier": {"label": "dog"}}


def finish(store: Database, settings: ServiceSettings) -> None:
    Finisher(store, settings.storage(), settings).tick()


def status(store: Database) -> str:
    with store.read() as connection:
        return str(connection.scalar(select(labeling_jobs.c.status)))


class Annotator:
    """Someone who labels over HTTP and does not give up while the service is away."""

    def __init__(self, url: str, username: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=10)
        signed_in = self.http.post("/api/session", json={"username": username, "password": "secret"})
        self.http.headers["X-CSRF-Token"] = signed_in.json()["csrfToken"]
        self.acknowledged: list[int] = []

    def post(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        for _ in range(300):
            try:
                response = self.http.post(path, json=content)
                assert response.status_code == 200, response.text
                return dict(response.json())
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError("the service did not come back")

    def work(self) -> None:
        while (task := self.post("/api/work/next", {"job": "animals", "holding": []})["assignment"]) is not None:
            content = {"answerContent": ANSWER, "secondsActive": 0.1}
            assert self.post(f"/api/assignments/{task['id']}/answer", content)["accepted"]
            self.acknowledged.append(int(task["objectId"]))


@pytest.mark.slow
def test_a_service_killed_again_and_again_loses_no_answer_and_asks_nothing_twice(
    service_process: Any, job_request: Callable[..., dict[str, Any]]
) -> None:
    service = service_process.connected()
    service.add_team()
    names = [f"worker-{number}" for number in range(3)]
    workers = {name: service.add_worker(name) for name in names}
    service.client().create_labeling_job(**job_request("animals", objects=60, workers=2))
    annotators = [Annotator(service.url, name) for name in names]
    with ThreadPoolExecutor(len(annotators)) as pool:
        futures = [pool.submit(annotator.work) for annotator in annotators]
        for number in range(3):
            wait_for_answers(service.db, 25 * number + 5)
            service_process.kill()
            service_process.start()
        for future in futures:
            future.result()
    # A lease that a killed service gave out, but never told of, is still held; whoever has it gets it back.
    for annotator in annotators:
        annotator.work()
    job = service.wait_for("animals", "Completed", seconds=20)
    assert job["LabelCounters"]["HumanLabeled"] == 60
    with service.db.read() as connection:
        stored = [tuple(row) for row in connection.execute(select(answers.c.position, answers.c.worker_id))]
    assert Counter(position for position, _ in stored) == dict.fromkeys(range(60), 2)
    for name, annotator in zip(names, annotators, strict=True):
        assert sorted(annotator.acknowledged) == sorted(position for position, who in stored if who == workers[name])
    for position in range(60):
        folder = service.data_root / f"out/animals/annotations/worker-response/iteration-1/{position}"
        (file,) = folder.glob("*.json")
        assert len(json.loads(file.read_text())["answers"]) == 2


def wait_for_answers(store: Database, count: int) -> None:
    end = time.monotonic() + 30
    while True:
        with store.read() as connection:
            if (connection.scalar(select(func.count()).select_from(answers)) or 0) >= count:
                return
        assert time.monotonic() < end, "nobody answers"
        time.sleep(0.005)


def test_a_finisher_that_died_while_it_wrote_is_taken_over(
    store: Database,
    settings: ServiceSettings,
    people: People,
    stored_job: MakeJob,
    answer_all: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (worker,) = people(1)
    stored_job(objects=5)
    answer_all(store, "animals", worker)

    class Killed(BaseException):
        """As if the process ended here: nothing catches it."""

    def die(*_: object) -> None:
        raise Killed

    output = settings.data_root / "out/animals/manifests/output/output.manifest"
    # After all answers were written, and the second time in the midst of the output manifest.
    for method in ("_labels", "_line"):
        monkeypatch.setattr(Output, method, die)
        with pytest.raises(Killed):
            finish(store, settings)
        monkeypatch.undo()
        assert status(store) == "InProgress" and not output.exists()
        assert not list((settings.data_root / "out").rglob(".writing-*")), "half a file was left"
    finish(store, settings)
    assert status(store) == "Completed"
    assert len(output.read_text().splitlines()) == 5


def test_writing_the_output_again_writes_the_same_bytes(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, answer_all: Callable[..., int]
) -> None:
    (worker,) = people(1)
    stored_job(objects=3)
    answer_all(store, "animals", worker)
    finish(store, settings)
    folder = settings.data_root / "out"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with store.write() as connection:
        connection.execute(update(labeling_jobs).values(status="InProgress"))
        connection.execute(update(data_objects).values(state="answered"))
    finish(store, settings)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_two_finishers_do_not_work_at_the_same_time(store: Database) -> None:
    from trueground.service.engine.lease import Lease

    first, second = Lease(store, "finisher"), Lease(store, "finisher")
    assert first.hold() and not second.hold() and first.hold()
    first.release()
    assert second.hold() and not first.hold()


def test_the_lease_of_a_dead_process_is_taken_over_at_once(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    from trueground.service.engine.lease import Lease

    gone = subprocess.Popen(["true"])
    gone.wait()
    monkeypatch.setattr("os.getpid", lambda: gone.pid)
    dead = Lease(store, "finisher")
    monkeypatch.undo()
    assert dead.hold()
    assert Lease(store, "finisher").hold()


def test_output_that_cannot_be_written_is_tried_again_and_no_answer_is_given_up(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, answer_all: Callable[..., int]
) -> None:
    (worker,) = people(1)
    stored_job(objects=1)
    answer_all(store, "animals", worker)
    blocked = settings.data_root / "out"
    blocked.write_text("a file where a folder has to be")
    for _ in range(6):
        finish(store, settings)
    assert status(store) == "InProgress"
    blocked.unlink()
    finish(store, settings)
    assert status(store) == "Completed"


def test_a_job_that_cannot_be_consolidated_fails_with_the_reason(
    store: Database,
    settings: ServiceSettings,
    people: People,
    stored_job: MakeJob,
    answer_all: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from trueground.service.engine import finisher
    from trueground.tasks.image_classification import ImageClassification

    (worker,) = people(1)
    stored_job(objects=1)
    answer_all(store, "animals", worker)

    def fail(*_: object, **__: object) -> None:
        raise ArithmeticError("no convergence")

    monkeypatch.setattr(ImageClassification, "consolidator", fail)
    monkeypatch.setattr(finisher, "ATTEMPTS", 2)
    monkeypatch.setattr("time.monotonic", lambda: 0.0 if not later else 1e6)
    later: list[bool] = []
    worker_of_jobs = Finisher(store, settings.storage(), settings)
    worker_of_jobs.tick()
    assert status(store) == "InProgress"
    later.append(True)
    worker_of_jobs.tick()
    with store.read() as connection:
        job = connection.execute(select(labeling_jobs)).one()
    assert (job.status, "no convergence" in job.failure_reason) == ("Failed", True)
    assert list((settings.data_root / "out/animals/annotations/worker-response").rglob("*.json"))


def test_an_expired_lease_goes_back_by_itself(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob
) -> None:
    from trueground.service.store.tables import assignments

    (worker,) = people(1)
    stored_job(objects=1)
    lease = leasing.next_assignment(store, worker)
    assert lease is not None
    with store.write() as connection:
        connection.execute(update(assignments).values(expires_at=now()))
    finish(store, settings)
    with store.read() as connection:
        assert connection.scalar(select(func.sum(data_objects.c.free))) == 1
    with pytest.raises(Closed):
        answering.submit_answer(store, lease.id, worker, ANSWER, 1.0)
