"""A project of short texts, whose labels are published as nights go by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import pytest

from trueground.contracts import LabelsExtra, ReviewsExtra
from trueground.project import load_project
from trueground.run import Run
from trueground.storage import Storage
from trueground.tasks.base import Label

PROJECT = """
name: mail
task:
  type: text-classification
  labels: [invoice, greeting]
  title: "What is it?"
  description: Say what.
  instructions: {short: Look., full: Look.}
label_attribute: topic
data: {manifest: mail.manifest}
output: out
people: {team: annotators}
"""
WORDS = {"invoice": "please pay the bill number", "greeting": "many happy returns to you from"}


@pytest.fixture
def night(tmp_path: Path) -> Callable[..., Run]:
    """A run of the project; ``retrain`` is that part of its YAML."""

    def night(name: str, retrain: str = "{}") -> Run:
        (tmp_path / "mail.yaml").write_text(f"{PROJECT}retrain: {retrain}\n")
        return Run(load_project(tmp_path / "mail.yaml", data_root=str(tmp_path)), name, Storage(tmp_path))

    return night


def texts(numbers: Iterable[int]) -> dict[str, str]:
    """Texts and what they are."""
    return {f"{WORDS[kind]} {number}": kind for number in numbers for kind in WORDS}


def publish(run: Run, labels: dict[str, str], *, human: bool = True, confidence: float = 0.95) -> str:
    """Write a label set in Ground Truth's form."""
    lines = []
    for text, value in labels.items():
        label = Label("", value, confidence, human=human)
        written = run.task_type.write_label(
            label, "topic", run.categories, job_name="labeling-job/x", created=datetime(2026, 1, 1)
        )
        lines.append({"source": text, **written})
    run.write_lines(lines, "published", "all.manifest")
    return run.uri("published", "all.manifest")


def labels_extra(labels: str) -> dict[str, object]:
    """What the event of a label set says."""
    facts = {
        "project": "mail", "run": "night", "label_attribute": "topic", "labels": labels, "run_labels": labels,
        "table": "t", "certificate_uri": "c", "report": "r", "objects": 1, "all_objects": 1, "human": 1, "machine": 0,
        "answers": 3, "seen_by_people": 1, "human_share": 1.0, "certificate": {},
    }  # fmt: skip
    return LabelsExtra(**facts).as_extra()


def reviews_extra(labels: str | None) -> dict[str, object]:
    """What the event of reviews says."""
    facts = {
        "project": "mail", "run": "night", "reviews": "r", "table": "t", "labels": labels, "label_attribute": "topic",
        "objects": 1, "reviewed": 1, "accepted": 0, "changed": 1, "unresolved": 0, "set_aside": 0,
    }  # fmt: skip
    return ReviewsExtra(**facts).as_extra()
