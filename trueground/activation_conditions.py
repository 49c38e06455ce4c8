"""The JSON of human loop activation conditions: what may stand in it, and how it becomes a tree.

Ground floor: the labeling service checks with it what it is asked to keep, and :mod:`trueground.review.conditions`
evaluates what it reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trueground.errors import InputError

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda found, limit: found == limit,
    "LessThan": lambda found, limit: found < limit,
    "LessThanEquals": lambda found, limit: found <= limit,
    "GreaterThan": lambda found, limit: found > limit,
    "GreaterThanEquals": lambda found, limit: found >= limit,
}
"""How a parameter compares, by the ending of its name: ``ConfidenceLessThan`` is ``Confidence`` and ``LessThan``."""
TEXTRACT = "AWS/Textract/AnalyzeDocument/Forms/V1"
REKOGNITION = "AWS/Rekognition/DetectModerationLabels/Image/V3"
_DEEPEST = 2

Check = Callable[[Any], str | None]
"""Says what is wrong with a parameter's value; ``None`` where nothing is."""


@dataclass(frozen=True)
class ConditionType:
    """One type of condition: its parameters by name, and those that must be given."""

    parameters: Mapping[str, Check]
    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class Condition:
    """A simple condition. ``path`` names it in errors and reasons: ``Conditions[0].Or[1]``."""

    kind: str
    parameters: Mapping[str, Any]
    path: str


@dataclass(frozen=True)
class Group:
    """Conditions joined by ``And`` or ``Or``."""

    operator: Literal["And", "Or"]
    members: tuple[Condition | Group, ...]


Node = Condition | Group


def a_number(least: float, most: float) -> Check:
    """A check: a number in this range, both ends included."""

    def check(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            return f"must be a number from {least:g} to {most:g}"
        return None

    return check


def a_text(value: Any) -> str | None:
    """A check: a text that is not empty."""
    return None if isinstance(value, str) and value else "must be a text that is not empty"


def texts(value: Any) -> str | None:
    """A check: a list of texts."""
    right = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return None if right else "must be a list of texts"


def compared(name: str, check: Check) -> dict[str, Check]:
    """The five parameters that compare one quantity."""
    return {f"{name}{how}": check for how in COMPARISONS}


_KEY: dict[str, Check] = {"ImportantFormKey": a_text, "ImportantFormKeyAliases": texts}
_PERCENT = a_number(0, 100)
SAMPLING = ConditionType({"RandomSamplingPercentage": a_number(0.01, 100)}, required=("RandomSamplingPercentage",))
BUILT_IN: Mapping[str, Mapping[str, ConditionType]] = {
    TEXTRACT: {
        "ImportantFormKeyConfidenceCheck": ConditionType(
            {**_KEY, **compared("KeyValueBlockConfidence", _PERCENT), **compared("WordBlockConfidence", _PERCENT)},
            required=("ImportantFormKey",),
        ),
        "MissingImportantFormKey": ConditionType(_KEY, required=("ImportantFormKey",)),
        "Sampling": SAMPLING,
    },
    REKOGNITION: {
        "ModerationLabelConfidenceCheck": ConditionType(
            {"ModerationLabelName": a_text, **compared("Confidence", _PERCENT)}, required=("ModerationLabelName",)
        ),
        "Sampling": SAMPLING,
    },
}
"""A2I's own types of conditions, by the built-in source whose responses they look at."""


def parse(content: Any, types: Mapping[str, ConditionType]) -> tuple[Node, ...]:
    """The trees of ``{"Conditions": [...]}``, as JSON text or as what it says. A review is due where one of them holds.

    Args:
        content: the conditions.
        types: the types of conditions that there are.

    Raises:
        InputError: what is wrong; ``field`` is where (``Conditions[0].And[1].ConditionParameters.ImportantFormKey``).
    """
    if isinstance(content, str):
        try:
            content = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise InputError(f"not JSON: {error}") from None
    if not isinstance(content, dict) or set(content) != {"Conditions"}:
        raise InputError('must be an object with the one key "Conditions"')
    return _members(content["Conditions"], "Conditions", types, least=1, depth=0)


def _members(found: Any, path: str, types: Mapping[str, ConditionType], *, least: int, depth: int) -> tuple[Node, ...]:
    if not isinstance(found, list) or len(found) < least:
        raise InputError(f"must be a list of {least} or more conditions", field=path)
    return tuple(_node(condition, f"{path}[{number}]", types, depth) for number, condition in enumerate(found))


def _node(condition: Any, path: str, types: Mapping[str, ConditionType], depth: int) -> Node:
    if not isinstance(condition, dict):
        raise InputError("must be an object", field=path)
    for operator in ("And", "Or"):
        if operator not in condition:
            continue
        if len(condition) > 1:
            raise InputError(f"can have nothing beside {operator}", field=path)
        if depth >= _DEEPEST:
            raise InputError(f"conditions can be nested {_DEEPEST} levels deep", field=path)
        members = _members(condition[operator], f"{path}.{operator}", types, least=2, depth=depth + 1)
        return Group("And" if operator == "And" else "Or", members)
    return _simple(condition, path, types)


def _simple(condition: dict[str, Any], path: str, types: Mapping[str, ConditionType]) -> Condition:
    kind, parameters = condition.get("ConditionType"), condition.get("ConditionParameters", {})
    if not isinstance(kind, str) or kind not in types:
        problem = f"must be one of {', '.join(sorted(types))}"
        raise InputError(problem, field=f"{path}.ConditionType")
    unknown = set(condition) - {"ConditionType", "ConditionParameters"}
    if unknown:
        problem = "a condition has ConditionType and ConditionParameters, nothing else"
        raise InputError(problem, field=f"{path}.{min(unknown)}")
    if not isinstance(parameters, dict):
        raise InputError("must be an object", field=f"{path}.ConditionParameters")
    known = types[kind]
    for name, value in parameters.items():
        place = f"{path}.ConditionParameters.{name}"
        if name not in known.parameters:
            raise InputError(f"{kind} has no such parameter; it has {', '.join(sorted(known.parameters))}", field=place)
        problem_found = known.parameters[name](value)
        if problem_found:
            raise InputError(problem_found, field=place)
    for name in known.required:
        if name not in parameters:
            raise InputError(f"{kind} needs {name}", field=f"{path}.ConditionParameters")
    return Condition(kind, parameters, path)
