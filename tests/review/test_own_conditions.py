"""Conditions that A2I never had."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.utils import shuffle

from tests.review.test_conditions import classified, decide, one
from trueground.autolabel.model import LabelModel
from trueground.errors import InputError
from trueground.review.novelty import Novelty

ORDER = classified(total=120.5, currency="EUR", items=[{"price": 20}, {"price": 100.5}], note=None)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (one("FieldCheck", Field="total", ValueGreaterThan=100), True),
        (one("FieldCheck", Field="total", ValueGreaterThan=100, ValueLessThan=110), False),
        (one("FieldCheck", Field="currency", OneOf=["EUR", "CHF"]), True),
        (one("FieldCheck", Field="currency", OneOf=["USD"]), False),
        (one("FieldCheck", Field="note", Missing=True), True),
        (one("FieldCheck", Field="total", Missing=True), False),
        (one("FieldCheck", Field="total", Missing=False), True),
        (one("FieldCheck", Field="total"), True),
        (one("FieldCheck", Field="nothing"), False),
        (one("PathCheck", Path="prediction.items[1].price", ValueEquals=100.5), True),
        (one("PathCheck", Path="length(prediction.items)", ValueGreaterThanEquals=3), False),
        (one("PathCheck", Path="prediction.items[7].price", Missing=True), True),
        (one("RuleCheck", Rule="prediction.total > `100` && prediction.currency != 'USD'"), True),
        (one("RuleCheck", Rule="sum(prediction.items[].price) == prediction.total"), True),
        (one("RuleCheck", Rule="prediction.total < `100`"), False),
        (one("RuleCheck", Rule="prediction.nothing"), False),
    ],
)
def test_fields_paths_and_rules(condition: dict[str, Any], holds: bool) -> None:
    assert decide(ORDER, condition).needs_review is holds


def test_two_models_that_disagree_are_reviewed() -> None:
    same = {**classified("cat"), "other": {"label": "cat"}}
    assert not decide(same, one("DisagreementCheck")).needs_review
    assert decide({**same, "other": {"label": "dog"}}, one("DisagreementCheck")).needs_review
    assert decide({**same, "second": "dog"}, one("DisagreementCheck", OtherLabel="second")).needs_review
    with pytest.raises(InputError) as caught:
        decide(classified("cat"), one("DisagreementCheck"))
    assert caught.value.field == "other.label"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (one("FieldCheck"), "needs Field"),
        (one("PathCheck", Path="items[", Missing=True), "is no JMESPath expression"),
        (one("RuleCheck", Rule=""), "must be a text"),
        (one("FieldCheck", Field="a", OneOf=[]), "must be a list of values"),
        (one("FieldCheck", Field="a", Missing="yes"), "must be true or false"),
        (one("StratifiedSampling", Path="a", Percentages={"cat": 101}), "from 0 to 100"),
        (one("WeightedSampling", Path="a"), "needs PercentagePerUnit"),
        (one("NoveltyCheck", NoveltyGreaterThan=2), "from 0 to 1"),
    ],
)
def test_what_means_nothing_is_refused_with_its_place(condition: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        decide(ORDER, condition)
    assert str(caught.value.field).startswith("Conditions[0].ConditionParameters")


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        (one("FieldCheck", Field="currency", ValueLessThan=1), "prediction.currency"),
        (one("PathCheck", Path="sum(prediction.label)", Missing=True), "prediction"),
        (one("RuleCheck", Rule="prediction.total"), "prediction"),
        (one("WeightedSampling", Path="prediction.currency", PercentagePerUnit=1), "prediction.currency"),
        (one("NoveltyCheck", NoveltyGreaterThan=0.9), "novelty"),
    ],
)
def test_a_prediction_that_a_condition_cannot_look_at_is_refused(condition: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        decide(ORDER, condition)
    assert caught.value.field == field


def test_each_stratum_and_each_weight_gets_the_share_it_was_promised() -> None:
    strata = one(
        "StratifiedSampling", Path="prediction.label", Percentages={"cat": 50, "dog": 5}, OtherwisePercentage=0
    )
    weights = one("WeightedSampling", Path="prediction.amount", PercentagePerUnit=10)

    def share(condition: dict[str, Any], **line: Any) -> float:
        drawn = [decide(classified(source=f"text {n}", **line), condition).needs_review for n in range(4000)]
        return float(np.mean(drawn))

    for condition, line, wanted in (
        (strata, {"label": "cat"}, 0.5),
        (strata, {"label": "dog"}, 0.05),
        (strata, {"label": "cow"}, 0.0),
        (weights, {"amount": 2}, 0.2),
        (weights, {"amount": 11}, 1.0),
    ):
        # Four standard deviations.
        assert share(condition, **line) == pytest.approx(wanted, abs=4 * math.sqrt(wanted * (1 - wanted) / 4000))


@given(st.floats(0, 100), st.floats(0, 100), st.text(min_size=1))
def test_what_a_small_share_draws_a_greater_one_draws_too(one_share: float, another: float, text: str) -> None:
    low, high = sorted((one_share, another))
    line = classified(source=text, stratum="s")

    def drawn(percent: float) -> bool:
        condition = one("StratifiedSampling", Path="prediction.stratum", Percentages={"s": percent})
        return bool(decide(line, condition).needs_review)

    assert drawn(high) or not drawn(low)


def test_novelty_is_a_quantile_of_like_objects_and_high_for_others() -> None:
    # Shuffled: the digits stand there writer by writer, and another writer's are not like them.
    rows, digits = shuffle(*load_digits(return_X_y=True), random_state=0)
    known, new = digits < 8, digits >= 8
    likes, others = rows[known], rows[new]
    novelty = Novelty(LabelModel().fit(likes[:700], digits[known][:700]))
    found = novelty.of(likes[700:])
    assert float(np.mean(found > 0.9)) == pytest.approx(0.1, abs=0.06)
    assert float(np.median(novelty.of(others))) > 0.9
    assert novelty.of(rows[:0]).shape == (0,)
