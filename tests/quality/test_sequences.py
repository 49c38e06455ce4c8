"""Confidence sequences cover at all times, and an audit by doubt needs fewer reviews than plain sampling."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from trueground.quality.prediction_powered import UNIFORM, AuditDesign, audit
from trueground.quality.sequences import PREDICTED, ConfidenceSequence


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
    with pytest.raises(ValueError, match="a variance is more than 0"):
        ConfidenceSequence().add(0.5, variance=0.0)


def machine(seed: int, objects: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Confidences of a model that knows itself, most of them high, and which labels are wrong."""
    randomness = np.random.default_rng([seed, 9])
    confidence = 1 - randomness.beta(0.15, 3, objects)
    return confidence, randomness.random(objects) > confidence


class Kept:
    """A sequence that keeps what it is given."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def add(self, value: float, low: float, high: float, **_hints: float) -> None:
        assert low <= value <= high
        self.values.append(value)


def observations(design: AuditDesign, wrong: np.ndarray) -> np.ndarray:
    """What a review of each object would show."""
    kept, outlook = Kept(), design.outlook()
    for i in range(len(wrong)):
        if design.chance[i]:
            outlook.observe(kept, float(design.doubt[i]), float(design.chance[i]), bool(wrong[i]))  # type: ignore[arg-type]
        else:
            kept.values.append(0.0)
    return np.array(kept.values)


@pytest.mark.parametrize("judged", [0, 400, 1499])
def test_observations_are_unbiased_even_where_the_model_errs_about_itself_and_some_is_known(judged: int) -> None:
    confidence, wrong = machine(0)
    known = {i: bool(wrong[i]) for i in range(judged)}
    for sure in (confidence, confidence[::-1]):
        design = AuditDesign.active(sure, known)
        assert float(observations(design, wrong) @ design.chance) == pytest.approx(wrong.mean())
        free = design.chance[judged:]
        assert not design.chance[:judged].any() and (free * len(free)).min() >= UNIFORM - 1e-9
        variance = design.outlook().variance
        assert variance is not None and variance > 0


def test_observations_of_a_part_are_unbiased_for_the_part() -> None:
    confidence, wrong = machine(3)
    members = np.arange(len(wrong)) % 3 == 0
    part = AuditDesign.active(confidence, {0: bool(wrong[0])}).part(members)
    values = observations(part, wrong[members])
    assert float(values @ part.chance) / part.chance.sum() == pytest.approx(wrong[members].mean())


def test_what_is_known_leaves_less_to_be_estimated_and_all_of_it_nothing() -> None:
    confidence, wrong = machine(4)
    half = AuditDesign.active(confidence, {i: bool(wrong[i]) for i in range(750)}).outlook()
    none = AuditDesign.active(confidence).outlook()
    assert none.variance and half.variance and half.variance < none.variance / 2
    everything = AuditDesign.active(confidence, dict(enumerate(wrong.tolist())))
    assert everything.draw(30, 0).tolist() == []


def nights(confidence: np.ndarray, wrong: np.ndarray, seed: int, reviews: int) -> ConfidenceSequence:
    """Audits of thirty draws a night until so many labels were judged."""
    sequence = ConfidenceSequence(0.95, PREDICTED)
    known: dict[int, bool] = {}
    while len(known) < reviews:
        design = AuditDesign.active(confidence, known)
        draws = design.draw(min(30, reviews - len(known)), [seed, len(known)])
        known |= audit(design, draws, lambda i: bool(wrong[i]), sequence)
    return sequence


def test_the_same_width_takes_thirty_per_cent_fewer_reviews() -> None:
    confidence, wrong = machine(1)
    plain = AuditDesign.uniform(len(wrong))
    widths: dict[str, list[float]] = {"plain": [], "active": []}
    for seed in range(6):
        sequence = ConfidenceSequence(0.95)
        audit(plain, plain.draw(400, seed), lambda i: bool(wrong[i]), sequence)
        widths["plain"].append(sequence.upper - sequence.lower)
        sequence = nights(confidence, wrong, seed, 280)
        widths["active"].append(sequence.upper - sequence.lower)
    assert np.mean(widths["active"]) < np.mean(widths["plain"])


def test_an_object_drawn_twice_is_reviewed_once() -> None:
    asked: list[int] = []

    def is_wrong(number: int) -> bool:
        asked.append(number)
        return False

    sequence = ConfidenceSequence()
    assert audit(AuditDesign.uniform(3), np.array([0, 1, 0, 1]), is_wrong, sequence) == {0: False, 1: False}
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
@pytest.mark.parametrize("name", ["sms_spam", "mnist10k", "trec"])
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
