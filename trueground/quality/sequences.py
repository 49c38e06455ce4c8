"""Confidence sequences: limits on a mean that hold at every time at once, however often somebody looks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRID = np.unique(np.concatenate([np.linspace(0.0, 0.1, 401), np.linspace(0.1, 1.0, 361)]))
"""The means that are tested, finer where error rates lie."""
FRACTIONS = np.geomspace(0.02, 0.9, 8)
"""Fixed bets, as shares of the largest one that cannot lose everything."""
FIRST_GUESS, FIRST_VARIANCE = 0.05, 0.0125
"""What the first bet takes for mean and variance; a wrong guess costs width, never coverage."""


@dataclass(frozen=True)
class Betting:
    """How the players bet: it moves width, never coverage.

    Attributes:
        kelly: the share of each player's capital that follows the approximate Kelly bet.
        largest: of the bet that could lose everything, the share that is bet at most.
        prior: how many observations the predicted mean and variance count as.
    """

    kelly: float
    largest: float
    prior: float


GUESSED, PREDICTED = Betting(0.5, 0.9, 1), Betting(0.9, 0.95, 20)
"""For observations of which nothing is known before, and for those whose mean and variance a model foretells."""


class ConfidenceSequence:
    r"""Limits on a mean in [0, 1], valid at all times together with one ``confidence``.

    For each mean ``m`` of a grid, two players bet against it: one wins where observations lie above, one where they
    lie below. Their capital, :math:`\prod_i (1 \pm \lambda_i (x_i - m))` with a bet :math:`\lambda_i` that is chosen
    before ``x_i`` is seen, is a nonnegative supermartingale while the mean is at most (at least) ``m``, so it ever
    reaches ``2 / (1 - confidence)`` with a chance of ``(1 - confidence) / 2`` at most (Ville's inequality); then ``m``
    is out. Some of each player's capital follows the approximate Kelly bet, the rest is spread over fixed fractions
    (Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 2024).

    Where the mean changes over time, ``lower`` still proves that it once was above, ``upper`` that it once was below.

    Args:
        confidence: of both limits together, in (0, 1).
        betting: how its players bet.

    Raises:
        ValueError: the confidence is not between 0 and 1.
    """

    def __init__(self, confidence: float = 0.95, betting: Betting = GUESSED) -> None:
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
        self.confidence = confidence
        self.lower, self.upper, self.count = 0.0, 1.0, 0
        self._goal = math.log(2 / (1 - confidence))
        self._betting = betting
        fixed = np.full(len(FRACTIONS), (1 - betting.kelly) / len(FRACTIONS))
        self._shares = np.log(np.r_[betting.kelly, fixed])[:, None]
        self._above = np.zeros((1 + len(FRACTIONS), len(GRID)))
        self._below = np.zeros_like(self._above)
        # Observations in units of their variance: their sum, the sum of weights, and of squared deviations.
        self._sum = self._weight = self._squares = 0.0

    def add(
        self,
        value: float,
        low: float = 0.0,
        high: float = 1.0,
        *,
        expected: float = FIRST_GUESS,
        variance: float = FIRST_VARIANCE,
    ) -> None:
        """Take one observation.

        Args:
            value: the observation; its mean, given all earlier ones, is what is estimated.
            low, high: what it could have been at least and at most, known before it was seen.
            expected, variance: what was predicted of it before it was seen. Only what variances are to each other
                counts for long: their scale is learned.

        Raises:
            ValueError: the value lies outside, or no variance is predicted.
        """
        if not low <= value <= high:
            raise ValueError(f"the observation {value} does not lie between {low} and {high}")
        if not variance > 0:
            raise ValueError(f"a variance is more than 0, got {variance}")
        prior = self._betting.prior
        below, above = np.maximum(GRID - low, 1e-9), np.maximum(high - GRID, 1e-9)
        mean = self._mean(prior, expected, variance)
        scale = (self._squares + prior) / (self.count + prior)
        gap = mean - GRID
        kelly = gap / (scale * variance + gap**2)
        deviation = value - GRID
        self._above += np.log1p(self._bets(kelly, below) * deviation)
        self._below += np.log1p(-self._bets(-kelly, above) * deviation)
        self.count += 1
        self._sum += value / variance
        self._weight += 1 / variance
        self._squares += (value - self._mean(prior, expected, variance)) ** 2 / variance
        out = np.flatnonzero(np.logaddexp.reduce(self._above + self._shares, axis=0) >= self._goal)
        # A mean that is too small refutes all smaller ones too, because the null hypotheses are nested.
        self.lower = max(self.lower, float(GRID[out[-1]]) if len(out) else 0.0)
        out = np.flatnonzero(np.logaddexp.reduce(self._below + self._shares, axis=0) >= self._goal)
        self.upper = min(self.upper, float(GRID[out[0]]) if len(out) else 1.0)

    @property
    def estimate(self) -> float | None:
        """The mean of the observations, each weighing the less the more it was to vary; ``None`` before the first."""
        return min(1.0, max(0.0, self._sum / self._weight)) if self.count else None

    def _mean(self, prior: float, expected: float, variance: float) -> float:
        return (self._sum + prior * expected / variance) / (self._weight + prior / variance)

    def _bets(self, kelly: NDArray[np.float64], room: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bets ``[players, means]``: none may lose everything, whatever is observed."""
        own = np.clip(kelly, 0.0, self._betting.largest / room)
        return np.vstack([own, FRACTIONS[:, None] / room])
