"""Confidence sequences: limits on a mean that hold at every time at once, however often somebody looks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

GRID = np.unique(np.concatenate([np.linspace(0.0, 0.1, 401), np.linspace(0.1, 1.0, 361)]))
"""The means that are tested, finer where error rates lie."""
FRACTIONS = np.geomspace(0.02, 0.9, 8)
"""Fixed bets, as shares of the largest one that cannot lose everything."""
LARGEST_BET = 0.9
FIRST_GUESS, FIRST_VARIANCE = 0.05, 0.0125
"""What the first bet takes for mean and variance; a wrong guess costs width, never coverage."""


class ConfidenceSequence:
    r"""Limits on a mean in [0, 1], valid at all times together with one ``confidence``.

    For each mean ``m`` of a grid, two players bet against it: one wins where observations lie above, one where they
    lie below. Their capital, :math:`\prod_i (1 \pm \lambda_i (x_i - m))` with a bet :math:`\lambda_i` that is chosen
    before ``x_i`` is seen, is a nonnegative supermartingale while the mean is at most (at least) ``m``, so it ever
    reaches ``2 / (1 - confidence)`` with a chance of ``(1 - confidence) / 2`` at most (Ville's inequality); then ``m``
    is out. Half of each player's capital follows the approximate Kelly bet, half is spread over fixed fractions
    (Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 2024).

    Where the mean changes over time, ``lower`` still proves that it once was above, ``upper`` that it once was below.

    Args:
        confidence: of both limits together, in (0, 1).

    Raises:
        ValueError: the confidence is not between 0 and 1.
    """

    def __init__(self, confidence: float = 0.95) -> None:
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
        self.confidence = confidence
        self.lower, self.upper, self.count = 0.0, 1.0, 0
        self._goal = math.log(2 / (1 - confidence))
        self._shares = np.log(np.r_[0.5, np.full(len(FRACTIONS), 0.5 / len(FRACTIONS))])[:, None]
        self._above = np.zeros((1 + len(FRACTIONS), len(GRID)))
        self._below = np.zeros_like(self._above)
        self._sum = self._squares = 0.0

    def add(self, value: float, low: float = 0.0, high: float = 1.0) -> None:
        """Take one observation.

        Args:
            value: the observation; its mean, given all earlier ones, is what is estimated.
            low, high: what it could have been at least and at most, known before it was seen.

        Raises:
            ValueError: the value lies outside.
        """
        if not low <= value <= high:
            raise ValueError(f"the observation {value} does not lie between {low} and {high}")
        below, above = np.maximum(GRID - low, 1e-9), np.maximum(high - GRID, 1e-9)
        mean = (self._sum + FIRST_GUESS) / (self.count + 1)
        variance = (self._squares + FIRST_VARIANCE) / (self.count + 1)
        gap = mean - GRID
        kelly = gap / (variance + gap**2)
        deviation = value - GRID
        self._above += np.log1p(self._bets(kelly, below) * deviation)
        self._below += np.log1p(-self._bets(-kelly, above) * deviation)
        self.count += 1
        self._sum += value
        self._squares += (value - self._sum / self.count) ** 2
        out = np.flatnonzero(np.logaddexp.reduce(self._above + self._shares, axis=0) >= self._goal)
        # A mean that is too small refutes all smaller ones too, because the null hypotheses are nested.
        self.lower = max(self.lower, float(GRID[out[-1]]) if len(out) else 0.0)
        out = np.flatnonzero(np.logaddexp.reduce(self._below + self._shares, axis=0) >= self._goal)
        self.upper = min(self.upper, float(GRID[out[0]]) if len(out) else 1.0)

    @property
    def estimate(self) -> float | None:
        """The mean of the observations, ``None`` before the first."""
        return self._sum / self.count if self.count else None

    @staticmethod
    def _bets(kelly: NDArray[np.float64], room: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bets ``[players, means]``: none may lose everything, whatever is observed."""
        own = np.clip(kelly, 0.0, LARGEST_BET / room)
        return np.vstack([own, FRACTIONS[:, None] / room])
