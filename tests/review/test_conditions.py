"""Activation conditions: A2I's types, those of our own, and all of them against a brute-force evaluator."""

from __future__ import annotations

import json
import math
import operator
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueground.errors import InputError
from trueground.review.conditions import draw, parse_conditions

COMPARE = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}
PAY_DATE = {"ImportantFormKey": "Pay Date", "ImportantFormKeyAliases": ["PayDate", "pay-date"]}


def form(*fields: tuple[str, float, list[float]], source: str = "s3://forms/1.png") -> dict[str, Any]:
    """A prediction line with these key-value pairs: the key, the pair's confidence, its words' confidences."""
    blocks: list[dict[str, Any]] = [{"Id": "page", "BlockType": "PAGE"}]
    for number, (key, confidence, words) in enumerate(fields):
        pair = {"BlockType": "KEY_VALUE_SET", "Confidence": confidence}
        first, *rest = [f"{number}-w{at}" for at in range(len(words))]
        key_parts = [{"Type": "CHILD", "Ids": [first]}, {"Type": "VALUE", "Ids": [f"{number}-v"]}]
        value_parts = [{"Type": "CHILD", "Ids": rest}]
        blocks.append({**pair, "Id": f"{number}-k", "EntityTypes": ["KEY"], "Relationships": key_parts})
        blocks.append({**pair, "Id": f"{number}-v", "EntityTypes": ["VALUE"], "Relationships": value_parts})
        blocks += [
            {"Id": f"{number}-w{at}", "BlockType": "WORD", "Text": "something" if at else key, "Confidence": word}
            for at, word in enumerate(words)
        ]
    return {"id": source, "source-ref": source, "service": "textract", "prediction": {"Blocks": blocks}}


def picture(*labels: tuple[str, float], source: str = "s3://pictures/1.png") -> dict[str, Any]:
    found = [{"Name": name, "Confidence": confidence, "ParentName": ""} for name, confidence in labels]
    return {"id": source, "source-ref": source, "service": "rekognition", "prediction": {"ModerationLabels": found}}


def classified(label: str = "cat", source: str = "a text", **prediction: Any) -> dict[str, Any]:
    return {"id": source, "source": source, "service": "custom", "prediction": {"label": label, **prediction}}


def one(kind: str, **parameters: Any) -> dict[str, Any]:
    return {"ConditionType": kind, "ConditionParameters": parameters}


def decide(line: dict[str, Any], *conditions: Any) -> Any:
    return parse_conditions(json.dumps({"Conditions": conditions}), service=line["service"]).evaluate(line)


def words_of(line: dict[str, Any], *conditions: Any) -> list[str]:
    return [field.key for field in decide(line, *conditions).selected]


@pytest.mark.parametrize("how", COMPARE)
@pytest.mark.parametrize("quantity", ["KeyValueBlockConfidence", "WordBlockConfidence"])
@pytest.mark.parametrize("confidence", [59.5, 60, 60.5])
def test_each_comparison_of_a_form_key(how: str, quantity: str, confidence: float) -> None:
    pair, word = (confidence, 99.0) if quantity.startswith("Key") else (99.0, confidence)
    found = decide(
        form(("Pay Date", pair, [word])), one("ImportantFormKeyConfidenceCheck", **PAY_DATE, **{quantity + how: 60})
    )
    assert found.needs_review == COMPARE[how](confidence, 60)


@pytest.mark.parametrize("how", COMPARE)
@pytest.mark.parametrize("confidence", [89.0, 90, 91.0])
def test_each_comparison_of_a_moderation_label(how: str, confidence: float) -> None:
    condition = one("ModerationLabelConfidenceCheck", ModerationLabelName="Weapons", **{f"Confidence{how}": 90})
    assert decide(picture(("Weapons", confidence)), condition).needs_review == COMPARE[how](confidence, 90)


