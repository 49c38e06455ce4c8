"""Invoices on their way through the demo, and which of their fields people are asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from demo.invoices import KEYS
from trueground.review.conditions import Conditions, Decision, parse_conditions
from trueground.review.textract import form_fields

MISSING = "MissingImportantFormKey"
Fields = Sequence[tuple[str, str]]


@dataclass
class Document:
    """An invoice: what the reader gave, its prediction line, what the conditions say of it, its fields in the end."""

    reader: dict[str, Any]
    line: dict[str, Any]
    decision: Decision
    final: Fields

    @property
    def name(self) -> str:
        """The name of its file."""
        return str(self.line["id"])

    @property
    def as_read(self) -> Fields:
        """Its fields by the reader."""
        return fields_of(self.reader)


def conditions(sample: float, **unsure: float) -> Conditions:
    """A2I's activation conditions: important keys that are missing, unsure fields, and a sample of whole documents.

    Args:
        sample: percent of the documents of which people see every field, however sure.
        unsure: when a field is unsure, as parameters of ``ImportantFormKeyConfidenceCheck``.
    """

    def condition(kind: str, **parameters: Any) -> dict[str, Any]:
        return {"ConditionType": kind, "ConditionParameters": parameters}

    checks = [
        condition(MISSING, ImportantFormKey=key, ImportantFormKeyAliases=list(aliases))
        for key, *aliases in KEYS.values()
    ]
    checks.append(condition("Sampling", RandomSamplingPercentage=sample))
    if unsure:
        checks.append(condition("ImportantFormKeyConfidenceCheck", ImportantFormKey="*", **unsure))
    return parse_conditions({"Conditions": [{"Or": checks}]}, service="textract")


def asked(decision: Decision) -> int:
    """How many fields people are asked about: those that were selected, and the important ones that are missing."""
    checks = [check for node in decision.results["Conditions"] for check in node["Or"]]
    return len(decision.selected) + sum(
        check["ConditionType"] == MISSING and check["EvaluationResult"] for check in checks
    )


def fields_of(response: Mapping[str, Any]) -> Fields:
    """Key and value of each pair of a response."""
    return [(field.key, field.value) for field in form_fields(response)]
