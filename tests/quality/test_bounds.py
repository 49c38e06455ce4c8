"""Confidence limits against brute force."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trueground.quality.bounds import hypergeometric_cdf, most_bad, wilson_interval


def exact_cdf(found: int, population: int, bad: int, sampled: int) -> float:
    ways = sum(comb(bad, k) * comb(population - bad, sampled - k) for k in range(found + 1) if k <= sampled)
    return ways / comb(population, sampled)


@st.composite
def samples(draw: st.DrawFn) -> tuple[int, int, int]:
    population = draw(st.integers(1, 60))
    sampled = draw(st.integers(0, population))
    return population, sampled, draw(st.integers(0, sampled))


@given(samples(), st.integers(0, 60))
def test_the_distribution_is_exact(sample: tuple[int, int, int], bad: int) -> None:
    population, sampled, found = sample
    bad = min(bad, population)
    assert hypergeometric_cdf(found, population, bad, sampled) == pytest.approx(
        exact_cdf(found, population, bad, sampled)
    )


@given(samples(), st.sampled_from([0.01, 0.05, 0.3]))
def test_the_limit_is_the_last_number_that_is_still_plausible(sample: tuple[int, int, int], delta: float) -> None:
    population, sampled, found = sample
    chances = {
        bad: exact_cdf(found, population, bad, sampled) for bad in range(found, population - (sampled - found) + 1)
    }
    # A chance of exactly delta falls on either side by a rounding error; both are limits.
    clearly = max((bad for bad, chance in chances.items() if chance > delta * (1 + 1e-9)), default=found)
    barely = max((bad for bad, chance in chances.items() if chance > delta * (1 - 1e-9)), default=found)
    assert most_bad(population, sampled, found, delta) in (clearly, barely)


@settings(max_examples=30)
@given(st.integers(5, 40), st.data())
def test_the_limit_fails_no_more_often_than_allowed(population: int, data: st.DataObject) -> None:
    bad = data.draw(st.integers(0, population))
    sampled = data.draw(st.integers(1, population))
    delta = 0.1
    failing = sum(
        exact_cdf(found, population, bad, sampled) - (exact_cdf(found - 1, population, bad, sampled) if found else 0)
        for found in range(max(0, sampled - (population - bad)), min(bad, sampled) + 1)
        if most_bad(population, sampled, found, delta) < bad
    )
    assert failing <= delta + 1e-9


def test_large_populations_need_no_large_numbers() -> None:
    # With replacement the limit would be 1 - 0.05 ** (1 / 300) = 0.99 %; ten millions come close to that.
    assert most_bad(10_000_000, 300, 0, 0.05) / 10_000_000 == pytest.approx(0.00994, abs=1e-4)


@pytest.mark.parametrize("numbers", [(10, 11, 0, 0.05), (10, 5, 6, 0.05), (10, 5, -1, 0.05), (10, 5, 1, 0.0)])
def test_numbers_that_do_not_fit_are_refused(numbers: tuple[int, int, int, float]) -> None:
    with pytest.raises(ValueError, match=r"needs|delta"):
        most_bad(*numbers)


def test_the_wilson_interval_is_the_published_one() -> None:
    # Newcombe, Statistics in Medicine 1998, table I: 81 of 263.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_a_whole_population_that_was_looked_at_leaves_no_doubt() -> None:
    assert most_bad(50, 50, 3, 0.05) == 3
    assert most_bad(0, 0, 0, 0.05) == 0


def test_nothing_looked_at_excludes_nothing() -> None:
    assert most_bad(50, 0, 0, 0.05) == 50


def test_a_large_sample_agrees_with_scipy() -> None:
    from scipy.stats import hypergeom

    limit = most_bad(1_000_000, 50_000, 2_000, 0.05)
    assert hypergeom.cdf(2_000, 1_000_000, limit, 50_000) > 0.05
    assert hypergeom.cdf(2_000, 1_000_000, limit + 1, 50_000) <= 0.05
