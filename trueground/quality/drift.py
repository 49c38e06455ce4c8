"""Whether inputs still look like those that a model learned from: a test that may be looked at every night."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

NEIGHBOURS = 5
DIRECTIONS = 4
SCORES = 1 + DIRECTIONS
SLOPES = np.array([-1.0, -0.4, -0.15, 0.0, 0.15, 0.4, 1.0])
"""The bets on a p-value: that it is small (negative), large (positive), or neither."""
JUMP = 0.003
"""The share of each bet that is spread over all bets before every object, so that a late drift is found as well."""


class InputScores:
    """A few numbers an object, by which inputs are compared.

    The first is its distance to its nearest neighbours among the reference objects, which grows with anything new; the
    others are its places along the directions in which the reference objects differ most.

    Args:
        reference: features ``[objects, features]`` of what it compares with, at least ``NEIGHBOURS`` objects.
    """

    def __init__(self, reference: ArrayLike) -> None:
        self.reference = np.asarray(reference, dtype=np.float64)
        self.mean = self.reference.mean(axis=0)
        _, _, directions = np.linalg.svd(self.reference - self.mean, full_matrices=False)
        self.directions: NDArray[np.float64] = directions[:DIRECTIONS]

    def __call__(self, features: ArrayLike) -> NDArray[np.float64]:
        """Scores ``[objects, SCORES]`` of features ``[objects, features]``, rounded to what can be told apart."""
        from scipy.spatial.distance import cdist

        rows = np.asarray(features, dtype=np.float64)
        near = np.sort(cdist(rows, self.reference), axis=1)[:, :NEIGHBOURS].mean(axis=1)
        places = (rows - self.mean) @ self.directions.T
        # With fewer reference objects than directions, the missing ones say nothing.
        places = np.pad(places, ((0, 0), (0, DIRECTIONS - places.shape[1])))
        return np.column_stack([near, places]).round(9)


class DriftTest:
    r"""A conformal test martingale for each score: capital that grows only where inputs are no longer alike.

    As long as new objects come from where the calibration objects came from, the rank of each among all objects so far,
    made a p-value with ties broken at random, is uniform and independent of the earlier ones. A player who bets on it
    with :math:`1 + s (p - 1/2)` then keeps a capital of 1 on average, and ever reaches ``SCORES / false_alarms`` with a
    chance of ``false_alarms / SCORES`` at most (Ville's inequality). So the chance that the test, looked at after every
    object for ever, gives a false alarm on any of its scores is at most ``false_alarms`` (Boole's inequality).

    Vovk, Testing randomness online, Statistical Science 2021; the bets are its Simple Jumper's.

    Args:
        calibration: scores ``[objects, SCORES]`` of objects like those that the model learned from.
        false_alarms: the chance of a false alarm, at all times together.
    """

    def __init__(self, calibration: ArrayLike, false_alarms: float) -> None:
        scores = np.asarray(calibration, dtype=np.float64)
        self.limit: float = scores.shape[1] / false_alarms
        self.evidence = 1.0
        self._known = np.sort(scores, axis=0)
        self._log_capital = np.zeros(scores.shape[1])
        self._shares = np.full((scores.shape[1], len(SLOPES)), 1 / len(SLOPES))

    @property
    def drifted(self) -> bool:
        """Whether there was ever enough evidence."""
        return self.evidence >= self.limit

    def add(self, scores: ArrayLike, seed: int) -> None:
        """Take new objects.

        Args:
            scores: ``[objects, SCORES]``, in random order.
            seed: breaks ties among scores.
        """
        rows = np.asarray(scores, dtype=np.float64).reshape(-1, self._known.shape[1])
        for values in self._p_values(rows, np.random.default_rng(seed).random(rows.shape)):
            spread = (1 - JUMP) * self._shares + JUMP / len(SLOPES)
            won = spread * (1 + SLOPES * (values[:, None] - 0.5))
            growth = won.sum(axis=1)
            self._shares = won / growth[:, None]
            self._log_capital += np.log(growth)
            self.evidence = max(self.evidence, math.exp(min(float(self._log_capital.max()), 700.0)))

    def _p_values(self, rows: NDArray[np.float64], ties: NDArray[np.float64]) -> NDArray[np.float64]:
        """For each object and score, the share of objects up to it with a greater score, by chance among equal ones."""
        before = np.tri(len(rows), k=-1, dtype=bool)
        found = np.empty(rows.shape)
        for column, known in enumerate(self._known.T):
            values = rows[:, column]
            up_to = np.searchsorted(known, values, "right")
            greater = len(known) - up_to + (before & (values[None] > values[:, None])).sum(axis=1)
            equal = (
                up_to - np.searchsorted(known, values) + (before & (values[None] == values[:, None])).sum(axis=1) + 1
            )
            found[:, column] = (greater + ties[:, column] * equal) / (len(known) + np.arange(1, len(rows) + 1))
        self._known = np.sort(np.concatenate([self._known, rows]), axis=0)
        return found
