"""Whether a prediction needs a person: human loop activation conditions, evaluated as A2I does.

For Textract's and Rekognition's responses these are A2I's own types of conditions. A2I has none for other models; here
they have types of their own (:mod:`.own_conditions`) in the same JSON.

What A2I's documentation leaves open is decided so: names are compared letter by letter; a comparison that is not given
always holds; ``Sampling`` draws by a hash of what was predicted on, so the same object is drawn every time, and one
drawn at 5 percent is drawn at 10 percent too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trueground.activation_conditions import (
    BUILT_IN,
    COMPARISONS,
    REKOGNITION,
    SAMPLING,
    TEXTRACT,
    Condition,
    ConditionType,
    Node,
    parse,
)
from trueground.errors import InputError
from trueground.review.own_conditions import OWN, PredictionLine, Verdict, compares, draw, number_at
from trueground.review.textract import FormField, form_fields

Service = Literal["textract", "rekognition", "custom"]
TYPES: Mapping[Service, Mapping[str, ConditionType]] = {
    "textract": BUILT_IN[TEXTRACT],
    "rekognition": BUILT_IN[REKOGNITION],
    "custom": {"Sampling": SAMPLING, **{kind: own.parameters for kind, own in OWN.items()}},
}
"""The types of conditions, by the service that made the prediction."""


@dataclass(frozen=True)
class Decision:
    """What the conditions say of one prediction.

    Attributes:
        needs_review: whether one of them holds.
        reasons: those that hold, as ``Conditions[0].Or[1] Sampling``; ``always`` where there are no conditions.
        results: all of them with their ``EvaluationResult``, as A2I's output has them.
        selected: Textract's key-value pairs, or Rekognition's moderation labels, that people are to look at.
    """

    needs_review: bool
    reasons: tuple[str, ...]
    results: Mapping[str, Any]
    selected: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Conditions:
    """Conditions for predictions of one service; :func:`parse_conditions` makes them."""

    service: Service
    nodes: tuple[Node, ...] | None

    def evaluate(self, line: PredictionLine) -> Decision:
        """Evaluate all conditions, also after one of them holds.

        Args:
            line: a prediction line. ``prediction`` is Textract's or Rekognition's whole response, or of a custom model
                ``{"label", "confidence", "probabilities": {label: 0..1}}``, of which only what the conditions look at
                must be there.

        Raises:
            InputError: the prediction lacks what a condition looks at; ``field`` is where.
        """
        if line.get("service") != self.service:
            raise InputError(f"the conditions are for predictions of {self.service}", field="service")
        parts = _parts(self.service, line.get("prediction"))
        if self.nodes is None:
            return Decision(True, ("always",), {"Conditions": []}, tuple(parts))
        reasons: list[str] = []
        results: list[dict[str, Any]] = []
        wanted: set[int] = set()
        for node in self.nodes:
            (holds, places), result = _evaluate(node, line, parts, reasons)
            results.append(result)
            if holds:
                wanted |= places
        needed = any(result["EvaluationResult"] for result in results)
        selected = tuple(parts[place] for place in sorted(wanted))
        return Decision(needed, tuple(reasons) if needed else (), {"Conditions": results}, selected)


def parse_conditions(content: Any, *, service: Service) -> Conditions:
    """Read conditions.

    Args:
        content: A2I's JSON, as text or as what it says; ``None``: every prediction is reviewed, as in A2I.
        service: whose predictions they are for.

    Raises:
        InputError: what is wrong; ``field`` is where.
    """
    if service not in TYPES:
        raise InputError(f"must be one of {', '.join(TYPES)}", field="service")
    return Conditions(service, None if content is None else parse(content, TYPES[service]))


def _evaluate(
    node: Node, line: PredictionLine, parts: Sequence[Any], reasons: list[str]
) -> tuple[Verdict, dict[str, Any]]:
    if isinstance(node, Condition):
        verdict = _HOLDS[node.kind](node, line, parts)
        if verdict[0]:
            reasons.append(f"{node.path} {node.kind}")
        content = {"ConditionType": node.kind, "ConditionParameters": dict(node.parameters)}
        return verdict, {**content, "EvaluationResult": verdict[0]}
    found = [(member, *_evaluate(member, line, parts, reasons)) for member in node.members]
    holding = [(member, places) for member, (holds, places), _ in found if holds]
    holds = len(holding) == len(found) if node.operator == "And" else bool(holding)
    if node.operator == "And":
        # A sample of what fits other conditions is reviewed for these; a sample alone, for everything.
        narrowing = [(member, places) for member, places in holding if not _is_sampling(member)]
        holding = narrowing or holding
    places = frozenset().union(*(places for _, places in holding)) if holds else frozenset()
    return (holds, places), {node.operator: [result for _, _, result in found], "EvaluationResult": holds}


def _is_sampling(node: Node) -> bool:
    return isinstance(node, Condition) and node.kind.endswith("Sampling")


def _parts(service: Service, prediction: Any) -> Sequence[Any]:
    """What of a prediction people may be asked about."""
    if service == "textract":
        return form_fields(prediction)
    if not isinstance(prediction, Mapping):
        raise InputError("must be an object", field="prediction")
    if service == "custom":
        return ()
    labels = prediction.get("ModerationLabels")
    if not isinstance(labels, list):
        raise InputError("Rekognition's response has a list of ModerationLabels", field="prediction.ModerationLabels")
    for number, label in enumerate(labels):
        place = f"prediction.ModerationLabels[{number}]"
        if not isinstance(label, Mapping) or not isinstance(label.get("Name"), str):
            raise InputError("a moderation label has a Name", field=place)
        number_at(label.get("Confidence"), f"{place}.Confidence")
    return labels


def _words(parameters: Mapping[str, Any], field: FormField) -> bool:
    """A2I's documents: of a key that is named, each word; of any key (``*``), any word."""
    if not any(f"WordBlockConfidence{how}" in parameters for how in COMPARISONS):
        return True
    enough = any if parameters["ImportantFormKey"] == "*" else all
    return enough(compares(parameters, "WordBlockConfidence", confidence) for confidence in field.word_confidences)


