"""Great Expectations suites for what goes into a run and what comes out of it.

Great Expectations takes seconds to import, so it is imported where it is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from trueground.manifests import ManifestReport, object_key
from trueground.tasks.base import DataObject

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = 50
"""Failing rows that a result keeps."""


@dataclass(frozen=True)
class Example:
    """A row that fails: its line in the manifest (from 1, ``None`` for the file as a whole), and what is there."""

    line: int | None
    text: str


@dataclass(frozen=True)
class CheckResult:
    """One expectation. ``severity`` ``warning`` is shown but fails nothing; ``count`` is how many rows fail."""

    name: str
    passed: bool
    severity: str = "error"
    count: int = 0
    examples: list[Example] = field(default_factory=list)
    hint: str = ""


@dataclass(frozen=True)
class Checks:
    """All results of one suite."""

    results: list[CheckResult]

    @property
    def passed(self) -> bool:
        """Whether no error was found; warnings do not count."""
        return all(result.passed or result.severity == "warning" for result in self.results)

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        return {"passed": self.passed, "results": [asdict(result) for result in self.results]}


def check_input(report: ManifestReport) -> Checks:
    """The suite for a run's manifest, on what :func:`trueground.manifests.check_manifest` found.

    Raises nothing for bad input: that is in the result.
    """
    import great_expectations.expectations as gxe
    import pandas as pd

    wrong = {problem.line for problem in report.problems}
    rows = [
        {"line": p.line, "text": f"{p.field + ': ' if p.field else ''}{p.problem}. {p.hint or ''}"}
        for p in report.problems
    ]
    fine = max(0, report.objects - len(wrong - {None}))
    frame = pd.DataFrame(rows + [{"line": None, "text": None}] * fine, columns=["line", "text"])
    return _validate(
        frame,
        [
            ("There is something to label", gxe.ExpectTableRowCountToBeBetween(min_value=1), "Give the project data."),
            (
                "Every line is a data object that can be shown",
                gxe.ExpectColumnValuesToBeNull(column="text"),
                "Mend or remove the lines below, then clear this task: nobody has been asked anything yet.",
            ),
        ],
        counts={"text": report.total_problems},
    )


def check_labels(
    lines: Sequence[DataObject], *, attribute: str, categories: Sequence[str], expected_keys: Iterable[str]
) -> Checks:
    """The suite for a run's labels before they are published.

    Args:
        lines: the augmented manifest.
        attribute: the label attribute.
        categories: the classes, in the order of their indices.
        expected_keys: the objects that must have a label.
    """
    import great_expectations.expectations as gxe
    import pandas as pd

    expected, known = list(expected_keys), list(categories)
    rows = []
    for number, line in enumerate(lines, start=1):
        metadata = line.get(f"{attribute}-metadata") or {}
        name = metadata.get("class-name")
        rows.append(
            {
                "line": number,
                "key": object_key(line),
                "class_name": name,
                "index_fits": name in known and str(line.get(attribute)) == str(known.index(name)),
                "confidence": metadata.get("confidence"),
                "human": metadata.get("human-annotated"),
                "created": metadata.get("creation-date"),
                "job": metadata.get("job-name"),
            }
        )
    frame = pd.DataFrame(
        rows, columns=["line", "key", "class_name", "index_fits", "confidence", "human", "created", "job"]
    )
    found = set(frame["class_name"].dropna())
    checks = _validate(
        frame,
        [
            ("Every object has a label", gxe.ExpectTableRowCountToEqual(value=len(expected)), "Look into the rounds."),
            ("Every object is labeled once", gxe.ExpectColumnValuesToBeUnique(column="key"), ""),
            (
                "The labeled objects are those of the run",
                gxe.ExpectColumnValuesToBeInSet(column="key", value_set=expected),
                "",
            ),
            (
                "Every class is one of the project's",
                gxe.ExpectColumnValuesToBeInSet(column="class_name", value_set=known),
                "",
            ),
            ("Index and class name fit", gxe.ExpectColumnValuesToBeInSet(column="index_fits", value_set=[True]), ""),
            (
                "Confidence is between 0 and 1",
                gxe.ExpectColumnValuesToBeBetween(column="confidence", min_value=0, max_value=1),
                "",
            ),
            ("Confidence is there", gxe.ExpectColumnValuesToNotBeNull(column="confidence"), ""),
            ("It is said who labeled", gxe.ExpectColumnValuesToBeInSet(column="human", value_set=["yes", "no"]), ""),
            (
                "The date has Ground Truth's form",
                gxe.ExpectColumnValuesToMatchRegex(column="created", regex=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$"),
                "",
            ),
            ("The job is named", gxe.ExpectColumnValuesToMatchRegex(column="job", regex=r"^labeling-job/."), ""),
        ],
    )
    never = [category for category in known if category not in found]
    warning = CheckResult(
        "Every class occurs",
        not never,
        "warning",
        len(never),
        [Example(None, f"no object is labeled {category!r}") for category in never[:EXAMPLES]],
        "Are there objects of this class? If there are, people or the model miss it.",
    )
    return Checks([*checks.results, warning])


def _validate(
    frame: pd.DataFrame, expectations: Sequence[tuple[str, Any, str]], counts: dict[str, int] | None = None
) -> Checks:
    """Run a suite on a table. ``counts`` corrects the number of failing rows of a column that was cut."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("labels")
    batch = source.add_dataframe_asset("table").add_batch_definition_whole_dataframe("all")
    suite = gx.ExpectationSuite(name="suite", expectations=[expectation for _, expectation, _ in expectations])
    outcome = batch.get_batch(batch_parameters={"dataframe": frame}).validate(
        suite, result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["line"]}
    )
    results = []
    # Great Expectations answers in the suite's own order, which groups by column.
    by_kind = {(r.expectation_config.type, r.expectation_config.kwargs.get("column")): r for r in outcome.results}
    for name, expectation, hint in expectations:
        result = by_kind[expectation.expectation_type, getattr(expectation, "column", None)]
        column = getattr(expectation, "column", None)
        if result.exception_info.get("raised_exception"):
            raise RuntimeError(f"Great Expectations could not check {name!r}: {result.exception_info}")
        facts = result.result or {}
        rows = facts.get("unexpected_index_list") or []
        examples = [Example(_line(row.get("line")), str(row.get(column))) for row in rows[:EXAMPLES]]
        count = (counts or {}).get(column or "", int(facts.get("unexpected_count", 0) or 0))
        if not result.success and not rows:
            examples = [Example(None, f"found {facts.get('observed_value')}")]
        results.append(CheckResult(name, bool(result.success), "error", 0 if result.success else count, examples, hint))
    return Checks(results)


def _line(value: Any) -> int | None:
    return None if value is None or value != value else int(value)
