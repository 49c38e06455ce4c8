"""The review project of the demo's invoices, and what becomes of them in a run of its DAG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from demo.invoices import KEYS
from trueground.review.conditions import Decision
from trueground.review.project import ReviewProject, ReviewRun
from trueground.review.textract import form_fields
from trueground.storage import Storage

MISSING = "MissingImportantFormKey"


def review_project(pages: str, output: str, team: str, checks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The project, as its YAML says it.

    Args:
        pages: where the invoices are, from the data root.
        output: where the results go, from the data root.
        team: who reviews.
        checks: activation conditions, any of which makes people look.
    """
    return {
        "kind": "review-predictions",
        "name": "invoices",
        "description": "Generated invoices, read on this machine.",
        "source": {"kind": "documents", "prefix": pages},
        "conditions": [{"Or": list(checks)}],
        "output": output,
        "review": {
            "team": team,
            "title": "Check what was read from an invoice",
            "description": "Correct the fields that do not match the page.",
        },
    }


def checks(sample: float, **unsure: float) -> list[dict[str, Any]]:
    """A2I's activation conditions: important keys that are missing, unsure fields, and a sample of whole documents.

    Args:
        sample: percent of the documents of which people see every field, however sure.
        unsure: when a field is unsure, as parameters of ``ImportantFormKeyConfidenceCheck``.
    """

    def condition(kind: str, **parameters: Any) -> dict[str, Any]:
        return {"ConditionType": kind, "ConditionParameters": parameters}

    found = [
        condition(MISSING, ImportantFormKey=key, ImportantFormKeyAliases=list(aliases))
        for key, *aliases in KEYS.values()
    ]
    found.append(condition("Sampling", RandomSamplingPercentage=sample))
    if unsure:
        found.append(condition("ImportantFormKeyConfidenceCheck", ImportantFormKey="*", **unsure))
    return found


@dataclass(frozen=True)
class Document:
    """An invoice after a run: what the reader gave, its fields in the end, and how many of them people were asked."""

    line: Mapping[str, Any]
    final: Sequence[Sequence[str]]
    asked: int

    @property
    def name(self) -> str:
        """The name of its file."""
        return str(self.line["source-ref"]).rpartition("/")[2]

    @property
    def as_read(self) -> list[tuple[str, str]]:
        """Its fields by the reader."""
        return [(field.key, field.value) for field in form_fields(self.line["prediction"])]


def documents(project: ReviewProject, run: str, storage: Storage) -> Iterator[Document]:
    """The documents of a run, from what its tasks wrote."""
    folder = ReviewRun(project, run, storage)
    published = {row["id"]: row for row in folder.read_lines("published", "reviews.jsonl")}
    conditions = project.parsed_conditions()
    asked = {line["id"]: asked_fields(conditions.evaluate(line)) for line in folder.read_lines("to-review.jsonl")}
    for line in folder.read_lines("read.jsonl"):
        row = published[line["id"]]
        yield Document(line, row["final"] or row["prediction"], asked.get(line["id"], 0))


def asked_fields(decision: Decision) -> int:
    """How many fields people are asked about: those that were selected, and the important ones that are missing."""
    results = [check for node in decision.results["Conditions"] for check in node["Or"]]
    return len(decision.selected) + sum(
        check["ConditionType"] == MISSING and check["EvaluationResult"] for check in results
    )