def test_a_named_key_needs_the_pair_and_each_of_its_words_in_the_range() -> None:
    condition = one(
        "ImportantFormKeyConfidenceCheck",
        **PAY_DATE,
        KeyValueBlockConfidenceLessThan=65,
        WordBlockConfidenceLessThan=85,
    )
    assert decide(form(("PayDate", 64, [84, 80])), condition).needs_review
    assert not decide(form(("PayDate", 64, [84, 86])), condition).needs_review
    assert not decide(form(("PayDate", 65, [84, 80])), condition).needs_review
    assert not decide(form(("paydate", 1, [1, 1])), condition).needs_review, "another spelling is another key"


def test_any_key_needs_one_of_its_words_in_the_range() -> None:
    condition = one(
        "ImportantFormKeyConfidenceCheck",
        ImportantFormKey="*",
        KeyValueBlockConfidenceLessThan=60,
        WordBlockConfidenceLessThan=90,
    )
    line = form(("Name", 50, [99, 80]), ("City", 50, [99, 95]), ("Street", 70, [10]))
    assert words_of(line, condition) == ["Name"]


def test_a_missing_key_is_missing_under_all_its_names() -> None:
    condition = one("MissingImportantFormKey", ImportantFormKey="Address", ImportantFormKeyAliases=["Address:"])
    assert decide(form(("Phone", 99, [99])), condition).needs_review
    assert not decide(form(("Address:", 1, [1])), condition).needs_review
    assert decide(form(("Phone", 99, [99])), condition).selected == (), "nothing that was found is in doubt"


def test_any_moderation_label_and_exactly_spelled_ones() -> None:
    line = picture(("Violence", 70), ("Weapons", 80))
    anything = one("ModerationLabelConfidenceCheck", ModerationLabelName="*", ConfidenceGreaterThanEquals=75)
    assert [label["Name"] for label in decide(line, anything).selected] == ["Weapons"]
    assert not decide(line, one("ModerationLabelConfidenceCheck", ModerationLabelName="weapons")).needs_review
    assert not decide(picture(), anything).needs_review


def test_a_sample_is_the_same_each_time_and_as_large_as_asked() -> None:
    lines = [form(source=f"s3://forms/{number}.png") for number in range(4000)]
    drawn = [decide(line, one("Sampling", RandomSamplingPercentage=5)).needs_review for line in lines]
    assert drawn == [decide(line, one("Sampling", RandomSamplingPercentage=5)).needs_review for line in lines]
    # Four standard deviations of 4000 draws.
    assert abs(sum(drawn) - 200) < 4 * math.sqrt(4000 * 0.05 * 0.95)
    assert all(decide(line, one("Sampling", RandomSamplingPercentage=100)).needs_review for line in lines[:50])


def test_a_sample_of_what_fits_selects_that_and_a_sample_by_itself_everything() -> None:
    line = form(("Pay Date", 50, [50]), ("Name", 99, [99]))
    check = one("ImportantFormKeyConfidenceCheck", **PAY_DATE, KeyValueBlockConfidenceLessThan=65)
    sample = one("Sampling", RandomSamplingPercentage=100)
    assert words_of(line, {"And": [sample, check]}) == ["Pay Date"]
    assert words_of(line, {"Or": [sample, check]}) == ["Pay Date", "Name"]
    assert words_of(line, check, sample) == ["Pay Date", "Name"]


def test_all_conditions_are_evaluated_and_told_as_a2i_tells_them() -> None:
    check = one("ImportantFormKeyConfidenceCheck", **PAY_DATE, KeyValueBlockConfidenceLessThan=65)
    missing = one("MissingImportantFormKey", **PAY_DATE)
    found = decide(form(("Pay Date", 50, [50])), {"Or": [check, missing]})
    assert found.results == {
        "Conditions": [
            {
                "Or": [{**check, "EvaluationResult": True}, {**missing, "EvaluationResult": False}],
                "EvaluationResult": True,
            }
        ]
    }
    assert found.reasons == ("Conditions[0].Or[0] ImportantFormKeyConfidenceCheck",)


