"""Verification, adjustment and adjudication, on a run's files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trueground.answers import save_answers
from trueground.autolabel import rounds
from trueground.crowd_elements import ELEMENTS, ONLY_ON_AWS
from trueground.errors import InputError
from trueground.jobs import prepare_job
from trueground.project import load_project
from trueground.review import adjudication, verification
from trueground.run import Run
from trueground.storage import Storage
from trueground.tasks.base import Answer, Label

OBJECTS = 60
PROJECT = """
name: birds
task:
  type: image-classification
  labels: [wren, robin, finch]
  title: "Which bird?"
  description: Say which.
  instructions: {short: Look., full: Look.}
label_attribute: bird
data: {prefix: birds}
output: out
people: {team: annotators}
verification: {sample: 20, least_sure: 5, adjudicate: 2}
"""


def key(number: int) -> str:
    return f"s3://birds/{number:02}.png"


def answer(number: int, worker: str, value: str, element: str = "crowd-image-classifier") -> Answer:
    return Answer(key(number), worker, {element: {"label": value}})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """One finished round: people labeled 0 to 19 as wren, the machine the rest."""
    (tmp_path / "birds.yaml").write_text(PROJECT)
    run = Run(load_project(tmp_path / "birds.yaml", data_root=str(tmp_path)), "night", Storage(tmp_path))
    run.write_lines([{"source-ref": key(number)} for number in range(OBJECTS)], "input.manifest")
    people = [answer(number, worker, "wren") for number in range(20) for worker in ("a", "b", "c")]
    save_answers(run, people, "rounds", "1", "answers.jsonl")
    run.write_labels([Label(key(n), "wren", 0.9 + n / 1000) for n in range(20)], "rounds", "1", "labels.jsonl")
    machine = [Label(key(n), "robin", 0.95, human=False) for n in range(20, OBJECTS)]
    run.write_labels(machine, "rounds", "1", "machine.jsonl")
    rounds.finish_round(run, 1)
    return run


def test_the_template_of_a_job_is_checked_before_people_are_asked(run: Run, tmp_path: Path) -> None:
    def prepare(text: str, **more: Any) -> list[str]:
        (tmp_path / "t" / "image-classification").mkdir(parents=True, exist_ok=True)
        (tmp_path / "t" / "image-classification" / "template.liquid.html").write_text(text)
        warned: list[str] = []
        given = {"manifest": "file:///m", "team_arn": "t", "role_arn": "r", "region": "us-east-1", "tags": {}}
        prepare_job(run, "label", "round-1", templates=tmp_path / "t", warn=warned.append, **given, **more)
        return warned

    classifier = "<crowd-image-classifier categories='%%CATEGORIES%%'></crowd-image-classifier>"
    assert prepare(f"<crowd-form>{classifier}</crowd-form>") == []
    (warning,) = prepare(f"<crowd-form>{classifier}\n<script src='https://x.org/d3.js'></script></crowd-form>")
    assert "template.liquid.html: line 2: the script https://x.org/d3.js" in warning
    for body, problem in (
        ("<crowd-image-clasifier></crowd-image-clasifier>", "did you mean <crowd-image-classifier>?"),
        (classifier.replace("%%CATEGORIES%%", '["wren", "Robin", "finch"]'), "offers 'Robin'"),
        ("<crowd-input name='x'></crowd-input>", "labels of this task type come from"),
        (f"{classifier}<crowd-polygon></crowd-polygon>", "<crowd-polygon> is an element of AWS"),
    ):
        with pytest.raises(InputError, match=re.escape(problem)) as caught:
            prepare(f"<crowd-form>{body}</crowd-form>")
        assert "template.liquid.html" in str(caught.value)
    # At AWS there are more elements.
    text = f"<crowd-form>{classifier}<crowd-polygon></crowd-polygon></crowd-form>"
    assert prepare(text, elements=ELEMENTS | ONLY_ON_AWS) == []


def judged(run: Run) -> list[str]:
    return [line["source-ref"] for line in run.read_lines("verification", "input.manifest")]


def job_output(run: Run, name: str, manifest: list[str], given: dict[str, list[Answer]]) -> str:
    """The output tree of a job, as the service writes it."""
    import json

    output = run.uri("jobs", name)
    for position, object_key in enumerate(manifest):
        answers: list[dict[str, Any]] = [
            {"workerId": item.worker_id, "answerContent": item.content, "timeSpentInSeconds": 1.0}
            for item in given[object_key]
        ]
        file = f"{output}/annotations/worker-response/iteration-1/{position}/2026-01-01_00:00:00.json"
        run.storage.write_text(file, json.dumps({"answers": answers}))
    return output


def verify(run: Run, wrong: set[str]) -> dict[str, int]:
    """Have the verifying team reject these labels."""
    verification.choose(run)
    manifest = judged(run)
    given = {
        item: [Answer(item, "v", {"crowd-classifier": {"label": "wrong" if item in wrong else "right"}})]
        for item in manifest
    }
    return verification.collect(run, job_output(run, "verify", manifest, given))


def test_the_least_sure_and_a_sample_of_each_kind_are_judged_with_their_label(run: Run) -> None:
    assert verification.choose(run) == 25
    choice = run.read_json("verification", "choice.json")
    assert choice["least_sure"] == [key(n) for n in range(5)]
    assert {name: len(keys) for name, keys in choice["sample"].items()} == {"human": 8, "machine": 12}
    assert choice["population"] == {"human": 15, "machine": 40}
    line = next(run.read_lines("verification", "input.manifest"))
    assert line["bird-metadata"]["class-name"] == "wren"
    again = judged(run)
    verification.choose(run)
    assert judged(run) == again, "a repeated step must ask about the same labels"


def test_a_later_look_with_a_larger_sample_asks_only_about_what_nobody_judged(run: Run) -> None:
    verify(run, set())
    first = run.read_json("verification", "choice.json")
    verification_settings = run.project.verification.model_copy(update={"sample": 40})
    later = replace(run, project=run.project.model_copy(update={"verification": verification_settings}))

    assert verification.choose(later, "look-1") == 20
    choice = run.read_json("verification", "choice.json")
    assert all(set(keys) < set(choice["sample"][name]) for name, keys in first["sample"].items())
    asked = [line["source-ref"] for line in run.read_lines("verification", "look-1.manifest")]
    assert not set(asked) & set(judged(run)), "somebody is asked again"
    given = {item: [Answer(item, "v", {"crowd-classifier": {"label": "right"}})] for item in asked}
    counts = verification.collect(later, job_output(run, "verify-1", asked, given), "look-1")
    assert counts == {"judged": 45, "rejected": 0}
    # One more look that asks for less than was done changes nothing.
    assert verification.choose(run, "look-2") == 0
    assert run.read_json("verification", "choice.json") == choice


@pytest.mark.parametrize(
    ("total", "populations", "sizes"),
    [
        (10, {"human": 100, "machine": 0}, {"human": 10, "machine": 0}),
        (10, {"human": 4, "machine": 3}, {"human": 4, "machine": 3}),
        (30, {"human": 100, "machine": 400}, {"human": 10, "machine": 20}),
        (0, {"human": 5, "machine": 5}, {"human": 0, "machine": 0}),
    ],
)
def test_samples_are_shared_by_the_root_of_the_size(
    total: int, populations: dict[str, int], sizes: dict[str, int]
) -> None:
    assert verification.share_sample(total, populations) == sizes


def test_a_rejected_label_that_others_change_is_adjusted_and_counts_against_the_certificate(run: Run) -> None:
    verification.choose(run)
    sampled = run.read_json("verification", "choice.json")["sample"]["machine"][0]
    clean = verification.certificate(run)
    assert verify(run, {sampled}) == {"judged": 25, "rejected": 1}
    given = {sampled: [Answer(sampled, w, {"crowd-image-classifier": {"label": "finch"}}) for w in "abc"]}
    assert verification.adjust(run, job_output(run, "adjust", [sampled], given)) == {"looked_at": 1, "changed": 1}
    label = verification.final_labels(run)[sampled]
    assert (label.value, label.human, label.extra["adjustment-status"]) == ("finch", True, "adjusted")
    certificate = verification.certificate(run)
    machine = next(stratum for stratum in certificate.strata if stratum.name == "machine")
    assert machine.sample_wrong == 1
    assert machine.bound > 0
    assert certificate.strata != clean.strata


def test_a_rejected_label_that_others_confirm_is_no_error(run: Run) -> None:
    verification.choose(run)
    sampled = run.read_json("verification", "choice.json")["sample"]["machine"][0]
    verify(run, {sampled})
    given = {sampled: [Answer(sampled, w, {"crowd-image-classifier": {"label": "robin"}}) for w in "abc"]}
    verification.adjust(run, job_output(run, "adjust", [sampled], given))
    assert verification.final_labels(run)[sampled].extra["adjustment-status"] == "unadjusted"
    assert all(stratum.sample_wrong == 0 for stratum in verification.certificate(run).strata)


def test_what_stays_in_doubt_is_decided_by_one_person(run: Run) -> None:
    verification.choose(run)
    rejected = run.read_json("verification", "choice.json")["sample"]["machine"][:3]
    verify(run, set(rejected))
    split = {
        item: [
            Answer(item, worker, {"crowd-image-classifier": {"label": value}})
            for worker, value in (("a", "wren"), ("b", "robin"), ("c", "finch"))
        ]
        for item in rejected
    }
    verification.adjust(run, job_output(run, "adjust", sorted(rejected), split))
    questions = adjudication.choose(run)
    assert len(questions) == 2, "no more than the project says"
    assert "finch" in questions[0]["body"]
    assert adjudication.decide(run, ["finch", "wren"]) == 2
    disputed = run.read_json("adjudication", "disputed.json")
    final = verification.final_labels(run)
    assert [final[item].value for item in disputed] == ["finch", "wren"]
    assert all(final[item].confidence == 1.0 for item in disputed)
    with pytest.raises(ValueError, match="eagle"):
        adjudication.decide(run, ["eagle", "wren"])
    with pytest.raises(ValueError, match="zip"):
        adjudication.decide(run, ["wren"])
    adjudication.choose(run)
    assert verification.final_labels(run)[disputed[0]].confidence < 1, "asked anew, earlier decisions are forgotten"


def test_without_doubt_nobody_is_asked(run: Run) -> None:
    verify(run, set())
    assert adjudication.choose(run) == []
