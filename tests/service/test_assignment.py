"""Who gets which task: the leased queue, on SQLite and on PostgreSQL."""

from __future__ import annotations

import multiprocessing
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import event, select, update

from trueground.service.engine import answering, assignment, jobs, leasing
from trueground.service.engine.errors import Closed, Invalid, NotYours
from trueground.service.store.database import Database, now
from trueground.service.store.tables import answers, assignments, data_objects, labeling_jobs

ANSWER = {"crowd-image-classifier": {"label": "dog"}}
People = Callable[[int], list[str]]
MakeJob = Callable[..., str]


def take(store: Database, worker: str, job: str | None = None) -> assignment.Assignment:
    found = leasing.next_assignment(store, worker, job)
    assert found is not None
    return found


def submit(store: Database, lease: assignment.Assignment) -> answering.SubmitResult:
    return answering.submit_answer(store, lease.id, lease.worker_id, ANSWER, 1.0)


def run_out(store: Database, lease: assignment.Assignment) -> None:
    """Let the time of a lease pass."""
    past = now() - timedelta(seconds=1)
    with store.write() as connection:
        connection.execute(update(assignments).where(assignments.c.id == lease.id).values(expires_at=past))


def test_objects_go_out_in_the_order_of_the_manifest(store: Database, people: People, stored_job: MakeJob) -> None:
    (worker,) = people(1)
    stored_job(objects=4)
    positions = []
    for _ in range(4):
        lease = take(store, worker)
        positions.append(lease.position)
        submit(store, lease)
    assert positions == [0, 1, 2, 3]
    assert leasing.next_assignment(store, worker) is None


def test_each_object_goes_to_as_many_different_workers_as_asked(
    store: Database, people: People, stored_job: MakeJob
) -> None:
    first, second, third = people(3)
    stored_job(objects=1, workers=2)
    assert submit(store, take(store, first)).object_complete is False
    assert leasing.next_assignment(store, first) is None
    assert submit(store, take(store, second)).object_complete is True
    assert leasing.next_assignment(store, third) is None


def test_a_worker_holds_two_tasks_at_most_and_then_gets_the_older_back(
    store: Database, people: People, stored_job: MakeJob
) -> None:
    (worker,) = people(1)
    stored_job(objects=5)
    shown, fetched_ahead = take(store, worker), take(store, worker)
    assert {shown.position, fetched_ahead.position} == {0, 1}
    assert take(store, worker).id == shown.id
    submit(store, shown)
    assert take(store, worker).position == 2


def test_an_expired_lease_goes_to_the_next_worker(store: Database, people: People, stored_job: MakeJob) -> None:
    slow, quick = people(2)
    stored_job(objects=2)
    lost = take(store, slow)
    assert submit(store, take(store, quick)).answered_by_me == 1
    run_out(store, lost)
    found = take(store, quick)
    assert found.position == lost.position == 0
    submit(store, found)


def test_a_late_answer_is_refused_and_changes_nothing(store: Database, people: People, stored_job: MakeJob) -> None:
    slow, quick = people(2)
    stored_job(objects=1)
    lost = take(store, slow)
    run_out(store, lost)
    with pytest.raises(Closed, match="time for this task is over") as caught:
        submit(store, lost)
    assert caught.value.reason == "expired"
    submit(store, take(store, quick))
    with pytest.raises(Closed):
        submit(store, lost)
    with store.read() as connection:
        assert [row.worker_id for row in connection.execute(select(answers))] == [quick]


def test_a_repeated_answer_is_told_so_and_changes_nothing(store: Database, people: People, stored_job: MakeJob) -> None:
    (worker,) = people(1)
    stored_job(objects=2)
    lease = take(store, worker)
    assert submit(store, lease).repeated is False
    again = answering.submit_answer(store, lease.id, worker, ANSWER, 9.0)
    assert again.repeated is True and again.answered_by_me == 1
    with store.read() as connection:
        assert [row.content for row in connection.execute(select(answers))] == [ANSWER]


