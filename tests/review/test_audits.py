"""Audits on a project's files: drawn once, asked once, and an alarm that stops machine labels until they hold again."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from trueground.autolabel import rounds
from trueground.autolabel.suspension import may_auto_label, read_audit, state_uri
from trueground.errors import InputError
from trueground.manifests import object_key, read_manifest
from trueground.project import load_project
from trueground.review import audits
from trueground.review.verification import certificate
from trueground.run import Run
from trueground.storage import Storage
from trueground.tasks.base import Label

OBJECTS = 600
PROJECT = """
name: birds
task:
  type: image-classification
  labels: [wren, robin]
  title: "Which bird?"
  description: Say which.
  instructions: {short: Look., full: Look.}
label_attribute: bird
data: {prefix: birds}
output: out
people: {team: annotators}
"""


def night(folder: Path, name: str, project: str = PROJECT) -> Run:
    (folder / "birds.yaml").write_text(project)
    return Run(load_project(folder / "birds.yaml", data_root=str(folder)), name, Storage(folder))


def published(run: Run, *, human: bool = False, value: str = "wren") -> str:
    """A label set in Ground Truth's form."""
    lines = []
    for number in range(OBJECTS):
        label = Label(f"file:///birds/{number:03}.png", value, 0.9 + 0.09 * (number % 2), human=human)
        written = run.task_type.write_label(
            label, "bird", run.categories, job_name="labeling-job/x", created=datetime(2026, 1, 1)
        )
        lines.append({"source-ref": label.object_id, **written})
    run.write_lines(lines, "published", "all.manifest")
    return run.uri("published", "all.manifest")


def asked(run: Run) -> list[str]:
    folder = state_uri(run.project).removesuffix("state.json")
    return [object_key(line) for line in read_manifest(run.storage, f"{folder}{run.name}/input.manifest")]


def audited(folder: Path, name: str, rate: float, count: int = 150, value: str = "wren") -> dict:
    run = night(folder, name)
    audits.draw(run, published(run, value=value), count)
    wrong = np.random.default_rng(0).random(OBJECTS) < rate
    return audits.record(run, {key: bool(wrong[int(key[-7:-4])]) for key in asked(run)})


def test_the_same_night_draws_the_same_and_nobody_is_asked_twice(tmp_path: Path) -> None:
    run = night(tmp_path, "one")
    uri = published(run)
    count = audits.draw(run, uri, 50)
    first = asked(run)
    assert 0 < count == len(first) == len(set(first)) <= 50
    state = audits.record(run, dict.fromkeys(first, False))
    assert audits.draw(run, uri, 50) == count
    assert asked(run) == first
    assert audits.record(run, dict.fromkeys(first, True)) == state, "what was recorded stays"
    later = night(tmp_path, "two")
    audits.draw(later, uri, 500)
    assert not set(asked(later)) & set(first)


def test_a_set_that_was_judged_whole_leaves_nothing_to_ask(tmp_path: Path) -> None:
    nights = 0
    while count := audits.draw(run := night(tmp_path, f"night-{nights}"), published(run), 2000):
        assert count == len(asked(run))
        state = audits.record(run, dict.fromkeys(asked(run), False))
        nights += 1
    assert nights > 1 and state["reviews"] == OBJECTS
    assert audits.collect(run, None) is not None, "the drift goes on being tested"


def test_each_class_has_limits_of_its_own_that_hold_and_narrow(tmp_path: Path) -> None:
    first = audited(tmp_path, "one", rate=0.25, count=60)["classes"]["wren"]
    run = night(tmp_path, "two")
    audits.draw(run, published(run), 400)
    wrong = np.random.default_rng(0).random(OBJECTS) < 0.25
    found = audits.record(run, {key: bool(wrong[int(key[-7:-4])]) for key in asked(run)})["classes"]["wren"]
    assert first["lower"] <= found["lower"] <= wrong.mean() <= found["upper"] < first["upper"]
    assert found["lower"] <= found["error_rate"] <= found["upper"]
    assert found["drawn"] > first["drawn"] and found["wrong"] > first["wrong"]


