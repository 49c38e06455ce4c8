"""Whole runs of rounds, with people who know the truth and with people who err."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trueground.autolabel.choose import AutoLabelSettings, Forecast, plan_round
from trueground.autolabel.model import LabelModel
from trueground.autolabel.simulate import SimulatedRun, simulate_rounds

PROMISE = AutoLabelSettings(accuracy=0.95, confidence=0.95)


def clusters(seed: int, objects: int = 800, noise: float = 0.5) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Three classes around three points; with noise they run into each other."""
    randomness = np.random.default_rng([seed, 3])
    classes = randomness.integers(0, 3, objects)
    rows = 2 * np.eye(3)[classes] + randomness.normal(0, noise, (objects, 3))
    return rows.astype(np.float32), np.array(["a", "b", "c"])[classes]


def run(seed: int, noise: float = 0.5, mistakes: float = 0.0, rounds: int = 6) -> SimulatedRun:
    features, truth = clusters(seed, noise=noise)
    return simulate_rounds(
        features, truth, settings=PROMISE, first=40, each=30, rounds=rounds, seed=seed, mistakes=mistakes
    )


@pytest.mark.parametrize("noise", [0.3, 0.6, 2.0])
def test_every_object_ends_with_one_label(noise: float) -> None:
    ended = run(0, noise)
    assert ended.human + ended.machine == ended.objects == 800


def test_easy_data_costs_few_answers_and_noise_costs_all_of_them() -> None:
    assert run(1, noise=0.3).human_share < 0.3
    # Nobody can label these 95 % right: the machine gets none.
    assert run(1, noise=3.0).machine == 0


def test_a_run_is_the_same_every_time() -> None:
    assert run(2, mistakes=0.02) == run(2, mistakes=0.02)


def test_two_rounds_are_people_alone() -> None:
    # The first has no model yet, and the last leaves nothing to the machine.
    assert run(3, rounds=2).human_share == 1.0


def test_mistakes_of_people_cost_audits_and_not_the_promise() -> None:
    runs = [run(seed, noise=0.3, mistakes=0.01) for seed in range(8)]
    assert sum(ended.machine > 0 for ended in runs) >= 4
    # Each may break it with a chance of one in twenty: three of eight would happen once in 170 times.
    assert sum(ended.breaks(PROMISE.accuracy) for ended in runs) <= 2


@pytest.mark.parametrize(("rounds", "waits"), [(10, True), (5, False), (None, False)])
def test_a_round_waits_only_while_what_it_leaves_out_is_worth_asking_and_rounds_remain(
    rounds: int | None, waits: bool
) -> None:
    features, truth = clusters(4, noise=0.7)
    human = {i: str(truth[i]) for i in range(150)}
    model = LabelModel().fit(features[:150], truth[:150])
    plan = plan_round(
        features,
        human=human,
        machine=set(),
        forecast=Forecast.of(model, features, human, set(human)),
        settings=PROMISE,
        round=3,
        proposals=0,
        budget=30,
        seed=0,
        rounds=rounds,
    )
    assert (not plan.proposal) == waits
    if waits:
        assert len(plan.query) == 30
    else:
        left_out = len(features) - len(human) - len(plan.proposal)
        assert left_out > 30, "otherwise nothing told it to wait"
        assert set(plan.audit) <= set(plan.proposal)
        assert not set(plan.query) & set(plan.proposal)


def test_a_plan_never_asks_about_what_has_a_label() -> None:
    features, truth = clusters(5)
    human = {i: str(truth[i]) for i in range(60)}
    machine = set(range(60, 500))
    model = LabelModel().fit(features[:60], truth[:60])
    plan = plan_round(
        features,
        human=human,
        machine=machine,
        forecast=Forecast.of(model, features, human, set(human)),
        settings=PROMISE,
        round=2,
        proposals=1,
        budget=40,
        seed=0,
    )
    assert plan.query or plan.audit
    assert all(i >= 500 for i in (*plan.query, *plan.audit, *plan.proposal))
