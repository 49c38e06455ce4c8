"""What tags ask of a labeling job: priorities, gold objects, a qualification round, as many workers as it takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import select, update

from tests.service.running import RunningService
from trueground.service.engine import accounts, answering, leasing, own_work, pauses, progress
from trueground.service.engine.errors import Closed, Invalid
from trueground.service.engine.finisher import Finisher
from trueground.service.engine.job_options import read_options
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import answers, assignments, data_objects, job_workers, labeling_jobs
from trueground.storage import file_uri

People = Callable[[int], list[str]]
MakeJob = Callable[..., str]


def tags(**options: object) -> list[dict[str, str]]:
    return [{"Key": f"trueground:{name.replace('_', '-')}", "Value": str(value)} for name, value in options.items()]


def answer(store: Database, worker: str, label: Callable[[int], str], job: str = "animals", most: int = 10**6) -> int:
    """Answer what a worker gets, by position; returns how many."""
    count = 0
    while count < most and (lease := leasing.next_assignment(store, worker, job)) is not None:
        content = {"crowd-image-classifier": {"label": label(lease.position)}}
        answering.submit_answer(store, lease.id, worker, content, 1.0)
        count += 1
    return count


def tick(store: Database, settings: ServiceSettings) -> None:
    Finisher(store, settings.storage(), settings).tick()


def status(store: Database) -> str:
    with store.read() as connection:
        return str(connection.scalar(select(labeling_jobs.c.status)))


def output(settings: ServiceSettings) -> list[dict[str, Any]]:
    file = settings.data_root / "out/animals/manifests/output/output.manifest"
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def gold_manifest(settings: ServiceSettings) -> str:
    """Twelve objects that show dogs."""
    picture = settings.data_root / "gold.png"
    picture.write_bytes(b"any")
    metadata = {"class-name": "dog", "confidence": 1.0, "type": "groundtruth/image-classification"}
    lines = [{"source-ref": file_uri(picture), "animal": 1, "animal-metadata": metadata} for _ in range(12)]
    file = settings.data_root / "gold.manifest"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file_uri(file)


def test_the_job_of_the_higher_priority_gives_its_tasks_first_but_nobody_is_torn_from_theirs(
    store: Database, people: People, stored_job: MakeJob
) -> None:
    ada, bob = people(2)
    stored_job("plain", objects=3)
    assert answer(store, ada, lambda _: "dog", job="plain", most=1) == 1
    stored_job("urgent", objects=2, Tags=tags(priority=5))
    mine = leasing.next_assignment(store, ada)
    theirs = leasing.next_assignment(store, bob)
    assert mine is not None and mine.job_name == "plain"
    assert theirs is not None and theirs.job_name == "urgent"


def test_who_switches_to_another_job_stays_there_at_once(store: Database, people: People, stored_job: MakeJob) -> None:
    (ada,) = people(1)
    stored_job("plain", objects=9)
    stored_job("urgent", objects=9, Tags=tags(priority=5))
    for switch, stays in ((None, "urgent"), ("plain", "plain"), ("urgent", "urgent")):
        if switch is not None:
            assert leasing.next_assignment(store, ada, switch) is not None
        for _ in range(2):
            lease = leasing.next_assignment(store, ada)
            assert lease is not None and lease.job_name == stays
            answering.submit_answer(store, lease.id, ada, {"crowd-image-classifier": {"label": "dog"}}, 1.0)


def test_a_running_jobs_tags_change_its_priority_and_nothing_that_was_settled(
    service: RunningService, sagemaker: Any, make_job: MakeJob
) -> None:
    worker = service.add_worker("ada")
    make_job("plain", objects=1)
    make_job("later", objects=1)
    arn = sagemaker.describe_labeling_job(LabelingJobName="later")["LabelingJobArn"]

    def first() -> str:
        service.db.version += 1  # what the running service changed is seen at once
        lease = leasing.next_assignment(service.db, worker)
        assert lease is not None
        leasing.release(service.db, lease.id, worker)
        with service.db.write() as connection:
            connection.execute(update(job_workers).values(last_task_at=None))
        return lease.job_name

    assert first() == "plain"
    sagemaker.add_tags(ResourceArn=arn, Tags=tags(priority=5))
    assert first() == "later"
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["trueground:priority"])
    assert first() == "plain"
    with pytest.raises(ClientError, match="trueground:priority must be a whole number"):
        sagemaker.add_tags(ResourceArn=arn, Tags=tags(priority="high"))
    with pytest.raises(ClientError, match="trueground:workers-max cannot be changed"):
        sagemaker.add_tags(ResourceArn=arn, Tags=tags(workers_max=3))
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "north"}])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "north"}]


def test_easy_objects_get_the_least_number_of_answers_and_hard_ones_up_to_the_most(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob
) -> None:
    crowd = people(6)
    stored_job(objects=20, workers=2, Tags=tags(workers_max=5, confidence=0.9))

    def says(number: int) -> Callable[[int], str]:
        # Nobody knows what the last two objects show.
        return lambda position: "dog" if position < 18 else ("cat", "dog", "bird")[number % 3]

    for _ in range(6):
        for number, worker in enumerate(crowd):
            answer(store, worker, says(number), most=5)
        tick(store, settings)
    assert status(store) == "Completed"
    with store.read() as connection:
        counts = {row.position: row.answers for row in connection.execute(select(data_objects))}
    assert all(counts[position] in (2, 3) for position in range(18))
    assert sum(counts[position] for position in range(18)) < 45
    assert 3 < counts[18] <= 5 and 3 < counts[19] <= 5
    assert [line["animal"] for line in output(settings)[:18]] == [1] * 18


def test_with_nobody_left_to_ask_an_unsure_object_is_done(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob
) -> None:
    crowd = people(2)
    stored_job(objects=1, workers=1, Tags=tags(workers_max=5, confidence=0.99))
    for _ in range(3):
        for number, worker in enumerate(crowd):
            answer(store, worker, lambda _, number=number: ("cat", "dog")[number])  # type: ignore[misc]
        tick(store, settings)
    assert status(store) == "Completed"


@pytest.mark.parametrize("leaves", [pauses.pause, accounts.disable])
@pytest.mark.parametrize("asked", ["before", "after"])
def test_who_gets_no_more_tasks_is_not_waited_for(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, leaves: Callable[..., None],
    asked: str,
) -> None:  # fmt: skip
    first, second, third = people(3)
    stored_job(objects=1, workers=2, Tags=tags(workers_max=3))
    leave = partial(leaves, store, *(("animals", third, "on leave") if leaves is pauses.pause else ("worker-2",)))
    if asked == "after":
        leave()
    answer(store, first, lambda _: "cat")
    answer(store, second, lambda _: "dog")
    tick(store, settings)
    if asked == "before":
        assert status(store) == "InProgress"
        held = leasing.next_assignment(store, third)
        assert held is not None
        tick(store, settings)
        assert status(store) == "InProgress"
        leasing.release(store, held.id, third)
        leave()
        tick(store, settings)
    assert status(store) == "Completed"


def test_gold_objects_are_mixed_in_and_never_in_the_output(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, gold_manifest: str
) -> None:
    (ada,) = people(1)
    stored_job(objects=40, Tags=tags(gold=gold_manifest, gold_share=0.3))
    given = answer(store, ada, lambda _: "dog")
    assert 44 <= given <= 52
    tick(store, settings)
    assert status(store) == "Completed" and len(output(settings)) == 40
    with store.read() as connection:
        place = connection.execute(select(job_workers)).one()
    assert place.gold_seen == place.gold_right == given - 40


def test_gold_objects_of_a_streaming_job_look_like_the_others_afterwards_too(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, gold_manifest: str
) -> None:
    (worker,) = people(1)
    stored_job(objects=6, Tags=tags(gold=gold_manifest, gold_share=0.5, qualification=2, streaming="yes"))
    assert answer(store, worker, lambda _: "dog") > 6
    given = own_work.recent_answers(store, worker, "animals")
    assert {one.editable for one in given} == {False}
    for one in given:
        with pytest.raises(Closed, match="handed on"):
            own_work.edit_answer(store, one.assignment_id, worker, one.content, 1.0)


def test_a_worker_below_the_limit_is_paused_and_others_are_asked_again(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, gold_manifest: str
) -> None:
    careless, careful = people(2)
    stored_job(objects=60, Tags=tags(gold=gold_manifest, gold_share=0.4, gold_limit=0.8, gold_policy="ask-again"))
    given = answer(store, careless, lambda _: "cat")
    assert 5 <= given < 40
    with store.read() as connection:
        place = connection.execute(select(job_workers)).one()
    assert place.gold_seen == 5 and place.paused_at is not None and "0 of 5" in place.pause_reason
    tick(store, settings)
    answer(store, careful, lambda _: "dog")
    tick(store, settings)
    assert status(store) == "Completed"
    assert {line["animal-metadata"]["class-name"] for line in output(settings)} == {"dog"}
    with store.read() as connection:
        kept = connection.execute(select(answers.c.id).where(answers.c.worker_id == careless)).all()
    assert len(kept) == given  # set aside, not lost


def test_only_workers_below_the_limit_have_their_answers_set_aside_whatever_a_manager_writes(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, gold_manifest: str
) -> None:
    (careful,) = people(1)
    stored_job(objects=60, Tags=tags(gold=gold_manifest, gold_share=0.4, gold_limit=0.8, gold_policy="ask-again"))
    given = answer(store, careful, lambda _: "dog", most=30)
    pauses.pause(store, "animals", careful, "Your pace, which is below the limit of others.")
    tick(store, settings)
    with store.read() as connection:
        states = connection.scalars(select(assignments.c.state)).all()
        place = connection.execute(select(job_workers)).one()
    assert place.paused_at is not None and place.gold_seen > 0
    assert len(states) == given == 30 and set(states) == {"submitted"}


def test_a_qualification_round_comes_before_the_work(
    store: Database, people: People, stored_job: MakeJob, gold_manifest: str
) -> None:
    good, bad = people(2)
    stored_job(objects=5, workers=2, Tags=tags(gold=gold_manifest, gold_share=0, gold_limit=0.7, qualification=4))
    assert answer(store, bad, lambda _: "cat") == 4
    first = [leasing.next_assignment(store, good) for _ in range(2)]
    assert all(lease is not None and lease.position >= 5 for lease in first)
    assert answer(store, good, lambda _: "dog") == 4 + 5


def test_who_declines_the_qualification_round_does_not_wait_for_ever(
    store: Database, people: People, stored_job: MakeJob, gold_manifest: str
) -> None:
    (shy,) = people(1)
    stored_job(objects=2, Tags=tags(gold=gold_manifest, gold_limit=0.8, qualification=3))
    for _ in range(3):
        lease = leasing.next_assignment(store, shy)
        assert lease is not None
        answering.decline(store, lease.id, shy, "too hard")
    assert leasing.next_assignment(store, shy) is None
    (job,) = progress.work_for(store, shy)
    assert job.paused is not None and job.paused.startswith("0 of 3 answers in the qualification round were right")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"priority": "high"}, "priority"),
        ({"workers-max": "1"}, "workers-max"),
        ({"workers-max": "10"}, "workers-max"),
        ({"confidence": "0.9"}, "workers-max"),
        ({"confidence": "nan", "workers-max": "5"}, "confidence"),
        ({"gold-share": "0.1"}, "trueground:gold,"),
        ({"gold": "s3://b/k", "gold-share": "0.9"}, "gold-share"),
        ({"gold": "s3://b/k", "gold-limit": "2"}, "gold-limit"),
        ({"gold": "s3://b/k", "gold-limit": "0.8", "gold-policy": "shout"}, "gold-policy"),
        ({"qualification": "5"}, "trueground:gold,"),
    ],
)
def test_a_tag_that_cannot_be_meant_is_refused_by_name(options: dict[str, str], named: str) -> None:
    with pytest.raises(Invalid, match=named):
        read_options({f"trueground:{name}": value for name, value in options.items()}, workers_per_object=2)


def test_a_gold_manifest_without_labels_is_refused_before_the_job_is_there(
    store: Database, settings: ServiceSettings, stored_job: MakeJob, gold_manifest: str
) -> None:
    file = settings.data_root / "gold.manifest"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    del lines[2]["animal"]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(Exception, match=r"gold\.manifest:3: animal"):
        stored_job(objects=2, Tags=tags(gold=gold_manifest))
    with store.read() as connection:
        assert connection.execute(select(labeling_jobs.c.id)).all() == []