def test_nights_that_an_earlier_version_kept_go_on_counting(tmp_path: Path) -> None:
    run = night(tmp_path, "old")
    drawn = [
        {"object": f"{n}.png", "label": "wren", "doubt": 0.1, "chance": 0.01, "model": "x", "prefix": "birds"}
        for n in range(100)
    ]
    facts = {
        "night": "old", "time": "2026-01-01T00:00:00+00:00", "objects": 100, "mean_doubt": 0.1, "range": [0.0, 1.0],
        "asked": 100, "drawn": drawn,
    }  # fmt: skip
    state = audits.keep_night(run, facts, {row["object"]: n % 2 == 0 for n, row in enumerate(drawn)})
    assert state["promise"] == "broken" and state["lower"] < 0.5 < state["upper"]
    assert state["classes"] == {} and "No class was drawn yet." in run.storage.read_text(state["report"])
    found = audited(tmp_path, "new", rate=0.25)
    assert found["reviews"] > state["reviews"] == 100 and found["classes"]["wren"]["drawn"] > 0


def test_labels_of_people_leave_nothing_to_audit(tmp_path: Path) -> None:
    run = night(tmp_path, "one")
    assert audits.draw(run, published(run, human=True), 50) == 0


def test_a_broken_promise_stops_machine_labels_until_it_holds_again(tmp_path: Path) -> None:
    assert may_auto_label(night(tmp_path, "before"))
    state = audited(tmp_path, "bad", rate=0.25)
    assert (state["promise"], state["since"]) == ("broken", "bad")
    assert state["lower"] > 0.05
    assert state["classes"]["wren"]["wrong"] > 0
    assert may_auto_label(night(tmp_path, "before")), "a run that began keeps to what it decided"
    label = night(tmp_path, "after")
    label.write_lines([{"source-ref": f"file:///birds/{i}.png"} for i in range(900)], "input.manifest")
    assert rounds.choose(label, 1) == 900, "people get everything"


def test_labels_made_anew_let_the_machine_label_again(tmp_path: Path) -> None:
    assert audited(tmp_path, "bad", rate=0.25)["promise"] == "broken"
    assert audited(tmp_path, "better", rate=0.0, count=20, value="robin")["promise"] == "broken", "too little is known"
    state = audited(tmp_path, "good", rate=0.0, count=400, value="robin")
    assert (state["promise"], state["since"]) == ("holds", "good")
    assert [row["promise"] for row in state["nights"]] == ["broken", "broken", "holds"]
    assert may_auto_label(night(tmp_path, "after"))


def test_a_kept_promise_is_proved(tmp_path: Path) -> None:
    state = audited(tmp_path, "good", rate=0.0, count=400)
    assert state["promise"] == "holds"
    assert state["upper"] <= 0.05
    assert read_audit(night(tmp_path, "x").project, Storage(tmp_path)) == state


def test_the_answers_of_the_verification_job_are_the_judgements(tmp_path: Path) -> None:
    run = night(tmp_path, "one")
    audits.draw(run, published(run), 30)
    output = run.uri("jobs", "audit")
    for position in range(len(asked(run))):
        content = {"crowd-classifier": {"label": "wrong" if position < 3 else "right"}}
        answers = {"answers": [{"workerId": "v", "answerContent": content, "timeSpentInSeconds": 1.0}]}
        file = f"{output}/annotations/worker-response/iteration-1/{position}/2026-01-01_00:00:00.json"
        run.storage.write_text(file, json.dumps(answers))
    state = audits.collect(run, output)
    assert state["reviews"] == len(asked(run))
    assert state["classes"]["wren"]["wrong"] >= 3


@pytest.mark.parametrize("content", ["{", "[]", '{"promise": "perhaps"}'])
def test_a_state_that_is_none_is_refused_by_name(tmp_path: Path, content: str) -> None:
    run = night(tmp_path, "one")
    run.storage.write_text(state_uri(run.project), content)
    with pytest.raises(InputError, match=r"audits/state\.json"):
        may_auto_label(run)


def test_the_page_and_the_next_certificate_show_the_interval(tmp_path: Path) -> None:
    state = audited(tmp_path, "bad", rate=0.25)
    page = Storage(tmp_path).read_text(state["report"])
    assert "The promise is broken since bad." in page
    assert f"{state['upper'] * 100:.1f}\u00a0%" in page
    assert list(state["prefixes"]) == ["file:///birds"] and list(state["models"]) == ["x"]
    run = night(tmp_path, "label")
    run.write_lines([], "input.manifest")
    audit = certificate(run).audit
    assert audit is not None and (audit["upper"], audit["promise"]) == (state["upper"], "broken")
