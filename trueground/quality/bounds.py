"""Exact one-sided confidence limits from a random sample."""

from __future__ import annotations

import math

NEGLIGIBLE = 1e-18


def log_binomial(n: int, k: int) -> float:
    """Logarithm of n choose k; minus infinity where it is zero."""
    if k < 0 or k > n:
        return -math.inf
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def hypergeometric_cdf(found: int, population: int, bad: int, sampled: int) -> float:
    """P(at most ``found`` bad ones in a sample without replacement of ``sampled`` from ``population`` with ``bad``)."""
    whole = log_binomial(population, sampled)
    likeliest = (sampled + 1) * (bad + 1) / (population + 2)
    total = 0.0
    for k in range(min(found, sampled, bad), max(0, sampled - (population - bad)) - 1, -1):
        term = math.exp(log_binomial(bad, k) + log_binomial(population - bad, sampled - k) - whole)
        total += term
        # Below the likeliest number the terms only shrink: what follows no longer counts.
        if k < likeliest and term <= total * NEGLIGIBLE:
            break
    return min(1.0, total)


def most_bad(population: int, sampled: int, found: int, delta: float) -> int:
    """The upper confidence limit on how many of a finite population are bad.

    The largest number of bad ones under which a sample like this, or a better one, still has a chance above ``delta``:
    the exact test turned into an interval (the hypergeometric form of Clopper and Pearson, Biometrika 1934; see also
    Konijn, Statistical Theory of Sample Survey Design, 1973). The limit fails with a chance of at most ``delta``.

    Args:
        population: how many there are.
        sampled: how many were drawn at random, without replacement.
        found: how many of those were bad.
        delta: the chance of failure, in (0, 1).

    Raises:
        ValueError: the numbers do not fit each other.
    """
    if not 0 <= found <= sampled <= population:
        raise ValueError(f"needs 0 <= found <= sampled <= population, got {found}, {sampled}, {population}")
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie between 0 and 1, got {delta}")
    low, high = found, population - (sampled - found)
    # The chance falls as the number of bad ones grows: search for the last number whose chance is above delta.
    while low < high:
        middle = (low + high + 1) // 2
        if hypergeometric_cdf(found, population, middle, sampled) > delta:
            low = middle
        else:
            high = middle - 1
    return low


def wilson_interval(right: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """A two-sided interval for a share (Wilson, JASA 1927); (0, 1) where nothing was counted."""
    if total == 0:
        return 0.0, 1.0
    from statistics import NormalDist

    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = right / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)