def _is_meant(parameters: Mapping[str, Any], field: FormField) -> bool:
    names = (parameters["ImportantFormKey"], *parameters.get("ImportantFormKeyAliases", ()))
    return parameters["ImportantFormKey"] == "*" or field.key in names


def _form_key(condition: Condition, _line: PredictionLine, parts: Sequence[Any]) -> Verdict:
    wanted = condition.parameters
    places = frozenset(
        place
        for place, field in enumerate(parts)
        if _is_meant(wanted, field)
        and compares(wanted, "KeyValueBlockConfidence", field.confidence)
        and _words(wanted, field)
    )
    return bool(places), places


def _missing_key(condition: Condition, _line: PredictionLine, parts: Sequence[Any]) -> Verdict:
    return not any(_is_meant(condition.parameters, field) for field in parts), frozenset()


def _moderation_label(condition: Condition, _line: PredictionLine, parts: Sequence[Any]) -> Verdict:
    wanted = condition.parameters
    places = frozenset(
        place
        for place, label in enumerate(parts)
        if wanted["ModerationLabelName"] in ("*", label["Name"]) and compares(wanted, "Confidence", label["Confidence"])
    )
    return bool(places), places


def _sampling(condition: Condition, line: PredictionLine, parts: Sequence[Any]) -> Verdict:
    return draw(line) < condition.parameters["RandomSamplingPercentage"], frozenset(range(len(parts)))


_HOLDS: Mapping[str, Callable[[Condition, PredictionLine, Sequence[Any]], Verdict]] = {
    "ImportantFormKeyConfidenceCheck": _form_key,
    "MissingImportantFormKey": _missing_key,
    "ModerationLabelConfidenceCheck": _moderation_label,
    "Sampling": _sampling,
    **{kind: own.holds for kind, own in OWN.items()},
}
