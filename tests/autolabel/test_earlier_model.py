"""The first round may start from the model of earlier nights, and the promise does not depend on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.autolabel.test_simulate import PROMISE, clusters
from tests.models.conftest import night, texts
from tests.models.test_registry import register
from trueground.autolabel import rounds
from trueground.autolabel.earlier_model import why_no_earlier_model
from trueground.autolabel.features import text_features
from trueground.autolabel.model import LabelModel
from trueground.autolabel.simulate import SimulatedRun, simulate_rounds
from trueground.models import Registry
from trueground.run import Run

__all__ = ["night"]


def started(run: Run, numbers: range) -> Run:
    run.write_lines(({"source": text} for text in texts(numbers)), "input.manifest")
    return run


def promote(run: Run, name: str, content: bytes) -> None:
    registry = Registry(run.storage, run.project.output)
    register(registry, name, content)
    registry.promote(name, by=name, reason="")


def learned(labels: dict[str, str]) -> bytes:
    return LabelModel().fit(text_features(labels), list(labels.values())).to_bytes()


def test_without_a_model_the_first_round_is_drawn_at_random(night: Callable[..., Run]) -> None:
    run = started(night("one"), range(300))
    assert rounds.choose(run, 1) == 200
    assert run.read_json("rounds", "1", "plan.json")["at_random"]
    assert run.read_json("earlier-model.json") == {"model": None}


def test_the_first_round_proposes_what_the_current_model_is_sure_of_and_has_it_audited(
    night: Callable[..., Run],
) -> None:
    run = started(night("two"), range(300))
    promote(run, "a", learned(texts(range(300, 400))))
    rounds.choose(run, 1)
    plan = run.read_json("rounds", "1", "plan.json")
    assert len(plan["proposal"]) > 300
    assert 0 < len(plan["audit"]) < 200 and set(plan["audit"]) <= set(plan["proposal"])
    # Another model is promoted, and the step is repeated: it asks about the same objects.
    promote(run, "b", learned(texts(range(400, 420))))
    rounds.choose(run, 1)
    assert run.read_json("rounds", "1", "plan.json") == plan


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"no model", "not a model file"), (learned({"a b": "spam", "c d": "ham"}), "knows ham, spam, which the project")],
)
def test_a_model_that_does_not_fit_is_named_and_people_start_at_random(
    night: Callable[..., Run], content: bytes, reason: str
) -> None:
    run = started(night("three"), range(300))
    promote(run, "a", content)
    rounds.choose(run, 1)
    assert run.read_json("rounds", "1", "plan.json")["at_random"]
    assert reason in str(why_no_earlier_model(run))


def simulate(seed: int, earlier: LabelModel | None, noise: float = 0.5) -> SimulatedRun:
    features, truth = clusters(seed, noise=noise)
    return simulate_rounds(features, truth, settings=PROMISE, first=40, each=30, rounds=6, seed=seed, earlier=earlier)


def test_a_good_earlier_model_saves_answers() -> None:
    earlier = LabelModel().fit(*clusters(99, objects=300))
    assert all(simulate(seed, earlier).human < simulate(seed, None).human for seed in range(3))


def test_a_misleading_earlier_model_costs_answers_and_never_the_promise() -> None:
    features, truth = clusters(99, objects=300)
    # It is sure of itself, and calls one class by another's name.
    earlier = LabelModel().fit(features, np.where(truth == "a", "b", truth))
    runs = [simulate(seed, earlier) for seed in range(20)]
    assert sum(run.breaks(PROMISE.accuracy) for run in runs) <= 20 * (1 - PROMISE.confidence)
