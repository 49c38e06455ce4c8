"""Confidence sequences cover at all times, and an audit by doubt needs fewer reviews than plain sampling."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from trueground.quality.prediction_powered import UNIFORM, AuditDesign, audit
from trueground.quality.sequences import ConfidenceSequence


def always_covers(values: np.ndarray, mean: float, confidence: float) -> bool:
    sequence = ConfidenceSequence(confidence)
    for value in values:
        sequence.add(float(value))
        if not sequence.lower <= mean <= sequence.upper:
            return False
    return True


@pytest.mark.parametrize("mean", [0.02, 0.3])
def test_a_sequence_excludes_the_mean_at_any_time_no_more_often_than_allowed(mean: float) -> None:
    runs = [always_covers(np.random.default_rng(seed).random(150) < mean, mean, 0.8) for seed in range(50)]
    # One in five may: more than 17 of 50 would happen by chance once in a hundred.
    assert runs.count(False) <= 17


def test_limits_close_in_and_never_open_again() -> None:
    sequence, before = ConfidenceSequence(0.95), 1.0
    for value in np.random.default_rng(0).random(800) < 0.1:
        sequence.add(float(value))
        assert sequence.upper - sequence.lower <= before
        before = sequence.upper - sequence.lower
    assert before < 0.1
    assert sequence.estimate is not None
    assert sequence.lower < sequence.estimate < sequence.upper


def test_a_rate_that_rises_is_proved_to_have_been_above() -> None:
    sequence = ConfidenceSequence(0.95)
    for value in np.random.default_rng(1).random(200) < 0.02:
        sequence.add(float(value))
    assert sequence.lower < 0.05
    for value in np.random.default_rng(2).random(200) < 0.3:
        sequence.add(float(value))
    assert sequence.lower > 0.05


@pytest.mark.parametrize("confidence", [0.0, 1.0, 1.5])
def test_a_confidence_outside_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        ConfidenceSequence(confidence)


def test_an_observation_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="does not lie between"):
        ConfidenceSequence().add(1.5)


def machine(seed: int, objects: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Confidences of a model that knows itself, most of them high, and which labels are wrong."""
    randomness = np.random.default_rng([seed, 9])
    confidence = 1 - randomness.beta(0.15, 3, objects)
    return confidence, randomness.random(objects) > confidence


def test_observations_are_unbiased_and_lie_in_their_range_even_where_the_model_errs_about_itself() -> None:
    confidence, wrong = machine(0)
    for sure in (confidence, confidence[::-1]):
        design = AuditDesign.active(sure)
        values = np.array([design.observation(i, bool(wrong[i])) for i in range(len(wrong))])
        assert float(values @ design.chance) == pytest.approx(wrong.mean())
        low, high = design.range()
        assert low <= values.min()
        assert values.max() <= high
        assert (design.chance * len(wrong)).min() >= UNIFORM


def test_the_same_width_takes_thirty_per_cent_fewer_reviews() -> None:
    confidence, wrong = machine(1)
    plain, active = AuditDesign.uniform(len(wrong)), AuditDesign.active(confidence)
    widths: dict[str, list[float]] = {"plain": [], "active": []}
    for seed in range(6):
        for name, design, draws in (("plain", plain, 400), ("active", active, 280)):
            sequence = ConfidenceSequence(0.95)
            reviews = audit(design, design.draw(draws, seed), lambda i: bool(wrong[i]), sequence)
            assert reviews <= draws
            widths[name].append(sequence.upper - sequence.lower)
    assert np.mean(widths["active"]) < np.mean(widths["plain"])


def test_an_object_drawn_twice_is_reviewed_once() -> None:
    asked: list[int] = []

    def is_wrong(number: int) -> bool:
        asked.append(number)
        return False

    sequence = ConfidenceSequence()
    assert audit(AuditDesign.uniform(3), [0, 1, 0, 1], is_wrong, sequence) == 2
    assert asked == [0, 1]
    assert sequence.count == 4


@pytest.mark.parametrize("confidence", [[], [0.5, 1.2], [0.5, float("nan")]])
def test_confidences_that_are_none_are_refused(confidence: list[float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        AuditDesign.active(confidence)


def test_the_same_seed_draws_the_same() -> None:
    design = AuditDesign.active(machine(2)[0])
    assert design.draw(20, [1, 2]).tolist() == design.draw(20, [1, 2]).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sms_spam", "mnist10k"])
def test_on_data_sets_a_third_of_the_reviews_is_saved_and_two_hundred_seeds_are_covered(name: str) -> None:
    from benchmarks.audits import CONFIDENCE, machine_labels, measure
    from benchmarks.autolabel import pools

    folder = Path(os.environ.get("TRUEGROUND_BENCH_DATA", "../shared/data")) / "autolabel"
    pool = next(pools(folder, name, 1), None)
    if pool is None:
        pytest.skip(f"no data set {name} below {folder}; TRUEGROUND_BENCH_DATA names the folder of benchmark data")
    _, needed, plain, active = measure(*machine_labels(*pool), seeds=200)
    assert needed <= 0.7
    assert min(plain, active) >= CONFIDENCE - 0.035, "of 200 seeds 17 failures would happen once in fifty times"
