"""Drift between audits: what came in is compared each night, and an alarm lasts until the model could learn anew."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.review.test_audits import PROJECT, night
from trueground.autolabel.suspension import may_auto_label
from trueground.review import audits
from trueground.tasks.base import Label

TEXTS = PROJECT.replace("image-classification", "text-classification").replace("data: {prefix", "data: {manifest")
USUAL = ["wren", "sang", "hedge", "garden", "wall", "rain", "nest", "early", "feather", "song", "branch", "blue", "egg"]
OTHER = ["invoice", "total", "tax", "account", "number", "due", "amount", "bank", "customer", "order", "euro", "gross"]


class Nights:
    """A project whose label set grows every night."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lines, self.rng = folder, list[dict[str, Any]](), np.random.default_rng(0)

    def audit(self, name: str, words: list[str], count: int, *, human: bool = False) -> dict[str, Any]:
        run = night(self.folder, name, TEXTS)
        for _ in range(count):
            text = f"{' '.join(self.rng.choice(words, 9))} {len(self.lines)}"
            label = Label(f"text:{len(self.lines)}", "wren", 0.99, human=human)
            written = run.task_type.write_label(
                label, "bird", run.categories, job_name="labeling-job/x", created=datetime(2026, 1, 1)
            )
            self.lines.append({"source": text, **written})
        run.write_lines(self.lines, "published", "all.manifest")
        audits.draw(run, run.uri("published", "all.manifest"), 5)
        state = audits.collect(run, None)
        assert state is not None
        return state

    def may_label(self, name: str) -> bool:
        return may_auto_label(night(self.folder, name, TEXTS))


def test_inputs_like_the_first_ones_are_steady_every_night(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    assert nights.audit("n0", USUAL, 50)["drift"] == "unknown", "too few to compare with"
    state = nights.audit("n1", USUAL, 250)
    assert (state["drift"], state["drift_since"]) == ("steady", "n1")
    for number in range(2, 6):
        state = nights.audit(f"n{number}", USUAL, 40)
    assert (state["drift"], state["drift_since"]) == ("steady", "n1")
    assert [row["new"] for row in state["drift_nights"]] == [50, 250, 40, 40, 40, 40]
    assert nights.may_label("next")


def test_an_alarm_has_people_label_until_there_is_enough_to_learn_from(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.audit("n1", USUAL, 300)
    state = nights.audit("n2", OTHER, 60)
    assert (state["drift"], state["drift_since"], state["promise"]) == ("drifted", "n2", "unknown")
    assert state["drift_evidence"] >= 100
    assert not nights.may_label("during")
    assert nights.audit("n3", OTHER, 60, human=True)["drift"] == "drifted"
    state = nights.audit("n4", OTHER, 60, human=True)
    assert (state["drift"], state["drift_since"]) == ("steady", "n4")
    assert nights.audit("n5", OTHER, 60)["drift"] == "steady"
    assert nights.may_label("after")
    assert nights.audit("n6", USUAL, 60)["drift"] == "drifted", "what was usual once is not any more"


def test_a_night_measured_twice_is_recorded_once(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.audit("n1", USUAL, 300)
    first = nights.audit("n2", USUAL, 50)
    assert nights.audit("n2", USUAL, 0) == first


def test_an_interrupted_night_measures_the_same_objects(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.audit("n1", USUAL, 300, human=True)
    first = nights.audit("n2", USUAL, 50, human=True)
    file = next(tmp_path.rglob("n2/drift.json"))
    scores = json.loads(file.read_text())["scores"]
    file.unlink()
    assert nights.audit("n2", USUAL, 0)["drift_evidence"] == pytest.approx(first["drift_evidence"])
    assert json.loads(file.read_text())["scores"] == scores


def test_pictures_that_are_gone_do_not_end_the_audits(tmp_path: Path) -> None:
    run = night(tmp_path, "pictures")
    run.write_lines([{"source-ref": f"{tmp_path.as_uri()}/{i}.png"} for i in range(200)], "all.manifest")
    audits.draw(run, run.uri("all.manifest"), 5)
    state = audits.collect(run, None)
    assert state is not None and (state["drift"], state["drift_nights"][-1]["new"]) == ("unknown", 200)


def test_a_night_in_which_nothing_was_published_leaves_no_state(tmp_path: Path) -> None:
    assert audits.collect(night(tmp_path, "one"), None) is None