def test_a_released_task_can_be_taken_by_others_and_again(store: Database, people: People, stored_job: MakeJob) -> None:
    first, second = people(2)
    stored_job(objects=2)
    given_back = take(store, first)
    leasing.release(store, given_back.id, first)
    with pytest.raises(Closed, match="gave this task back"):
        submit(store, given_back)
    assert take(store, first).position == 1
    assert take(store, second).position == 0
    leasing.release(store, given_back.id, first)  # once more does no harm
    assert leasing.next_assignment(store, second) is None


def test_nobody_can_answer_for_another(store: Database, people: People, stored_job: MakeJob) -> None:
    owner, thief = people(2)
    stored_job(objects=1)
    lease = take(store, owner)
    for act in (
        lambda: answering.submit_answer(store, lease.id, thief, ANSWER, 1.0),
        lambda: leasing.release(store, lease.id, thief),
        lambda: assignment.get_assignment(store, lease.id, thief),
        lambda: answering.submit_answer(store, "f" * 32, thief, ANSWER, 1.0),
    ):
        with pytest.raises(NotYours):
            act()


@pytest.mark.parametrize("content", [["a list"], {"x": float("nan")}, {"x": object()}])
def test_an_answer_that_is_not_json_is_refused(
    store: Database, people: People, stored_job: MakeJob, content: object
) -> None:
    (worker,) = people(1)
    stored_job(objects=1)
    lease = take(store, worker)
    with pytest.raises(Invalid):
        answering.submit_answer(store, lease.id, worker, content, 1.0)  # type: ignore[arg-type]
    submit(store, lease)


def test_only_members_of_the_team_get_tasks_and_only_while_the_job_runs(
    store: Database, people: People, stored_job: MakeJob
) -> None:
    from trueground.service.engine import accounts

    (member,) = people(1)
    stranger = accounts.external_worker(store, "stranger", name="Stranger", role="worker").id
    stored_job(objects=2)
    assert leasing.next_assignment(store, stranger) is None
    held = take(store, member)
    jobs.stop_job(store, "animals")
    assert leasing.next_assignment(store, member) is None
    submit(store, held)  # what was handed out before may still be answered


def test_no_more_objects_are_out_at_once_than_allowed(store: Database, people: People, stored_job: MakeJob) -> None:
    first, second, third = people(3)
    stored_job(objects=4, workers=2, MaxConcurrentTaskCount=1)
    mine = take(store, first)
    assert leasing.next_assignment(store, first) is None
    theirs = take(store, second)
    assert mine.position == theirs.position == 0
    assert leasing.next_assignment(store, third) is None
    submit(store, mine)
    submit(store, theirs)
    assert take(store, third).position == 1


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)  # SQLite has one writer and no row locks
def test_an_object_that_another_process_locks_is_not_lost(store: Database, people: People, stored_job: MakeJob) -> None:
    """The worker is given the next one, and the locked one later."""
    (worker,) = people(1)
    stored_job(objects=2)
    with store.write() as connection:
        connection.execute(select(data_objects).where(data_objects.c.position == 0).with_for_update())
        lease = take(store, worker)
    assert lease.position == 1
    submit(store, lease)
    assert take(store, worker).position == 0


def work(url: str, worker: str, barrier: object = None) -> int:
    """One annotator until nothing is left for them; some tasks are given back. Returns how many were answered."""
    store = Database(url)
    if barrier is not None:
        barrier.wait()  # type: ignore[attr-defined]
    given_back = answered = 0
    while (lease := leasing.next_assignment(store, worker)) is not None:
        if lease.position % 7 == 3 and given_back < 3:
            given_back += 1
            leasing.release(store, lease.id, worker)
            continue
        answering.submit_answer(store, lease.id, worker, ANSWER, 1.0)
        answered += 1
    store.close()
    return answered


def finish(url: str, crowd: list[str]) -> None:
    """What is left by those who went home while others held a task, or while enough objects were out."""
    while sum(work(url, worker) for worker in crowd):
        pass


