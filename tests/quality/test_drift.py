"""The drift test: calibrated however often it is looked at, and quick to see what changed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from benchmarks.drift import (
    A_NIGHT,
    NIGHTS,
    REPLACED,
    STEADY,
    STRANGERS,
    first_alarm,
    load,
    mixed,
    pool_of,
    strangers_of,
)
from trueground.quality.drift import SCORES, DriftTest, InputScores

DATA = Path(os.environ.get("TRUEGROUND_BENCH_DATA", "../shared/data")) / "autolabel"


def test_scores_tell_how_far_away_an_object_is_and_in_which_direction() -> None:
    reference = np.random.default_rng(0).normal(size=(50, 3)) * [9.0, 1.0, 0.1]
    scores = InputScores(reference)
    near, far = scores(np.array([[0.0, 0.0, 0.0], [0.0, 90.0, 0.0]]))
    assert far[0] > 10 * near[0] and abs(far[2]) > 10 * abs(near[2])
    assert scores(reference).shape == (50, SCORES)


def test_equal_objects_are_no_drift() -> None:
    test = DriftTest(np.zeros((100, SCORES)), 0.05)
    test.add(np.zeros((500, SCORES)), seed=3)
    assert not test.drifted


def test_evidence_stays_once_it_was_found() -> None:
    test = DriftTest(np.random.default_rng(0).normal(size=(200, SCORES)), 0.05)
    test.add(np.random.default_rng(1).normal(3, size=(50, SCORES)), seed=0)
    assert test.drifted
    found = test.evidence
    test.add(np.random.default_rng(2).normal(size=(50, SCORES)), seed=0)
    assert test.evidence >= found


def test_a_slow_drift_is_found_too() -> None:
    rng = np.random.default_rng(0)
    test = DriftTest(rng.normal(size=(300, SCORES)), 0.05)
    for night in range(20):
        test.add(rng.normal(0.05 * night, size=(50, SCORES)), seed=night)
    assert test.drifted


def test_false_alarms_are_as_rare_as_stated_over_200_seeds_of_real_digits() -> None:
    digits = load_digits().data
    alarms = [first_alarm(pool_of(digits, seed)[:1100], lambda _, objects: objects, seed) for seed in range(200)]
    assert np.mean([night is not None for night in alarms]) <= 0.05


def test_each_night_of_a_benchmarked_change_has_strangers_of_its_own() -> None:
    strangers = strangers_of(np.arange(STRANGERS + 7, dtype=np.float32)[:, None], seed=1)
    come, own = mixed(strangers), np.full((A_NIGHT, 1), -1, dtype=np.float32)
    nights = [come(night, own) for night in range(NIGHTS)]
    assert [len(night) for night in nights] == [A_NIGHT] * NIGHTS
    assert [int((night >= 0).sum()) for night in nights] == [0] * STEADY + [REPLACED] * (NIGHTS - STEADY)
    assert len(np.unique(np.concatenate(nights))) == STRANGERS + 1
    with pytest.raises(ValueError):
        strangers_of(strangers[1:], seed=1)


def test_a_new_kind_of_picture_is_found_within_two_nights() -> None:
    known, stranger = load(DATA, "mnist10k"), load(DATA, "fashion10k")
    if known is None or stranger is None:
        pytest.skip(f"no data below {DATA}; TRUEGROUND_BENCH_DATA names the folder of the benchmark data")
    for seed in range(5):
        night = first_alarm(pool_of(known[0], seed), mixed(strangers_of(stranger[0], seed)), seed)
        assert night is not None and 3 <= night <= 4
