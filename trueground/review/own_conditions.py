"""Conditions that A2I never had, for the predictions of any model of one's own.

Places in a prediction line are JMESPath expressions, a query language for JSON: ``prediction.items[0].price``. So are
business rules: ``prediction.total > `1000` && prediction.currency != 'EUR'``.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult

from trueground.activation_conditions import (
    COMPARISONS,
    Check,
    Condition,
    ConditionType,
    a_number,
    a_text,
    compared,
    texts,
)
from trueground.errors import InputError

PredictionLine = Mapping[str, Any]
"""``{"id", "source-ref" or "source", "service", "prediction"}``: see :meth:`.Conditions.evaluate`."""
Verdict = tuple[bool, frozenset[int]]
"""Whether a condition holds, and which parts of the prediction it wants to be reviewed, by their place."""
_NO_PARTS: frozenset[int] = frozenset()
_UNIT = a_number(0, 1)


@dataclass(frozen=True)
class OwnCondition:
    """One type of condition: what may stand in it, and when it holds."""

    parameters: ConditionType
    holds: Callable[[Condition, PredictionLine, Sequence[Any]], Verdict]


def draw(line: PredictionLine) -> float:
    """Where an object stands among all, from 0 to 100 (excluded), by a hash of what was predicted on.

    Raises:
        InputError: the line has neither ``source-ref`` nor ``source``.
    """
    for key in ("source-ref", "source"):
        if isinstance(line.get(key), str):
            digest = hashlib.sha256(f"{key}:{line[key]}".encode("utf-8", "surrogatepass")).digest()
            return int.from_bytes(digest[:8], "big") * 100 / 2**64
    raise InputError("one of source-ref and source is needed to draw a sample", field="source-ref")


def find(expression: str, line: PredictionLine, field: str) -> Any:
    """What a JMESPath expression finds in a prediction line; ``None`` where there is nothing.

    Raises:
        InputError: the expression cannot be evaluated on what stands there.
    """
    try:
        return _compiled(expression).search(line)
    except JMESPathError as error:
        raise InputError(f"{expression!r} cannot be evaluated here: {error}", field=field) from None


def an_expression(value: Any) -> str | None:
    """A check: a JMESPath expression."""
    if (problem := a_text(value)) is not None:
        return problem
    try:
        _compiled(value)
    except JMESPathError as error:
        return f"is no JMESPath expression: {' '.join(str(error).split())}"
    return None


def checked_expression(value: str) -> str:
    """The same for a field of a project. Raises :class:`ValueError`."""
    if (problem := an_expression(value)) is not None:
        raise ValueError(problem)
    return value


@lru_cache
def _compiled(expression: str) -> ParsedResult:
    return jmespath.compile(expression)


def number_at(value: Any, place: str) -> float:
    """A number that a condition looks at. Raises :class:`InputError` where it is none; ``place`` is where it stands."""
    # JSON's whole numbers have no limit, and Python reads NaN and Infinity.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
        raise InputError("a condition needs this number", field=place)
    return float(value)


def compares(parameters: Mapping[str, Any], name: str, value: float) -> bool:
    """Whether all comparisons of a quantity that are given hold."""
    return all(
        compare(value, parameters[f"{name}{how}"])
        for how, compare in COMPARISONS.items()
        if f"{name}{how}" in parameters
    )


def _confidence(condition: Condition, line: PredictionLine, _parts: Sequence[Any]) -> Verdict:
    found = number_at(line["prediction"].get("confidence"), "prediction.confidence")
    return compares(condition.parameters, "Confidence", found), _NO_PARTS


def _probabilities(line: PredictionLine) -> list[float]:
    """Probabilities of the classes, the greatest first."""
    found = line["prediction"].get("probabilities")
    if not isinstance(found, Mapping) or not found:
        raise InputError("a condition needs the probability of each class", field="prediction.probabilities")
    values = [number_at(value, f"prediction.probabilities.{name}") for name, value in found.items()]
    if min(values) < 0 or not math.isclose(sum(values), 1, abs_tol=0.01):
        raise InputError("probabilities are 0 or more and sum to 1", field="prediction.probabilities")
    return sorted(values, reverse=True)


def _margin(condition: Condition, line: PredictionLine, _parts: Sequence[Any]) -> Verdict:
    """The best class's probability less the second best's."""
    first, second = [*_probabilities(line), 0.0][:2]
    return compares(condition.parameters, "Margin", first - second), _NO_PARTS


def _entropy(condition: Condition, line: PredictionLine, _parts: Sequence[Any]) -> Verdict:
    """Shannon's entropy, in nats."""
    entropy = -sum(value * math.log(value) for value in _probabilities(line) if value > 0)
    return compares(condition.parameters, "Entropy", entropy), _NO_PARTS


def _class(condition: Condition, line: PredictionLine, _parts: Sequence[Any]) -> Verdict:
    return _label(line) in condition.parameters["Classes"], _NO_PARTS


