"""The page of the audits."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.reports.test_pages import HOSTILE, assert_stands_alone
from trueground.reports import render_audit_report

EMPTY = {
    "promise": "unknown", "since": None, "accuracy": 0.95, "confidence": 0.95, "lower": 0.0, "upper": 1.0,
    "estimate": None, "reviews": 0, "nights": [], "classes": {}, "models": {}, "prefixes": {},
    "drift": "unknown", "drift_since": None, "drift_evidence": None, "drift_nights": [],
}  # fmt: skip


def state(**changes: Any) -> dict[str, Any]:
    """Twelve nights, the last of which broke the promise and saw the inputs drift."""
    nights = [
        {"night": f"2026-11-{n + 1:02}", "lower": 0.005 * n, "upper": 0.1 + 0.9 / (n + 1) ** 2, "estimate": 0.07}
        for n in range(12)
    ]
    drift = [
        {
            "night": row["night"],
            "new": 120,
            "tested": 120,
            "evidence": 1.5**n,
            "drift": "drifted" if n > 10 else "steady",
        }
        for n, row in enumerate(nights)
    ]
    group = {
        name: {"drawn": 90 - 7 * n, "wrong": n, "error_rate": n / 90, "lower": 0.06 * n, "upper": 0.06 * n + 0.05}
        for n, name in enumerate(("wren", "robin"))
    }
    return {
        **EMPTY, "promise": "broken", "since": nights[-1]["night"], "lower": 0.055, "upper": 0.106, "estimate": 0.07,
        "reviews": 341, "nights": nights, "drift": "drifted", "drift_since": nights[-1]["night"],
        "drift_evidence": 342.7, "drift_nights": drift, "classes": group, "models": {"birds-7": group["wren"]},
        "prefixes": {"s3://birds/a-long-folder-name/of/last/november": group["robin"]}, **changes,
    }  # fmt: skip


def test_a_reader_meets_the_alarm_first_then_when_where_and_since_when(take_apart: Any) -> None:
    page = take_apart(render_audit_report("birds", state()))
    assert_stands_alone(page)
    for part in (
        "The promise is broken since 2026-11-12.",
        "Inputs drifted since 2026-11-12.",
        "at most 5.0 % of the machine's labels are wrong",
        "Wrong, at most 10.6 %",
        "341 in 12 nights",
        "robin 83 1 1.1 % 6.0 % – 11.0 %",
        "birds-7 90 0 0.0 % 0.0 % – 5.0 %",
        "s3://birds/a-long-folder-name/of/last/november",
    ):
        assert part in page.text, part
    assert [cell.get("class") for cell in page.all("td")].count("n bad") == 2, "robin, and where robins lie"
    bands = [box for box in page.all("rect") if box.get("class") == "machine band"]
    assert len(bands) == 12
    assert "2026-11-12: 5.5% to 10.6%" in page.text


def test_before_the_first_night_every_part_says_that_it_is_empty(take_apart: Any) -> None:
    page = take_apart(render_audit_report("birds", EMPTY))
    assert_stands_alone(page)
    for part in (
        "Whether the promise holds is not known yet.",
        "Nobody has judged a label yet.",
        "No class was drawn yet.",
        "No model's label was drawn yet.",
        "Nothing was drawn yet.",
        "Inputs were not compared yet.",
    ):
        assert part in page.text, part


def test_words_from_data_are_shown_and_not_obeyed(take_apart: Any) -> None:
    row = {"drawn": 1, "wrong": 1, "error_rate": 1.0, "lower": 0.0, "upper": 1.0}
    night = {"night": HOSTILE, "lower": 0.0, "upper": 1.0, "estimate": None}
    hostile = state(
        nights=[night], classes={HOSTILE: row}, models={HOSTILE: row}, prefixes={HOSTILE: row}, since=HOSTILE
    )
    page = take_apart(render_audit_report(HOSTILE, hostile))
    assert_stands_alone(page)
    assert page.text.count("onerror=alert(1)") >= 5


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_fits_its_window(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed; `make test` installs one")
    (tmp_path / "report.html").write_text(render_audit_report("birds", state()), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width in (390, 1440):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.goto((tmp_path / "report.html").as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") == width
            page.screenshot(path=str(tmp_path / f"{width}.png"), full_page=True)
        browser.close()
