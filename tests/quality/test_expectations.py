"""Great Expectations takes seconds to import, once for this file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from trueground.manifests import ManifestReport, Problem
from trueground.quality.expectations import EXAMPLES, CheckResult, Checks, Example, check_input, check_labels

CATEGORIES = ["cat", "dog", "cow"]


def line(number: int, index: Any = None, **metadata: Any) -> dict[str, Any]:
    """A good line of an augmented manifest; ``metadata`` changes it, with ``_`` for ``-``."""
    index = number % 3 if index is None else index
    facts = {
        "class_name": CATEGORIES[number % 3],
        "confidence": 0.9,
        "human_annotated": "yes",
        "creation_date": "2026-11-23T20:00:00.000001",
        "job_name": "labeling-job/x",
        **metadata,
    }
    facts = {key.replace("_", "-"): value for key, value in facts.items() if value is not ...}
    return {"source-ref": f"s3://b/{number}.png", "animal": index, "animal-metadata": facts}


def check(lines: list[dict[str, Any]], expected: int | None = None) -> Checks:
    count = len(lines) if expected is None else expected
    keys = [f"s3://b/{number}.png" for number in range(count)]
    return check_labels(iter(lines), attribute="animal", categories=CATEGORIES, expected_keys=iter(keys))


def failed(checks: Checks) -> dict[str, CheckResult]:
    return {result.name: result for result in checks.results if not result.passed}


def test_good_labels_pass_every_check() -> None:
    lines = [line(number) for number in range(6)]
    lines[3] = line(3, "0", confidence=0, human_annotated="no")
    checks = check(lines)
    assert checks.passed and not failed(checks) and len(checks.results) == 11


@pytest.mark.parametrize(
    ("bad", "names", "shown"),
    [
        (line(1, class_name="fox"), ["Every class is one of the project's", "The number of the class"], "fox"),
        (line(1, class_name=...), ["Every class is one of the project's", "The number of the class"], "(nothing)"),
        (line(1, class_name=None), ["Every class is one of the project's", "The number of the class"], "None"),
        (line(1, 2), ["The number of the class fits its name"], "2 and 'dog'"),
        (line(1, "dog"), ["The number of the class fits its name"], "'dog' and 'dog'"),
        (line(1, True), ["The number of the class fits its name"], "True and 'dog'"),
        (line(1, confidence=1.01), ["Confidence is between 0 and 1"], "1.01"),
        (line(1, confidence=-0.1), ["Confidence is between 0 and 1"], "-0.1"),
        (line(1, confidence=...), ["Every label has a confidence"], "(nothing)"),
        (line(1, confidence="high"), ["Every label has a confidence"], "(nothing)"),
        (line(1, confidence=float("nan")), ["Every label has a confidence"], "(nothing)"),
        (line(1, human_annotated="maybe"), ["It is said whether people labeled"], "maybe"),
        (line(1, human_annotated=...), ["It is said whether people labeled"], "(nothing)"),
        (line(1, human_annotated=True), ["It is said whether people labeled"], "True"),
        (line(1, creation_date="2026-11-23T20:00:00"), ["The date has Ground Truth's form"], "2026-11-23T20:00:00"),
        (line(1, creation_date="2026-11-23T20:00:00.000001+00:00"), ["The date has Ground"], "+00:00"),
        (line(1, creation_date=...), ["The date has Ground Truth's form"], "(nothing)"),
        (line(1, job_name="x"), ["The job is named"], "x"),
        (line(1, job_name=...), ["The job is named"], "(nothing)"),
    ],
)
def test_each_wrong_part_of_a_label_is_told_with_its_line(bad: dict[str, Any], names: list[str], shown: str) -> None:
    checks = check([line(0), bad, *(line(number) for number in range(2, 9))])
    found = failed(checks)
    assert not checks.passed and len(found) == len(names)
    for result, name in zip(found.values(), names, strict=True):
        assert result.name.startswith(name) and result.count == 1 and result.hint
    (example,) = found[next(iter(found))].examples
    assert example.line == 2 and shown in example.text


def test_metadata_that_is_missing_fails_all_it_should_hold() -> None:
    for metadata in ({}, {"animal-metadata": "odd"}):
        bad = {"source-ref": "s3://b/1.png", "animal": 1, **metadata}
        assert len(failed(check([line(0), bad, line(2), line(3), line(4)]))) == 6


def test_objects_without_a_label_are_named() -> None:
    unlabeled = {"source-ref": "s3://b/1.png"}
    found = failed(check([line(0), unlabeled, *(line(number) for number in range(3, 6))], expected=6))
    missing = found["Every object has a label"]
    assert missing.count == 2
    assert [example.text for example in missing.examples] == ["s3://b/1.png", "s3://b/2.png"]


def test_a_run_without_any_label_is_told() -> None:
    found = failed(check([], expected=3))
    assert found.keys() == {"Every object has a label", "Every class occurs"}
    assert found["Every object has a label"].count == 3


def test_an_object_labeled_twice_and_one_of_another_run_are_named() -> None:
    found = failed(check([line(0), line(1), line(2), line(1), line(9)], expected=3))
    assert found.keys() == {"No object is labeled twice", "The labeled objects are those of the run"}
    assert [example.line for example in found["No object is labeled twice"].examples] == [2, 4]
    assert found["The labeled objects are those of the run"].examples == [Example(5, "s3://b/9.png")]


def test_a_class_that_never_occurs_is_a_warning() -> None:
    checks = check([line(0), {**line(3), "source-ref": "s3://b/1.png"}])
    (warning,) = failed(checks).values()
    assert checks.passed and warning.severity == "warning"
    assert [example.text for example in warning.examples] == [
        "no object is labeled 'dog'",
        "no object is labeled 'cow'",
    ]


def test_examples_are_few_and_all_are_counted() -> None:
    found = failed(check([line(number, confidence=2) for number in range(200)]))
    result = found["Confidence is between 0 and 1"]
    assert result.count == 200 and len(result.examples) == EXAMPLES


def test_checks_are_written_as_json() -> None:
    checks = check([line(0), line(1, confidence=2), line(2)])
    content = json.loads(json.dumps(checks.to_json()))
    assert content["passed"] is False
    (result,) = [entry for entry in content["results"] if not entry["passed"]]
    assert result["examples"] == [{"line": 2, "text": "2.0"}] and result["severity"] == "error"


def test_a_good_manifest_passes() -> None:
    checks = check_input(ManifestReport(3))
    assert checks.passed and [result.passed for result in checks.results] == [True, True]


def test_problems_of_a_manifest_are_told_with_their_lines_and_all_counted() -> None:
    problems = [Problem(2, "source-ref", "there is no such file", "Put it there."), Problem(4, None, "not JSON: x")]
    checks = check_input(ManifestReport(900, problems, 500))
    (result,) = failed(checks).values()
    assert not checks.passed and result.count == 500 and result.hint
    assert result.examples == [
        Example(2, "source-ref: there is no such file. Put it there."),
        Example(4, "not JSON: x."),
    ]


def test_an_empty_manifest_does_not_pass() -> None:
    checks = check_input(ManifestReport(0, [Problem(None, None, "the manifest is empty")], 1))
    assert not checks.passed and list(failed(checks)) == ["There is something to label"]


def test_two_thousand_labels_are_checked_in_seconds() -> None:
    lines = [line(number) for number in range(2000)]
    check(lines[:3])
    begin = time.perf_counter()
    assert check(lines).passed
    assert time.perf_counter() - begin < 10


@pytest.mark.slow
def test_a_check_writes_no_files_and_opens_no_connections(tmp_path: Path) -> None:
    program = """
import os, socket
def refuse(*address):
    os._exit(3)  # also from a thread in the background
socket.getaddrinfo = socket.socket.connect = socket.socket.connect_ex = refuse
from trueground.manifests import ManifestReport
from trueground.quality.expectations import check_input, check_labels
assert check_input(ManifestReport(3)).passed
check_labels([], attribute="a", categories=["x", "y"], expected_keys=["k"])
"""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GX_")}
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**environment, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout == "" and "Calculating Metrics" not in result.stderr
    assert list(tmp_path.iterdir()) == []
