"""Under load, at random moments: the service and PostgreSQL are killed, the disk is full, connections break.

Afterwards every acknowledged answer is there, once, and the job has all of its output. What happens when follows from
a seed, which a failure prints: ``CHAOS_SEED=<seed> pytest tests/service/test_chaos.py -m slow``.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tests.service.chaos_scene import Annotator, Scene, scene, wait_for
from tests.service.running import RunningService, _job_request, read_credentials
from trueground.service.engine.finisher import Finisher
from trueground.service.store.database import Database
from trueground.service.store.tables import answers, data_objects, labeling_jobs

pytestmark = pytest.mark.slow

PEOPLE = 5
LEASE_SECONDS = 30
# Two hundred kills on both stores together; a start of the service takes a second or two.
ON_SQLITE = {"kill_service": 80, "cut_workers": 25, "tear_answers": 25, "fill_disk": 5}
ON_POSTGRESQL = {
    "kill_service": 45,
    "kill_backend": 60,
    "kill_server": 8,
    "kill_server_and_service": 7,
    "cut_workers": 15,
    "tear_answers": 15,
    "cut_store": 20,
    "tear_store": 10,
    "fill_disk": 3,
}


@pytest.mark.parametrize(
    ("store", "faults", "objects", "workers"),
    [("sqlite", ON_SQLITE, 400, 2), ("postgresql", ON_POSTGRESQL, 300, 3)],
    ids=["sqlite", "postgresql"],
)
def test_no_acknowledged_answer_is_lost_or_counted_twice_whatever_breaks(
    store: str, faults: dict[str, int], objects: int, workers: int, tmp_path: Path
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(10**9))
    print(f"CHAOS_SEED={seed}")
    with scene(store, seed, tmp_path / "service.log") as play:
        try:
            annotators = label_under_fire(play, faults, objects, workers, seed)
            check_store(play, annotators, objects, workers)
            check_output(play, objects, workers)
        except BaseException:
            print(f"happened: {dict(play.happened)}\nthe service's log ends:\n{play.service.tail()}")
            raise
        print(f"happened: {dict(play.happened)}")
        assert play.kills >= sum(count for name, count in faults.items() if name.startswith("kill"))


def label_under_fire(play: Scene, faults: dict[str, int], objects: int, workers: int, seed: int) -> list[Annotator]:
    """Have people label a job while one thing after the other breaks; returns when the job is complete."""
    with closing(Database(play.settings.database_url)) as db:
        service = RunningService(play.service.url, play.settings, read_credentials(play.settings), db)
        service.add_team()
        for number in range(PEOPLE):
            service.add_worker(f"worker-{number}")
        request = _job_request(
            play.settings.data_root, "animals", objects, workers, TaskTimeLimitInSeconds=LEASE_SECONDS
        )
        service.client().create_labeling_job(**request)
        done = threading.Event()
        annotators = [Annotator(play.workers_line.port, number, seed, done) for number in range(PEOPLE)]
        for annotator in annotators:
            annotator.sign_in()
        with ThreadPoolExecutor(PEOPLE) as pool:
            futures = [pool.submit(annotator.work) for annotator in annotators]
            try:
                break_things(play, faults, annotators, futures, objects * workers)
                wait_for(lambda: status(service) == "Completed", futures, "the job does not complete")
            finally:
                done.set()
            for future in futures:
                future.result()
    return annotators


def break_things(
    play: Scene, faults: dict[str, int], annotators: list[Annotator], futures: list[Future[None]], total: int
) -> None:
    """Each fault at its share of the work, so that all of them meet a service that is busy."""
    plan = [name for name, count in faults.items() for _ in range(count)]
    play.random.shuffle(plan)
    for number, name in enumerate(plan):
        # The last answers may wait for leases that ran out; nothing would be under way then.
        due = int(number / len(plan) * total * 0.9)

        def reached(due: int = due) -> bool:
            return sum(len(annotator.acknowledged) for annotator in annotators) >= due

        wait_for(reached, futures, f"nobody answers any more, before {name}")
        time.sleep(play.random.random() * 0.02)
        getattr(play, name)()
        play.happened[name] += 1


def status(service: RunningService) -> str:
    time.sleep(0.1)
    return str(service.client().describe_labeling_job(LabelingJobName="animals")["LabelingJobStatus"])


def check_store(play: Scene, annotators: list[Annotator], objects: int, workers: int) -> None:
    with closing(Database(play.settings.database_url)) as db, db.read() as connection:
        query = select(answers.c.position, answers.c.worker_id, answers.c.content)
        stored = [(row.position, row.worker_id, row.content["mark"]["mark"]) for row in connection.execute(query)]
        counts = list(connection.execute(select(data_objects.c.answers, data_objects.c.state)))
    marks = Counter(mark for _, _, mark in stored)
    acknowledged = {mark for annotator in annotators for mark in annotator.acknowledged.values()}
    assert acknowledged - marks.keys() == set(), "acknowledged answers are lost"
    assert marks.keys() - acknowledged == set(), "answers are there that were told to be refused"
    assert set(marks.values()) == {1}, "an answer is there twice"
    assert Counter(position for position, _, _ in stored) == dict.fromkeys(range(objects), workers)
    assert len({(position, worker) for position, worker, _ in stored}) == objects * workers
    assert {row.answers for row in counts} == {workers} and len(counts) == objects


def check_output(play: Scene, objects: int, workers: int) -> None:
    """All of it is there, and written again from the store alone it is the same, byte for byte."""
    play.service.kill()
    out = play.settings.data_root / "out"
    manifest = (out / "animals/manifests/output/output.manifest").read_text().splitlines()
    assert [json.loads(line)["number"] for line in manifest] == list(range(objects))
    assert all("animal" in json.loads(line) for line in manifest)
    for position in range(objects):
        (file,) = (out / f"animals/annotations/worker-response/iteration-1/{position}").glob("*.json")
        assert len(json.loads(file.read_text())["answers"]) == workers
    before = files_below(out)
    out.rename(out.with_name("before"))
    with closing(Database(play.settings.database_url)) as db:
        with db.write() as connection:
            connection.execute(update(labeling_jobs).values(status="InProgress"))
            connection.execute(update(data_objects).values(state="answered"))
            connection.exec_driver_sql("DELETE FROM leases")
        Finisher(db, play.settings.storage(), play.settings).tick()
    assert files_below(out) == before


def files_below(folder: Path) -> dict[Path, bytes]:
    """Without what the killed writer of a file left that nobody wrote again."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".writing" not in path.name)
    return {path.relative_to(folder): path.read_bytes() for path in found}
