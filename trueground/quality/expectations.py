"""Great Expectations suites for what goes into a run and what comes out of it.

Great Expectations takes seconds to import, so it is imported where it is used.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from trueground.manifests import ManifestReport, object_key
from trueground.tasks.base import DataObject

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = 50
"""Failing rows that a result keeps."""
NOTHING = "(nothing)"


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
    gxe = _expectations()
    import pandas as pd

    # One row a line: what is wrong with it, or nothing. A file without lines has no rows.
    wrong = [problem for problem in report.problems if problem.line is not None]
    texts = [f"{p.field + ': ' if p.field else ''}{p.problem}. {p.hint or ''}".strip() for p in wrong]
    fine = max(0, report.objects - len({problem.line for problem in wrong}))
    frame = pd.DataFrame(
        {
            "line": pd.array([p.line for p in wrong] + [None] * fine, dtype="Int64"),
            "text": pd.array(texts + [None] * fine, dtype="string"),
        }
    )
    return _validate(
        frame,
        [
            (
                "There is something to label",
                gxe.ExpectTableRowCountToBeBetween(min_value=1),
                "Put data where the project looks for it, then clear this task.",
            ),
            (
                "Every line is a data object that can be shown",
                gxe.ExpectColumnValuesToBeNull(column="text"),
                "Mend or remove the lines below, then clear this task: nobody has been asked anything yet.",
            ),
        ],
        counts={"text": report.total_problems},
    )


def check_labels(
    lines: Iterable[DataObject], *, attribute: str, categories: Sequence[str], expected_keys: Iterable[str]
) -> Checks:
    """The suite for a run's class labels before they are published.

    Args:
        lines: the augmented manifest.
        attribute: the label attribute.
        categories: the classes, in the order of their indices.
        expected_keys: the objects that must have a label.
    """
    gxe = _expectations()
    import pandas as pd

    known = list(categories)
    labels = pd.DataFrame(
        [_label_row(number, line, attribute, known) for number, line in enumerate(lines, start=1)],
        columns=["line", "key", "index", "class_name", "index_fits", "confidence", "human", "created", "job"],
    )
    expected = pd.DataFrame({"key": list(dict.fromkeys(expected_keys))})
    expected["line"] = None
    # What an object lacks is asked of the objects, not of the lines: an object without a line has no row there.
    expected["label"] = expected["key"].isin(labels.loc[labels["index"].notna(), "key"])
    about_objects = _validate(
        expected,
        [
            (
                "Every object has a label",
                gxe.ExpectColumnValuesToBeInSet(column="label", value_set=[True]),
                "The rounds left these objects out: look at the last round's tasks.",
            )
        ],
        shown={"label": "key"},
    )
    again = "Clear the task that wrote these labels; if they come again, it has a fault."
    about_lines = _validate(
        labels,
        [
            ("No object is labeled twice", gxe.ExpectColumnValuesToBeUnique(column="key"), again),
            (
                "The labeled objects are those of the run",
                gxe.ExpectColumnValuesToBeInSet(column="key", value_set=expected["key"].tolist()),
                again,
            ),
            (
                "Every class is one of the project's",
                gxe.ExpectColumnValuesToBeInSet(column="class_name", value_set=known),
                "Were task.labels changed while the run was going? Put them back, or start a new run.",
            ),
            (
                "The number of the class fits its name",
                gxe.ExpectColumnValuesToBeInSet(column="index_fits", value_set=["yes"]),
                "Was the order of task.labels changed while the run was going? Put it back, or start a new run.",
            ),
            ("Every label has a confidence", gxe.ExpectColumnValuesToNotBeNull(column="confidence"), again),
            (
                "Confidence is between 0 and 1",
                gxe.ExpectColumnValuesToBeBetween(column="confidence", min_value=0, max_value=1),
                again,
            ),
            (
                "It is said whether people labeled",
                gxe.ExpectColumnValuesToBeInSet(column="human", value_set=["yes", "no"]),
                again,
            ),
            (
                "The date has Ground Truth's form",
                gxe.ExpectColumnValuesToMatchRegex(column="created", regex=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$"),
                again,
            ),
            ("The job is named", gxe.ExpectColumnValuesToMatchRegex(column="job", regex=r"^labeling-job/."), again),
        ],
    )
    return Checks([*about_objects.results, *about_lines.results, _every_class_occurs(known, set(labels["class_name"]))])


def _label_row(number: int, line: DataObject, attribute: str, known: list[str]) -> dict[str, Any]:
    """What the suite looks at in a line. Only a confidence may be null: expectations pass over nulls."""
    metadata = line.get(f"{attribute}-metadata")
    facts = metadata if isinstance(metadata, dict) else {}
    index, name, confidence = line.get(attribute), facts.get("class-name"), facts.get("confidence")
    fits = name in known and str(index) == str(known.index(name))
    if isinstance(confidence, bool) or not isinstance(confidence, int | float):
        confidence = None
    return {
        "line": number,
        "key": object_key(line),
        "index": None if index is None else str(index),
        "class_name": str(facts.get("class-name", NOTHING)),
        "index_fits": "yes" if fits else f"{index!r} and {name!r}",
        "confidence": None if confidence is None else float(confidence),
        "human": str(facts.get("human-annotated", NOTHING)),
        "created": str(facts.get("creation-date", NOTHING)),
        "job": str(facts.get("job-name", NOTHING)),
    }


def _every_class_occurs(known: list[str], found: set[str]) -> CheckResult:
    never = [category for category in known if category not in found]
    return CheckResult(
        "Every class occurs",
        not never,
        "warning",
        len(never),
        [Example(None, f"no object is labeled {category!r}") for category in never[:EXAMPLES]],
        "Are there objects of this class? If there are, people or the model miss it.",
    )


def _expectations() -> Any:
    # Read when Great Expectations is imported; without it each suite would be reported over the network.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    # It notes hundreds of things about itself that nobody who reads a task's log can use.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations.expectations as gxe

    # This one sets its own level when it is imported.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    return gxe


def _validate(
    frame: pd.DataFrame,
    expectations: Sequence[tuple[str, Any, str]],
    *,
    counts: Mapping[str, int] | None = None,
    shown: Mapping[str, str] | None = None,
) -> Checks:
    """Run a suite on a table that has a column ``line``.

    Args:
        frame: the table.
        expectations: each with its name and what to do where it fails.
        counts: the number of failing rows, by column, where the table holds only some of them.
        shown: the column whose value an example shows in place of the one that is checked.
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    counts, shown = counts or {}, shown or {}
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("labels")
    batch = source.add_dataframe_asset("table").add_batch_definition_whole_dataframe("all")
    suite = gx.ExpectationSuite(name="suite", expectations=[expectation for _, expectation, _ in expectations])
    outcome = batch.get_batch(batch_parameters={"dataframe": frame}).validate(
        suite,
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": list(dict.fromkeys(["line", *shown.values()])),
        },
    )
    # Great Expectations answers in its own order, which groups by column.
    answers = {(r.expectation_config.type, r.expectation_config.kwargs.get("column")): r for r in outcome.results}
    results = []
    for name, expectation, hint in expectations:
        column = getattr(expectation, "column", None)
        answer = answers[expectation.expectation_type, column]
        if answer.exception_info.get("raised_exception"):
            raise RuntimeError(f"Great Expectations could not check {name!r}: {answer.exception_info}")
        if answer.success:
            results.append(CheckResult(name, True, hint=hint))
            continue
        facts = answer.result or {}
        rows = facts.get("unexpected_index_list") or []
        value = shown.get(column or "", column)
        examples = [Example(_line(row.get("line")), _text(row.get(value))) for row in rows[:EXAMPLES]]
        count = counts.get(column or "", int(facts.get("unexpected_count", 0) or 0))
        if not rows:
            examples, count = [Example(None, f"found {facts.get('observed_value')}")], max(count, 1)
        results.append(CheckResult(name, False, "error", count, examples, hint))
    return Checks(results)


def _line(value: Any) -> int | None:
    return None if value is None or value != value else int(value)


def _text(value: Any) -> str:
    return NOTHING if value is None or value != value else str(value)
