from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trueground.reports import (
    Accuracy,
    Bound,
    ClassCount,
    LabelReport,
    Sample,
    Worker,
    render_label_report,
    render_model_report,
)
from trueground.reports.pages import CLASSES_SHOWN, SAMPLES_A_CLASS, WORKERS_SHOWN

HOSTILE = "<img src=x onerror=alert(1)>\"'</style><script>alert(2)</script>"


def assert_stands_alone(page: Any) -> None:
    assert not page.open, "tags are left open"
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert all((image["src"] or "").startswith("data:image/") for image in page.all("img"))
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], attributes
    # The only references are into the page itself.
    assert set(re.findall(r"url\(([^)]*)\)", page.html)) <= {"#hatch"}
    assert "@import" not in page.html
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_a_reader_meets_the_result_first(report: LabelReport, take_apart: Any) -> None:
    page = take_apart(render_label_report(report))
    assert_stands_alone(page)
    assert (
        "1,797 objects: people labeled 36 % , the machine 64 % . At least 98.3 % of the labels are right." in page.text
    )
    # The headline comes before any picture or table.
    assert page.html.index("At least") < min(page.html.index("<img"), page.html.index("<table"))


def test_it_shows_rounds_bounds_workers_verification_checks_and_files(report: LabelReport, take_apart: Any) -> None:
    text = take_apart(render_label_report(report)).text
    for part in (
        "1,647 open",
        "Labels by the machine (1,155): with 95 % confidence at least 98.2 % are right",
        "212 drawn at random were judged, 1 of them wrong.",
        "A second team judged 310 labels, rejected 9 (3 %)",
        "ana 1,200",
        "99.1 % 2.1 s",
        "Krippendorff's alpha): 0.93",
        "✗ No rare class",
        "s3://b/labels.parquet",
        "dashed: the promise for the machine, 98.0 %",
    ):
        assert part in text, part


def test_a_lower_bound_is_cut_never_rounded_up(report: LabelReport, take_apart: Any) -> None:
    text = take_apart(render_label_report(report)).text
    assert "≥ 98.6 %" in text and "98.7 %" not in text


@pytest.mark.parametrize(
    ("part", "shown"), [(0, "0 %"), (1, "under 1 %"), (1796, "over 99 %"), (1797, "100 %"), (900, "50 %")]
)
def test_none_and_all_are_said_only_where_they_are_exact(part: int, shown: str, take_apart: Any) -> None:
    page = take_apart(render_label_report(LabelReport(project="digits", objects=1797, people=part)))
    assert f"Labeled by people {shown} {part:,} objects" in page.text


def test_only_what_a_browser_can_open_is_a_link(report: LabelReport, take_apart: Any) -> None:
    links = [link["href"] for link in take_apart(render_label_report(report)).all("a")]
    assert links == ["file:///srv/certificate.json"]
    hostile = replace(report, links=(replace(report.links[0], uri="javascript:alert(1)"),))
    assert not take_apart(render_label_report(hostile)).all("a")


def test_words_from_data_are_shown_and_not_obeyed(report: LabelReport, take_apart: Any) -> None:
    sample = Sample(key=HOSTILE, label=HOSTILE, before=HOSTILE, text=HOSTILE, confidence=0.5)
    page = take_apart(
        render_label_report(
            replace(
                report,
                project=HOSTILE,
                description=HOSTILE,
                run=HOSTILE,
                classes=(ClassCount(name=HOSTILE, people=1, machine=1),),
                workers=(Worker(name=HOSTILE, answers=1),),
                samples=(sample,),
                least_sure=(sample, Sample(key=HOSTILE, label=HOSTILE)),
                corrected=(sample,),
            )
        )
    )
    assert_stands_alone(page)
    assert page.text.count("onerror=alert(1)") >= 8


def test_an_image_that_cannot_be_shown_leaves_its_name(report: LabelReport, take_apart: Any) -> None:
    assert "doubt.png" in take_apart(render_label_report(report)).text


def test_every_part_may_be_missing(take_apart: Any) -> None:
    page = take_apart(render_label_report(LabelReport(project="empty", objects=0)))
    assert_stands_alone(page)
    for part in (
        "There was nothing to label.",
        "not certified",
        "No rounds were recorded.",
        "No second team looked at these labels.",
        "No one was asked in this run.",
        "No certificate was made for this run.",
    ):
        assert part in page.text, part


def test_without_machine_labels_it_promises_nothing_about_them(take_apart: Any) -> None:
    accuracy = Accuracy(
        people=Bound(objects=40, lower=0.9), machine=Bound(objects=0), overall=Bound(objects=40, lower=0.9)
    )
    page = take_apart(render_label_report(LabelReport(project="p", objects=40, people=40, accuracy=accuracy)))
    assert "people labeled them all" in page.text.lower()
    assert "The machine labeled nothing in this run." in page.text
    assert "Labels by the machine" not in page.text


def test_text_objects_are_quoted_and_cut(take_apart: Any) -> None:
    samples = (Sample(key="text:1", label="happy", text="so\n\nhappy " + "word " * 200),)
    page = take_apart(render_label_report(LabelReport(project="p", objects=1, people=1, samples=samples)))
    quote = next(word for word in page.words if word.startswith("so happy"))
    assert len(quote) <= 240 and quote.endswith("…")


def test_hundreds_of_classes_and_thousands_of_samples_make_a_small_page(png: bytes, take_apart: Any) -> None:
    names = [f"class {number:03}" for number in range(300)]
    page = take_apart(
        render_label_report(
            LabelReport(
                project="birds",
                objects=30_000,
                people=300,
                classes=tuple(ClassCount(name=name, people=number, machine=0) for number, name in enumerate(names)),
                samples=tuple(Sample(key=f"{i}", label=names[i % 300], image=png) for i in range(6000)),
                workers=tuple(Worker(name=f"worker {i}", answers=i) for i in range(200)),
            )
        )
    )
    assert len(page.all("img")) == CLASSES_SHOWN * SAMPLES_A_CLASS
    assert len(page.html) < 500_000
    assert all(name in page.text for name in names), "every class is at least counted"
    assert f"and {200 - WORKERS_SHOWN} more" in page.text


def test_a_report_comes_back_from_json_as_it_was(report: LabelReport) -> None:
    again = LabelReport.from_json(json.loads(json.dumps(report.to_json())))
    assert render_label_report(again) == render_label_report(report)


def test_a_model_card_becomes_a_page_and_its_markup_stays_text(take_apart: Any) -> None:
    card = f"## Use\n\n| class | recall |\n|---|---|\n| 8 | 0.93 |\n\n{HOSTILE}\n\n![x](https://example.org/x.png)\n"
    page = take_apart(render_model_report("digits", card, facts=[("Accuracy", "97.2 %")]))
    assert_stands_alone(page)
    assert "Use class recall 8 0.93" in page.text and "Accuracy 97.2 %" in page.text


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 768, 1440])
def test_the_page_fits_its_window_and_asks_nothing_of_the_network(
    report: LabelReport, tmp_path: Path, width: int
) -> None:
    import shutil

    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed; `make test` installs one")
    file = tmp_path / "report.html"
    file.write_text(render_label_report(report), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        asked, complaints = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert complaints == []
