"""The rounds of automated labeling, one step of the background at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.service.auto_labeling import (
    IMAGES,
    Engine,
    truth,
)
from trueground.service.engine import answering, label_rounds, leasing, own_work
from trueground.service.engine import finisher as finishing
from trueground.service.engine.errors import Closed
from trueground.service.engine.finisher import Finisher
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import answers, data_objects


@pytest.fixture
def start(stored_job: Callable[..., str], pictures: Callable[[int], list[dict[str, Any]]]) -> Callable[[int], None]:
    """Create the job ``animals`` over so many pictures, with automated labeling."""

    def make(objects: int) -> None:
        stored_job("animals", pictures(objects), LabelingJobAlgorithmsConfig=IMAGES)

    return make


@pytest.fixture
def engine(store: Database, settings: ServiceSettings) -> Engine:
    return Engine(store, settings)


def test_who_would_have_nothing_to_do_is_asked_ahead(
    engine: Engine,
    store: Database,
    settings: ServiceSettings,
    people: Callable[[int], list[str]],
    start: Callable[[int], None],
    answer_all: Callable[..., int],
) -> None:
    ann, bob = people(2)
    start(300)
    engine.step()
    assert engine.states() == {"waiting": 50, "withheld": 250}
    slow = leasing.next_assignment(store, ann, "animals")
    assert slow is not None
    store.version += 1
    assert answer_all(store, "animals", bob, truth) == 49
    assert leasing.next_assignment(store, bob, "animals") is None
    engine.step()
    # The round is not over, and still there is something to do, of what would come next.
    assert engine.job().iteration == 1 and len(engine.rounds()) == 1
    ahead = leasing.next_assignment(store, bob, "animals")
    assert ahead is not None and ahead.position in engine.rounds()[0].plan.reserve
    answering.submit_answer(store, slow.id, ann, {"x": {"label": truth(slow.position)}}, 1)
    engine.step()
    assert engine.job().iteration == 2
    rounds = engine.rounds()
    with store.read() as connection:
        asked = connection.scalar(select(func.count()).where(data_objects.c.iteration == 2))
    assert asked == len(rounds[1].plan.query) + len(rounds[1].plan.audit) + label_rounds.AHEAD
    assert rounds[0].drawn >= {*rounds[0].plan.query, ahead.position}


def test_an_answer_can_be_changed_until_its_round_is_settled(
    engine: Engine,
    store: Database,
    people: Callable[[int], list[str]],
    start: Callable[[int], None],
    answer_all: Callable[..., int],
) -> None:
    (ann,) = people(1)
    start(200)
    engine.step()
    answer_all(store, "animals", ann, truth, 10)
    first = own_work.recent_answers(store, ann, "animals")[-1]
    assert first.editable
    own_work.edit_answer(store, first.assignment_id, ann, {"x": {"label": "bird"}}, 1)
    answer_all(store, "animals", ann, truth)
    engine.step()
    assert engine.job().iteration == 2
    late = [given for given in own_work.recent_answers(store, ann, "animals", 100) if given.editable]
    assert late == []
    with pytest.raises(Closed, match="can no longer be changed"):
        own_work.edit_answer(store, first.assignment_id, ann, {"x": {"label": "cat"}}, 1)


def test_a_round_is_settled_once_whoever_comes_and_by_the_answers_that_stand(
    engine: Engine,
    store: Database,
    settings: ServiceSettings,
    people: Callable[[int], list[str]],
    start: Callable[[int], None],
    answer_all: Callable[..., int],
) -> None:
    (ann,) = people(1)
    start(300)
    while True:
        engine.step()
        if engine.rounds()[-1].plan.proposal:
            break
        answer_all(store, "animals", ann, truth)
    before, plan = engine.job(), engine.rounds()[-1].plan
    answer_all(store, "animals", ann, truth)
    counted = {position: 1 for position in plan.audit}
    # Somebody edited an answer to an audited object after it was looked at: nothing is kept of the old look.
    assert not label_rounds.settle(store, before, None, [], counted | {plan.audit[0]: 2}, None)
    assert engine.rounds()[-1].settlement is None
    stale = engine.job()
    engine.step()
    settled = engine.rounds()[before.iteration - 1].settlement
    assert settled is not None and settled["wrong"] == 0 and settled["accepted"] > 0
    machine = engine.states()["machine"]
    # Another process, or this one after a crash, that still thinks the round is open.
    keys = label_rounds.MachineLabel(plan.audit[0], {"animal": 0})
    assert not label_rounds.settle(store, stale, None, [keys], counted, plan)
    assert engine.states()["machine"] == machine
    # A service that begins anew goes on from the store alone, and ends with the same labels for the same objects.
    fresh = Engine(store, settings)
    for _ in range(20):
        fresh.step()
        if not answer_all(store, "animals", ann, truth) and fresh.job().status == "Completed":
            break
    assert fresh.job().status == "Completed"
    with store.read() as connection:
        asked = connection.scalar(select(func.count()).where(answers.c.revision == 0))
    assert asked == 300 - fresh.states()["machine"]


def test_a_job_does_not_end_where_its_round_is_settled_while_it_is_looked_at(
    engine: Engine,
    store: Database,
    settings: ServiceSettings,
    people: Callable[[int], list[str]],
    start: Callable[[int], None],
    answer_all: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (ann,) = people(1)
    start(200)
    engine.step()
    answer_all(store, "animals", ann, truth)
    finisher = Finisher(store, settings.storage(), settings)
    finisher.tick()
    settled = []

    def then_it_is_settled(look: Callable[..., bool]) -> Callable[..., bool]:
        def looked(*arguments: Any) -> bool:
            found = look(*arguments)
            if not settled:
                settled.append(True)
                engine.settle()
            return found

        return looked

    # Whichever the finisher looks at first, the round is settled after that.
    monkeypatch.setattr(finishing, "has_objects", then_it_is_settled(finishing.has_objects))
    monkeypatch.setattr(label_rounds, "are_over", then_it_is_settled(label_rounds.are_over))
    finisher.tick()
    assert settled
    assert engine.job().iteration == 2 and engine.job().ended_at is None


def test_a_first_sample_of_which_too_much_fails_stops_the_job(
    engine: Engine,
    store: Database,
    people: Callable[[int], list[str]],
    start: Callable[[int], None],
) -> None:
    ann, bob = people(2)
    start(200)
    engine.step()
    for _ in range(6):
        for worker in (ann, bob):
            task = leasing.next_assignment(store, worker, "animals")
            assert task is not None
            answering.decline(store, task.id, worker, "all black")
    engine.step()
    job = engine.job()
    assert job.status == "Failed" and "6 of the first 50 data objects failed" in job.failure_reason


def test_features_that_cannot_be_made_end_the_job_with_the_reason(
    engine: Engine,
    store: Database,
    people: Callable[[int], list[str]],
    start: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    people(1)
    start(200)

    def fail(_: Any) -> None:
        raise ValueError("the numbers do not add up")

    monkeypatch.setattr("trueground.service.engine.auto_labeling.Pool.make_features", fail)
    monkeypatch.setattr("trueground.service.engine.threads.Failures.may_try", lambda *_: True)
    for _ in range(4):
        engine.step()
    job = engine.job()
    assert job.status == "Failed" and "the numbers do not add up" in job.failure_reason
