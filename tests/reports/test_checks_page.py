from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trueground.manifests import check_manifest
from trueground.quality.expectations import CheckResult, Checks, Example, check_input, check_labels
from trueground.reports import render_checks_page
from trueground.storage import Storage, file_uri


def test_a_failed_check_says_what_where_and_what_to_do(take_apart: Any) -> None:
    checks = Checks(
        [
            CheckResult(
                "Objects are there", False, "error", 3, [Example(7, "no such file"), Example(None, "x")], "Add them."
            ),
            CheckResult("Every class occurs", False, "warning", 1, [Example(None, "no object is labeled 'wren'")]),
            CheckResult("Lines are JSON", True),
        ]
    )
    page = take_apart(render_checks_page("Input of birds", checks))
    assert not page.open and not page.all("script")
    for part in (
        "1 check does not pass.",
        "Objects are there 3 places; the first 2 are shown",
        "line 7 no such file",
        "whole file x",
        "What to do: Add them.",
        "Every class occurs 1 place",
        "1 check passed ✓ Lines are JSON",
    ):
        assert part in page.text, part


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ([CheckResult("a", True)], "✓ Everything passed."),
        ([CheckResult("a", False, "warning", 1)], "✓ Nothing is wrong; 1 thing is worth a look."),
        ([CheckResult("a", False), CheckResult("b", False)], "✗ 2 checks do not pass."),
        ([], "Nothing was checked."),
    ],
)
def test_the_verdict_stands_first(results: list[CheckResult], verdict: str, take_apart: Any) -> None:
    assert verdict in take_apart(render_checks_page("Labels", Checks(results))).text


def test_words_from_a_bad_manifest_are_shown_and_not_obeyed(take_apart: Any) -> None:
    hostile = "<script>alert(1)</script>"
    result = CheckResult(hostile, False, "error", 1, [Example(1, hostile)], hostile)
    page = take_apart(render_checks_page(hostile, Checks([result])))
    assert not page.all("script") and page.text.count("alert(1)") == 5


@pytest.mark.slow
def test_a_real_manifest_with_mistakes_is_explained_line_by_line(tmp_path: Path, take_apart: Any, png: bytes) -> None:
    (tmp_path / "a.png").write_bytes(png)
    (tmp_path / "b.png").write_bytes(b"not a picture")
    good, bad, gone = (file_uri(tmp_path / name) for name in ("a.png", "b.png", "gone.png"))
    manifest = tmp_path / "m.manifest"
    manifest.write_text(
        f'{{"source-ref": "{good}"}}\n{{"source-ref": "{good}"}}\nnot json\n'
        f'{{"source-ref": "{bad}"}}\n{{"source-ref": "{gone}"}}\n'
    )
    storage = Storage(tmp_path)
    report = check_manifest(storage, file_uri(manifest), source_key="source-ref", media="image")
    page = take_apart(render_checks_page("Input of birds", check_input(report), report))
    assert "4 objects" in page.text and "1 check does not pass." in page.text
    for part in ("line 2 source-ref: the same object as in line 1", "line 3", "line 4", "line 5", "no such file"):
        assert part in page.text, part


@pytest.mark.slow
def test_labels_that_miss_a_class_pass_with_a_warning(take_apart: Any) -> None:
    line = {
        "source": "fine",
        "mood": 0,
        "mood-metadata": {
            "class-name": "happy",
            "confidence": 0.9,
            "human-annotated": "yes",
            "creation-date": "2026-11-23T00:00:00.000001",
            "job-name": "labeling-job/x",
        },
    }
    from trueground.manifests import object_key

    checks = check_labels([line], attribute="mood", categories=["happy", "sad"], expected_keys=[object_key(line)])
    text = take_apart(render_checks_page("Labels", checks)).text
    assert "Nothing is wrong; 1 thing is worth a look." in text and "no object is labeled 'sad'" in text
