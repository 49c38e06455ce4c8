"""Two pages of one worker: no task on both, nothing given back that the other shows, no answer dropped silently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from trueground.service.engine import answering, assignment, leasing, own_work, progress
from trueground.service.engine.errors import Answered
from trueground.service.store.database import Database
from trueground.service.store.tables import answers, assignments

People = Callable[[int], list[str]]
MakeJob = Callable[..., str]
DOG: dict[str, Any] = {"crowd-image-classifier": {"label": "dog"}, "sure": {"yes": True, "no": False}}
SAME: dict[str, Any] = {"sure": {"no": False, "yes": True}, "crowd-image-classifier": {"label": "dog"}}
CAT: dict[str, Any] = {"crowd-image-classifier": {"label": "cat"}}
ONE, TWO = "1" * 24, "2" * 24


def take(store: Database, worker: str, page: str, *known: assignment.Assignment) -> assignment.Assignment:
    found = leasing.next_assignment(store, worker, None, [lease.id for lease in known], page)
    assert found is not None
    return found


def contents(store: Database) -> list[Any]:
    with store.read() as connection:
        return list(connection.scalars(select(answers.c.content).order_by(answers.c.id)))


def state(store: Database, lease: assignment.Assignment) -> str:
    with store.read() as connection:
        return str(connection.scalar(select(assignments.c.state).where(assignments.c.id == lease.id)))


def test_another_answer_is_a_conflict_and_the_same_one_is_not(
    store: Database, people: People, stored_job: MakeJob
) -> None:
    (worker,) = people(1)
    stored_job(objects=2)
    lease = take(store, worker, ONE)
    answering.submit_answer(store, lease.id, worker, DOG, 1.0)
    assert answering.submit_answer(store, lease.id, worker, SAME, 3.0).repeated
    for other in (CAT, {**DOG, "more": 1}, {**DOG, "sure": {"yes": 1, "no": 0}}):
        with pytest.raises(Answered) as conflict:
            answering.submit_answer(store, lease.id, worker, other, 1.0)
        assert (conflict.value.content, conflict.value.editable, conflict.value.reason) == (DOG, True, "answered")
    assert contents(store) == [DOG]


def test_the_first_answer_sent_again_after_a_change_is_no_conflict(
    store: Database, people: People, stored_job: MakeJob
) -> None:
    (worker,) = people(1)
    stored_job(objects=2)
    lease = take(store, worker, ONE)
    answering.submit_answer(store, lease.id, worker, DOG, 1.0)
    own_work.edit_answer(store, lease.id, worker, CAT, 1.0, revision=0)
    assert answering.submit_answer(store, lease.id, worker, DOG, 1.0).repeated
    # A change that is sent again is kept once; one of what the worker no longer sees is a conflict.
    own_work.edit_answer(store, lease.id, worker, CAT, 1.0, revision=0)
    with pytest.raises(Answered) as conflict:
        own_work.edit_answer(store, lease.id, worker, {**CAT, "more": 1}, 1.0, revision=0)
    assert conflict.value.content == CAT
    assert contents(store) == [DOG, CAT]


def test_an_answer_that_was_set_aside_or_whose_job_is_over_conflicts_for_good(
    store: Database, people: People, stored_job: MakeJob
) -> None:
    (worker,) = people(1)
    stored_job(objects=2)
    lease = take(store, worker, ONE)
    answering.submit_answer(store, lease.id, worker, DOG, 1.0)
    with store.write() as connection:
        connection.execute(assignments.update().values(state="discarded"))
    assert answering.submit_answer(store, lease.id, worker, DOG, 1.0).repeated
    with pytest.raises(Answered) as conflict:
        answering.submit_answer(store, lease.id, worker, CAT, 1.0)
    assert conflict.value.editable is False


def test_pages_that_know_of_each_other_never_get_the_same_task(
    store: Database, people: People, stored_job: MakeJob
) -> None:
    (worker,) = people(1)
    stored_job(objects=9)
    held: list[assignment.Assignment] = []
    for number in range(6):
        held.append(take(store, worker, ONE if number % 2 else TWO, *held))
    assert len({lease.position for lease in held}) == 6 and not any(lease.again for lease in held)
    # No more than that, and nothing twice.
    known = [lease.id for lease in held]
    assert leasing.next_assignment(store, worker, None, known, ONE) is None
    # A page that knows of none, such as one of another browser, is told that it goes on with what was begun.
    again = take(store, worker, "3" * 24)
    assert again.again and again.id == held[0].id and again.pages == TWO


def test_a_page_gives_back_only_what_it_shows_alone(store: Database, people: People, stored_job: MakeJob) -> None:
    (worker,) = people(1)
    stored_job(objects=3)
    lease = take(store, worker, ONE)
    assert take(store, worker, TWO).id == lease.id
    leasing.leave(store, lease.id, worker, ONE)
    leasing.leave(store, lease.id, worker, ONE)  # once more does no harm
    leasing.leave(store, lease.id, worker, "3" * 24)  # nor does a page that never showed it
    assert state(store, lease) == "leased"
    answering.submit_answer(store, lease.id, worker, DOG, 1.0)

    other = take(store, worker, ONE)
    leasing.leave(store, other.id, worker, ONE)
    assert state(store, other) == "released"


def test_what_was_begun_stays_when_its_page_is_left_and_comes_first_afterwards(
    store: Database, people: People, stored_job: MakeJob
) -> None:
    (worker,) = people(1)
    job = stored_job(objects=5)
    (work,) = progress.work_for(store, worker)
    assert (work.available, work.held) == (5, 0)
    first = take(store, worker, ONE)
    second = take(store, worker, ONE, first)
    leasing.leave(store, second.id, worker, ONE, keep=True)
    (work,) = progress.work_for(store, worker)
    assert (work.name, work.available, work.held) == (job, 5, 2), "what is held is still to be done"
    leasing.leave(store, first.id, worker, ONE)
    back = take(store, worker, TWO)
    assert (back.id, back.again, back.pages) == (second.id, True, None)
    # Put aside, it stays whatever page is closed.
    own_work.pause(store, second.id, worker)
    leasing.leave(store, second.id, worker, TWO)
    assert state(store, second) == "leased"
    assert own_work.resume(store, second.id, worker, TWO).pages == TWO