def test_without_conditions_everything_is_reviewed() -> None:
    line = picture(("Weapons", 99))
    found = parse_conditions(None, service="rekognition").evaluate(line)
    assert (found.needs_review, found.reasons, len(found.selected)) == (True, ("always",), 1)


def test_conditions_of_a_custom_model() -> None:
    line = classified(confidence=0.6, probabilities={"cat": 0.6, "dog": 0.3, "bird": 0.1})
    entropy = -(0.6 * math.log(0.6) + 0.3 * math.log(0.3) + 0.1 * math.log(0.1))
    assert decide(line, one("ConfidenceCheck", ConfidenceLessThan=0.7)).needs_review
    assert not decide(line, one("ConfidenceCheck", ConfidenceLessThan=0.6)).needs_review
    assert decide(line, one("MarginCheck", MarginLessThan=0.31)).needs_review
    assert not decide(line, one("MarginCheck", MarginLessThan=0.29)).needs_review
    assert decide(line, one("EntropyCheck", EntropyGreaterThan=entropy - 0.001)).needs_review
    assert not decide(line, one("EntropyCheck", EntropyGreaterThan=entropy + 0.001)).needs_review
    assert decide(line, one("ClassCheck", Classes=["dog", "cat"])).needs_review
    assert not decide(line, one("ClassCheck", Classes=["dog"])).needs_review
    sure = classified(probabilities={"cat": 1.0})
    assert not decide(sure, one("MarginCheck", MarginLessThan=1)).needs_review, "alone, it is ahead by all it has"


