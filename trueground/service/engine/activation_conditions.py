"""Check a flow definition's activation conditions.

The service keeps them and gives them back. Whether they hold for a prediction is decided where the prediction is made,
by the pipeline's library: every loop that is started here gets its review.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trueground.service.engine.errors import Invalid

_COMPARISONS = ("Equals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
_SAMPLING = {"RandomSamplingPercentage"}
_KEY = {"ImportantFormKey", "ImportantFormKeyAliases"}
_CONDITIONS: Mapping[str, Mapping[str, set[str]]] = {
    "AWS/Textract/AnalyzeDocument/Forms/V1": {
        "ImportantFormKeyConfidenceCheck": _KEY
        | {f"{block}Confidence{how}" for block in ("KeyValueBlock", "WordBlock") for how in _COMPARISONS},
        "MissingImportantFormKey": _KEY,
        "Sampling": _SAMPLING,
    },
    "AWS/Rekognition/DetectModerationLabels/Image/V3": {
        "ModerationLabelConfidenceCheck": {"ModerationLabelName", *(f"Confidence{how}" for how in _COMPARISONS)},
        "Sampling": _SAMPLING,
    },
}
"""Per built-in source: the types of conditions, and the parameters of each."""
_NAMES = ("ImportantFormKey", "ModerationLabelName")
_LEAST_PERCENTAGE = 0.01
_DEEPEST = 2


def check_conditions(text: str, source: str | None) -> None:
    """Check the JSON of ``HumanLoopActivationConditions``. Raises :class:`Invalid` that says what is wrong where.

    Args:
        text: the conditions.
        source: the built-in source they look at; without one there is nothing they could be checked on.
    """
    if source is None:
        raise Invalid(
            "HumanLoopActivationConfig needs a HumanLoopRequestSource: loops of a custom flow definition are started "
            "by their client, and each is reviewed"
        )
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong("", f"not JSON: {error}") from None
    if not isinstance(content, dict) or set(content) != {"Conditions"}:
        raise _wrong("", 'must be an object with the one key "Conditions"')
    _check_list(content["Conditions"], "Conditions", source, least=1, depth=0)


def _check_list(found: Any, path: str, source: str, *, least: int, depth: int) -> None:
    if not isinstance(found, list) or len(found) < least:
        raise _wrong(path, f"must be a list of {least} or more conditions")
    for number, condition in enumerate(found):
        _check(condition, f"{path}[{number}]", source, depth)


def _check(condition: Any, path: str, source: str, depth: int) -> None:
    if not isinstance(condition, dict):
        raise _wrong(path, "must be an object")
    operator = next((name for name in ("And", "Or") if name in condition), None)
    if operator is None:
        _check_single(condition, path, source)
        return
    if len(condition) > 1:
        raise _wrong(path, f"can have nothing beside {operator}")
    if depth >= _DEEPEST:
        raise _wrong(path, f"conditions can be nested {_DEEPEST} levels deep")
    _check_list(condition[operator], f"{path}.{operator}", source, least=2, depth=depth + 1)


def _check_single(condition: dict[str, Any], path: str, source: str) -> None:
    kind, parameters = condition.get("ConditionType"), condition.get("ConditionParameters", {})
    known = _CONDITIONS[source]
    if not isinstance(kind, str) or kind not in known:
        raise _wrong(f"{path}.ConditionType", f"must be one of {', '.join(sorted(known))}")
    if not isinstance(parameters, dict):
        raise _wrong(f"{path}.ConditionParameters", "must be an object")
    for name, value in parameters.items():
        place = f"{path}.ConditionParameters.{name}"
        if name not in known[kind]:
            raise _wrong(place, f"{kind} has no such parameter; it has {', '.join(sorted(known[kind]))}")
        _check_value(name, value, place)
    for name in _NAMES:
        if name in known[kind] and name not in parameters:
            raise _wrong(f"{path}.ConditionParameters", f"{kind} needs {name}")
    if kind == "Sampling" and "RandomSamplingPercentage" not in parameters:
        raise _wrong(f"{path}.ConditionParameters", f"{kind} needs RandomSamplingPercentage")


def _check_value(name: str, value: Any, path: str) -> None:
    if name in _NAMES:
        if not isinstance(value, str) or not value:
            raise _wrong(path, "must be a text that is not empty")
    elif name == "ImportantFormKeyAliases":
        if not isinstance(value, list) or not all(isinstance(alias, str) for alias in value):
            raise _wrong(path, "must be a list of texts")
    else:
        least = _LEAST_PERCENTAGE if name == "RandomSamplingPercentage" else 0
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= 100:
            raise _wrong(path, f"must be a number from {least} to 100")


def _wrong(path: str, problem: str) -> Invalid:
    return Invalid(f"HumanLoopActivationConditions{f': {path}' if path else ''}: {problem}")