def _value(place: str) -> Callable[[Condition, PredictionLine, Sequence[Any]], Verdict]:
    """What stands somewhere is compared; without a comparison, whether something stands there."""

    def holds(condition: Condition, line: PredictionLine, _parts: Sequence[Any]) -> Verdict:
        wanted = condition.parameters
        if place == "Field":
            where, found = f"prediction.{wanted[place]}", line["prediction"].get(wanted[place])
        else:
            where, found = str(wanted[place]), find(wanted[place], line, "prediction")
        if "Missing" in wanted:
            return (found is None) == wanted["Missing"], _NO_PARTS
        right = "OneOf" not in wanted or found in wanted["OneOf"]
        if any(f"Value{how}" in wanted for how in COMPARISONS):
            right = compares(wanted, "Value", number_at(found, where)) and right
        return right and found is not None, _NO_PARTS

    return holds


def _rule(condition: Condition, line: PredictionLine, _parts: Sequence[Any]) -> Verdict:
    found = find(condition.parameters["Rule"], line, "prediction")
    if found is not None and not isinstance(found, bool):
        problem = f"the rule {condition.parameters['Rule']!r} gives {found!r}, not yes or no"
        raise InputError(problem, field="prediction")
    return bool(found), _NO_PARTS


def _disagreement(condition: Condition, line: PredictionLine, _parts: Sequence[Any]) -> Verdict:
    """Whether another model says otherwise; its prediction stands in the line beside the first."""
    place = condition.parameters.get("OtherLabel", "other.label")
    other = find(place, line, place)
    if other is None:
        raise InputError("the other model's label is missing", field=place)
    return other != _label(line), _NO_PARTS


def _novelty(condition: Condition, line: PredictionLine, _parts: Sequence[Any]) -> Verdict:
    return compares(condition.parameters, "Novelty", number_at(line.get("novelty"), "novelty")), _NO_PARTS


def _stratified(condition: Condition, line: PredictionLine, parts: Sequence[Any]) -> Verdict:
    wanted = condition.parameters
    stratum = find(wanted["Path"], line, "prediction")
    percent = wanted["Percentages"].get(str(stratum), wanted.get("OtherwisePercentage", 0))
    return draw(line) < percent, frozenset(range(len(parts)))


def _weighted(condition: Condition, line: PredictionLine, parts: Sequence[Any]) -> Verdict:
    wanted = condition.parameters
    weight = number_at(find(wanted["Path"], line, "prediction"), wanted["Path"])
    return draw(line) < wanted["PercentagePerUnit"] * weight, frozenset(range(len(parts)))


def _label(line: PredictionLine) -> str:
    label = line["prediction"].get("label")
    if not isinstance(label, str):
        raise InputError("a condition needs the label", field="prediction.label")
    return label


def _yes_or_no(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _values(value: Any) -> str | None:
    return None if isinstance(value, list) and value else "must be a list of values"


def _percentages(value: Any) -> str | None:
    percent = a_number(0, 100)
    right = isinstance(value, Mapping) and value and all(percent(share) is None for share in value.values())
    return None if right else "must be an object of strata and their percentages, from 0 to 100"


_VALUE: dict[str, Check] = {
    **compared("Value", a_number(-math.inf, math.inf)), "OneOf": _values, "Missing": _yes_or_no,
}  # fmt: skip
OWN: Mapping[str, OwnCondition] = {
    "ConfidenceCheck": OwnCondition(ConditionType(compared("Confidence", _UNIT)), _confidence),
    "MarginCheck": OwnCondition(ConditionType(compared("Margin", _UNIT)), _margin),
    "EntropyCheck": OwnCondition(ConditionType(compared("Entropy", a_number(0, math.inf))), _entropy),
    "ClassCheck": OwnCondition(ConditionType({"Classes": texts}, ("Classes",)), _class),
    "FieldCheck": OwnCondition(ConditionType({"Field": a_text, **_VALUE}, ("Field",)), _value("Field")),
    "PathCheck": OwnCondition(ConditionType({"Path": an_expression, **_VALUE}, ("Path",)), _value("Path")),
    "RuleCheck": OwnCondition(ConditionType({"Rule": an_expression}, ("Rule",)), _rule),
    "DisagreementCheck": OwnCondition(ConditionType({"OtherLabel": an_expression}), _disagreement),
    "NoveltyCheck": OwnCondition(ConditionType(compared("Novelty", _UNIT)), _novelty),
    "StratifiedSampling": OwnCondition(
        ConditionType(
            {"Path": an_expression, "Percentages": _percentages, "OtherwisePercentage": a_number(0, 100)},
            ("Path", "Percentages"),
        ),
        _stratified,
    ),
    "WeightedSampling": OwnCondition(
        ConditionType(
            {"Path": an_expression, "PercentagePerUnit": a_number(0, math.inf)}, ("Path", "PercentagePerUnit")
        ),
        _weighted,
    ),
}
"""The types of conditions by their names."""