@pytest.mark.parametrize(
    ("line", "condition", "field"),
    [
        (classified(), one("ConfidenceCheck", ConfidenceLessThan=0.5), "prediction.confidence"),
        (classified(confidence="high"), one("ConfidenceCheck"), "prediction.confidence"),
        (classified(confidence=math.nan), one("ConfidenceCheck"), "prediction.confidence"),
        (classified(confidence=10**400), one("ConfidenceCheck"), "prediction.confidence"),
        (classified(), one("MarginCheck"), "prediction.probabilities"),
        (classified(probabilities={"a": 0.9, "b": 0.9}), one("EntropyCheck"), "prediction.probabilities"),
        (classified(probabilities={"a": None}), one("EntropyCheck"), "prediction.probabilities.a"),
        (classified(label=3), one("ClassCheck", Classes=["a"]), "prediction.label"),  # type: ignore[arg-type]
        ({**classified(), "source": None}, one("Sampling", RandomSamplingPercentage=5), "source-ref"),
        ({**classified(), "prediction": []}, one("ConfidenceCheck"), "prediction"),
        (
            {**form(), "prediction": {"Lines": []}},
            one("MissingImportantFormKey", ImportantFormKey="A"),
            "prediction.Blocks",
        ),
        (
            {**picture(), "prediction": {"ModerationLabels": [{"Name": "Weapons"}]}},
            one("ModerationLabelConfidenceCheck", ModerationLabelName="*"),
            "prediction.ModerationLabels[0].Confidence",
        ),
    ],
)
def test_a_prediction_without_what_a_condition_looks_at_is_refused_by_name(
    line: dict[str, Any], condition: Any, field: str
) -> None:
    with pytest.raises(InputError) as caught:
        decide(line, condition)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"Conditions": [one("Guess")]}, r"Conditions\[0\]\.ConditionType: must be one of"),
        ({"Conditions": [{"And": [one("ConfidenceCheck")]}]}, r"Conditions\[0\]\.And: must be a list of 2"),
        (
            {"Conditions": [one("ConfidenceCheck", ConfidenceLessThan=60)]},
            "ConfidenceLessThan: must be a number from 0 to 1",
        ),
        ({"Conditions": [one("ClassCheck")]}, "needs Classes"),
        ({"Conditions": one("ConfidenceCheck")}, "must be a list"),
        ("{", "not JSON"),
    ],
)
def test_conditions_that_mean_nothing_are_refused_with_their_place(conditions: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_conditions(conditions, service="custom")
    assert re.search(message, str(caught.value))


def test_predictions_of_another_service_are_refused() -> None:
    with pytest.raises(InputError, match="predictions of textract"):
        parse_conditions(None, service="textract").evaluate(picture())


PERCENT = st.sampled_from([0, 40, 60, 60.5, 80, 100])
KEYS = st.sampled_from(["Name", "Pay Date", "PayDate", "City"])


def _limits(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from([f"{name}{how}" for how in COMPARE]), PERCENT, max_size=2)


SIMPLE = st.one_of(
    st.builds(
        lambda key, aliases, pair, word: one(
            "ImportantFormKeyConfidenceCheck", ImportantFormKey=key, ImportantFormKeyAliases=aliases, **pair, **word
        ),
        st.one_of(KEYS, st.just("*")), st.lists(KEYS, max_size=2),
        _limits("KeyValueBlockConfidence"), _limits("WordBlockConfidence"),
    ),
    st.builds(lambda key: one("MissingImportantFormKey", ImportantFormKey=key), KEYS),
    st.builds(lambda share: one("Sampling", RandomSamplingPercentage=share), st.sampled_from([0.01, 30, 70, 100])),
)  # fmt: skip


def _joined(members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda how, conditions: {how: conditions},
        st.sampled_from(["And", "Or"]),
        st.lists(members, min_size=2, max_size=3),
    )


TREES = st.lists(st.one_of(SIMPLE, _joined(st.one_of(SIMPLE, _joined(SIMPLE)))), min_size=1, max_size=3)
FIELDS = st.lists(st.tuples(KEYS, PERCENT, st.lists(PERCENT, min_size=1, max_size=3)), max_size=4)


def brute_force(node: Any, fields: list[Any], position: float) -> bool:
    """The rules again, read off A2I's pages and written down without a thought for anything else."""
    if "And" in node:
        return min(brute_force(member, fields, position) for member in node["And"])
    if "Or" in node:
        return max(brute_force(member, fields, position) for member in node["Or"])
    given, kind = node["ConditionParameters"], node["ConditionType"]
    if kind == "Sampling":
        return bool(position < given["RandomSamplingPercentage"])
    names = [given["ImportantFormKey"], *given.get("ImportantFormKeyAliases", [])]
    matching = [field for field in fields if names[0] == "*" or field[0] in names]
    if kind == "MissingImportantFormKey":
        return len(matching) == 0
    for _, pair, words in matching:
        right = True
        limits: dict[str, float] = {}
        for name, limit in given.items():
            if name.startswith("KeyValueBlockConfidence"):
                right = right and COMPARE[name.removeprefix("KeyValueBlockConfidence")](pair, limit)
            elif name.startswith("WordBlockConfidence"):
                limits[name.removeprefix("WordBlockConfidence")] = limit
        fitting = [word for word in words if all(COMPARE[how](word, limit) for how, limit in limits.items())]
        if right and (len(fitting) > 0 if names[0] == "*" else len(fitting) == len(words)):
            return True
    return False


@given(TREES, FIELDS, st.integers(0, 50))
def test_any_tree_of_conditions_says_what_a_brute_force_evaluator_says(
    trees: list[Any], fields: list[Any], number: int
) -> None:
    line = form(*fields, source=f"s3://forms/{number}.png")
    found = decide(line, *trees)
    expected = [brute_force(tree, fields, draw(line)) for tree in trees]
    assert [result["EvaluationResult"] for result in found.results["Conditions"]] == expected
    assert found.needs_review == any(expected)


@pytest.mark.parametrize("confidence", [float("nan"), float("inf"), -1, 101, "99", True])
def test_a_confidence_that_is_no_percentage_is_refused_and_never_passes_for_sure(confidence: Any) -> None:
    check = one("ImportantFormKeyConfidenceCheck", ImportantFormKey="Name", KeyValueBlockConfidenceLessThan=60)
    with pytest.raises(InputError, match="no confidence from 0 to 100"):
        decide(form(("Name", confidence, (90, 90))), check)
