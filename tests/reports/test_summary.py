from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trueground.answers import save_answers
from trueground.autolabel.rounds import RoundState
from trueground.project import load_project
from trueground.quality.certificate import CertifiedStratum
from trueground.reports import ClassCount, LabelReport, Round, render_label_report
from trueground.reports.summary import _estimate, label_report
from trueground.review import verification
from trueground.run import Run
from trueground.storage import Storage, file_uri
from trueground.tasks.base import Answer, DataObject, Label

START = datetime(2026, 11, 23, 0, 1, tzinfo=UTC)
OBJECTS = 12
PROJECT = """
name: birds
description: Which bird is it?
task:
  type: image-classification
  labels: [robin, wren]
  title: Which bird?
  description: Choose.
  instructions: {short: <p>x</p>, full: <p>x</p>}
label_attribute: bird
data: {prefix: birds/images/}
output: birds/labels
people: {team: annotators, workers_per_object: 2}
rounds: {maximum: 3, first: 2, each: 2}
auto_label: {accuracy: 0.9, confidence: 0.95}
"""


def answer(key: str, worker: str, value: str, seconds: float = 2.0, element: str = "crowd-image-classifier") -> Answer:
    moment = START + timedelta(seconds=seconds)
    return Answer(key, f"private.us-east-1.{worker}", {element: {"label": value}}, START, moment, seconds)


@pytest.fixture
def run(tmp_path: Path, png: bytes) -> Run:
    """A run whose rounds are over: six human labels, six by the machine, all judged, one corrected."""
    (tmp_path / "birds.yaml").write_text(PROJECT)
    images = tmp_path / "data" / "birds" / "images"
    images.mkdir(parents=True)
    for number in range(OBJECTS):
        (images / f"{number:02}.png").write_bytes(png)
    project = load_project(tmp_path / "birds.yaml", data_root=str(tmp_path / "data"))
    run = Run(project, "manual__2026-11-23", Storage(tmp_path / "data"))
    keys = [file_uri(images / f"{number:02}.png") for number in range(OBJECTS)]
    run.write_lines(({"source-ref": key} for key in keys), "input.manifest")

    value = ["robin", "wren"] * 6
    human = [Label(key, value[i], 0.9 - i / 100) for i, key in enumerate(keys[:6])]
    machine = [Label(key, value[i + 6], 0.97, human=False) for i, key in enumerate(keys[6:])]
    save_answers(
        run, [answer(key, worker, value[i]) for i, key in enumerate(keys[:6]) for worker in ("ana", "bo")],
        "rounds", "1", "answers.jsonl",
    )  # fmt: skip
    for number, state in enumerate([RoundState(1, 12, 4, 0), RoundState(2, 12, 6, 6)], start=1):
        run.write_labels(human[: state.human], "rounds", str(number), "labels.jsonl")
        run.write_labels(machine[: state.machine], "rounds", str(number), "machine.jsonl")
        run.write_json(asdict(state), "rounds", str(number), "state.json")
        run.write_json({"audited": number - 1}, "rounds", str(number), "settlement.json")

    sample = {"human": keys[:6], "machine": keys[6:]}
    choice = verification.Choice([], sample, {"human": 6, "machine": 6})
    run.write_json(asdict(choice), "verification", "choice.json")
    save_answers(
        run, [answer(key, "cleo", "wrong" if key == keys[6] else "right", 1.0, "crowd-classifier") for key in keys],
        "verification", "answers.jsonl",
    )  # fmt: skip
    judged = [Label(key, "wrong" if key == keys[6] else "right", 1.0) for key in keys]
    run.write_labels(judged, "verification", "judgements.jsonl")
    save_answers(run, [answer(keys[6], who, "wren", 4.0) for who in ("ana", "bo")], "adjustment", "answers.jsonl")
    return run


@pytest.fixture
def report(run: Run) -> LabelReport:
    labels = verification.final_labels(run)
    created = datetime(2026, 11, 23, 0, 7)
    lines: list[DataObject] = [
        verification.with_label(run, line, labels, job_name="birds", created=created) for line in run.objects()
    ]
    answers = [
        *(answer(line["source-ref"], "cleo", "right", 1.0, "crowd-classifier") for line in lines),
        *(
            answer(line["source-ref"], who, labels[line["source-ref"]].value)
            for line in lines[:6]
            for who in ("ana", "bo")
        ),
        answer(lines[0]["source-ref"], "dan", "wren", 9.0),
    ]
    warning = {"name": "Every class occurs", "passed": False, "severity": "warning", "examples": [{"text": "x"}]}
    run.write_json({"results": [warning]}, "checks", "labels.json")
    facts = {"run_labels": run.uri("published", "labels.manifest"), "table": run.uri("published", "labels.parquet")}
    return label_report(run, lines, answers, verification.certificate(run), facts)