def check_every_object_has_its_answers(store: Database, objects: int, workers: int) -> None:
    with store.read() as connection:
        rows = connection.execute(select(answers.c.position, answers.c.worker_id)).all()
        states = set(connection.scalars(select(data_objects.c.state)))
        free = set(connection.scalars(select(data_objects.c.free)))
    assert Counter(row.position for row in rows) == dict.fromkeys(range(objects), workers)
    assert len({tuple(row) for row in rows}) == objects * workers, "a worker answered an object twice"
    assert (states, free) == ({"answered"}, {0})


@pytest.mark.parametrize(
    "limit", [None, pytest.param(5, marks=pytest.mark.slow)], ids=["any number out", "five out at once"]
)
def test_threads_share_the_work_exactly(
    store: Database, store_url: str, people: People, stored_job: MakeJob, limit: int | None
) -> None:
    crowd = people(8)
    stored_job(objects=25, workers=3, MaxConcurrentTaskCount=limit)
    barrier = threading.Barrier(len(crowd))
    with ThreadPoolExecutor(len(crowd)) as pool:
        list(pool.map(lambda worker: work(store_url, worker, barrier), crowd))
    finish(store_url, crowd)
    check_every_object_has_its_answers(store, 25, 3)


@pytest.mark.slow
def test_processes_share_the_work_exactly(store: Database, store_url: str, people: People, stored_job: MakeJob) -> None:
    crowd = people(4)
    stored_job(objects=40, workers=2)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(crowd))
    processes = [context.Process(target=work, args=(store_url, worker, barrier)) for worker in crowd]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    finish(store_url, crowd)
    check_every_object_has_its_answers(store, 40, 2)


def test_two_requests_of_one_worker_at_once_get_two_objects(
    store: Database, people: People, stored_job: MakeJob
) -> None:
    (worker,) = people(1)
    stored_job(objects=10, workers=2)
    with ThreadPoolExecutor(6) as pool:
        leases = list(pool.map(lambda _: take(store, worker), range(6)))
    assert len({lease.id for lease in leases}) == 2
    with store.read() as connection:
        held = connection.execute(select(assignments).where(assignments.c.state == "leased")).all()
    assert len(held) == 2


def test_the_store_itself_refuses_one_worker_too_many(store: Database, people: People, stored_job: MakeJob) -> None:
    """Whatever the code does: the places of an object cannot go below zero."""
    from sqlalchemy.exc import IntegrityError

    (worker,) = people(1)
    stored_job(objects=1)
    take(store, worker)
    with pytest.raises(IntegrityError), store.write() as connection:
        connection.execute(update(data_objects).values(free=data_objects.c.free - 1))


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_the_next_task_costs_the_same_in_a_long_job(store: Database, people: People, stored_job: MakeJob) -> None:
    """Counted in steps of SQLite's own machine, which no busy computer can blur."""
    short, long = people(2)
    stored_job("short", objects=50, workers=2)
    stored_job("long", objects=2000, workers=2)
    # Every object but the last ones was answered by this worker and waits for another.
    for name, done in (("short", 40), ("long", 1990)):
        for worker in (short, long):
            submit(store, take(store, worker, name))
        with store.write() as connection:
            job = connection.scalar(select(labeling_jobs.c.id).where(labeling_jobs.c.name == name))
            passed = (data_objects.c.job_id == job) & (data_objects.c.position < done)
            connection.execute(update(data_objects).where(passed).values(free=0, state="written"))
    assert steps(store, lambda: take(store, long, "long")) < 1.5 * steps(store, lambda: take(store, short, "short"))


def steps(store: Database, act: Callable[[], object]) -> int:
    """How many instructions SQLite executes, in twenties."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    def watch(connection: object, *_: object) -> None:
        connection.set_progress_handler(tick, 20)  # type: ignore[attr-defined]

    event.listen(store._writer, "checkout", watch)
    act()
    event.remove(store._writer, "checkout", watch)
    return count
