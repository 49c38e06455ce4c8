import math

import numpy as np
import pytest

from trueground.consolidation import krippendorff_alpha

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers, twelve units.
TABLE = {
    "A": [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    "B": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    "C": [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    "D": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
}


def published() -> tuple[list[int], list[str], list[int]]:
    rows = [(unit, name, value) for name, values in TABLE.items() for unit, value in enumerate(values) if value]
    tasks, workers, labels = zip(*rows, strict=True)
    return list(tasks), list(workers), list(labels)


def test_the_published_example_with_missing_answers() -> None:
    assert krippendorff_alpha(*published()) == pytest.approx(0.743, abs=5e-4)


def test_full_agreement_is_one_and_constant_disagreement_is_negative() -> None:
    assert krippendorff_alpha([0, 0, 1, 1], [0, 1, 0, 1], ["a", "a", "b", "b"]) == 1.0
    assert krippendorff_alpha([0, 0], [0, 1], ["a", "a"]) == 1.0
    below = krippendorff_alpha([0, 0, 1, 1], [0, 1, 0, 1], ["a", "b", "a", "b"])
    assert below is not None and below < 0


def test_chance_is_zero() -> None:
    rng = np.random.default_rng(0)
    alpha = krippendorff_alpha(
        np.repeat(np.arange(20_000), 3), np.tile(np.arange(3), 20_000), rng.integers(0, 4, 60_000)
    )
    assert alpha is not None and math.isclose(alpha, 0, abs_tol=0.01)


def test_no_task_with_two_answers_has_no_agreement() -> None:
    assert krippendorff_alpha([], [], []) is None
    assert krippendorff_alpha([0, 1], [0, 0], [1, 1]) is None


def test_the_last_of_two_answers_of_a_worker_counts() -> None:
    tasks, workers, labels = published()
    assert krippendorff_alpha([0, *tasks], ["A", *workers], [9, *labels]) == krippendorff_alpha(tasks, workers, labels)