def test_it_counts_who_labeled_what(report: LabelReport) -> None:
    assert (report.objects, report.people, report.machine, report.answers) == (12, 7, 5, 25)
    assert report.classes == (
        ClassCount(name="robin", people=3, machine=2),
        ClassCount(name="wren", people=4, machine=3),
    )
    assert report.finished == "23 November 2026, 00:07 UTC"


def test_rounds_are_where_the_objects_stood(report: LabelReport) -> None:
    assert report.rounds == (
        Round(number=1, people=4, machine=0, open=8, audited=0),
        Round(number=2, people=6, machine=6, open=0, audited=1),
    )


def test_workers_are_judged_by_the_published_labels_and_judgements_are_no_labels(report: LabelReport) -> None:
    workers = {worker.name: worker for worker in report.workers}
    assert workers["ana"].accuracy == 1.0 and workers["dan"].accuracy == 0.0
    assert workers["cleo"].accuracy is None and workers["cleo"].answers == 12
    assert workers["dan"].seconds == 9.0


def test_what_people_corrected_is_shown_before_and_after(report: LabelReport) -> None:
    assert report.verification is not None
    assert (report.verification.judged, report.verification.rejected, report.verification.adjusted) == (12, 1, 1)
    (sample,) = report.corrected
    assert (sample.before, sample.label, sample.human) == ("robin", "wren", True)


def test_bounds_come_from_the_certificate(report: LabelReport, run: Run) -> None:
    facts = verification.certificate(run).to_json()
    assert report.accuracy is not None and report.accuracy.promised == 0.9
    assert report.accuracy.overall is not None and report.accuracy.overall.lower == facts["accuracy_bound"]
    bounds = {stratum["name"]: stratum["accuracy_bound"] for stratum in facts["strata"]}
    assert report.accuracy.people is not None and report.accuracy.people.lower == bounds["human"]
    assert report.accuracy.machine is not None and report.accuracy.machine.lower == bounds["machine"]


def test_samples_have_small_pictures_and_the_least_sure_come_first(report: LabelReport, take_apart: Any) -> None:
    assert len(report.samples) == OBJECTS
    assert [sample.confidence for sample in report.least_sure[:2]] == sorted(s.confidence or 0 for s in report.samples)[
        :2
    ]
    page = take_apart(render_label_report(report))
    assert len(page.all("img")) == len(report.samples) + len(report.least_sure) + len(report.corrected)
    assert "! Every class occurs x" in page.text


def test_a_picture_that_is_gone_costs_only_that_picture(run: Run) -> None:
    labels = verification.final_labels(run)
    lines = [
        verification.with_label(run, line, labels, job_name="birds", created=datetime(2026, 1, 1))
        for line in run.objects()
    ]
    run.storage.delete(lines[0]["source-ref"])
    report = label_report(run, lines, [], verification.certificate(run), {})
    assert sum(sample.image is None for sample in report.samples) == 1


def test_the_report_can_be_kept_as_json(report: LabelReport) -> None:
    assert LabelReport.from_json(json.loads(json.dumps(report.to_json()))) == report


@pytest.mark.parametrize(
    ("labels", "checked_all", "sampled", "wrong", "estimate"),
    [
        (1000, 0, 100, 5, 1 - 900 * 0.05 / 1000),
        (1000, 200, 100, 5, 1 - 700 * 0.05 / 1000),
        (100, 0, 100, 7, 1.0),
        (50, 50, 0, 0, 1.0),
        (100, 0, 0, 0, None),
    ],
)
def test_the_estimate_takes_what_was_not_judged_for_like_the_sample(
    labels: int, checked_all: int, sampled: int, wrong: int, estimate: float | None
) -> None:
    found = CertifiedStratum("machine", labels, checked_all, sampled, wrong, labels - checked_all, bound=0.5)
    assert _estimate([found]) == (None if estimate is None else pytest.approx(estimate))
