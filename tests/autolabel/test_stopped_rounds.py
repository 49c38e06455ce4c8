"""A round whose job was stopped: what it could not finish is asked for in the next round, or when the run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.autolabel.test_earlier_model import started
from tests.models.conftest import night
from trueground import storage as paths
from trueground.autolabel import rounds
from trueground.manifests import object_key
from trueground.run import Run

__all__ = ["night"]


def job(run: Run, number: int, given: Callable[[int], int], wanted: int = 3) -> str:
    """The output of a stopped job of a round: ``given(line)`` of the ``wanted`` answers to each line."""
    output = run.uri("jobs", str(number))
    attribute, lines = run.project.label_attribute, list(run.read_lines("rounds", str(number), "input.manifest"))
    label = run.categories[0]
    for position, line in enumerate(lines):
        count = given(position)
        before = line.get(f"{attribute}-metadata", {}).get("answers", 0)
        answers = [
            {"workerId": f"private.us-east-1.w{before + n}", "answerContent": {"category": {"label": label}}}
            for n in range(count)
        ]
        response = paths.join(output, f"annotations/worker-response/iteration-1/{position}/2026-01-01_00:00:00.json")
        if answers:
            run.storage.write_text(response, json.dumps({"answers": answers}))
            metadata: dict[str, Any] = {"class-name": label}
            if before + count < wanted:
                metadata |= {"answers": before + count, "answers-wanted": wanted, "worker-responses": [response]}
            line |= {attribute: 0, f"{attribute}-metadata": metadata}
    run.write_lines(lines, "jobs", str(number), "manifests/output/output.manifest")
    return output


def test_the_next_round_asks_for_what_is_missing(night: Callable[..., Run]) -> None:
    run = started(night("one"), range(15))
    assert rounds.choose(run, 1) == 30
    # Ten objects have all three answers, ten have one, ten have none.
    rounds.collect(run, 1, job(run, 1, lambda position: (3, 1, 0)[position % 3]))
    rounds.finish_round(run, 1)
    assert len(rounds.part_answered(run, 1)) == 10
    asked = rounds.choose(run, 2)
    lines = list(run.read_lines("rounds", "2", "input.manifest"))
    key = f"{run.project.label_attribute}-metadata"
    rest = [line for line in lines if key in line]
    assert len(rest) == 10 and asked == len(lines)
    assert all((line[key]["answers"], line[key]["answers-wanted"]) == (1, 3) for line in rest)
    assert len({object_key(line) for line in lines}) == len(lines), "nothing is asked twice in one round"

    # The round is stopped again: one more answer to each of these, and all to the others.
    rounds.collect(run, 2, job(run, 2, lambda position: 1 if key in lines[position] else 3))
    rounds.finish_round(run, 2)
    again = rounds.part_answered(run, 2)
    assert len(again) == 10 and all(line[key]["answers"] == 2 for line in again.values())
    counts: dict[str, int] = {}
    for answer in rounds.round_answers(run, 2):
        counts[answer.object_id] = counts.get(answer.object_id, 0) + 1
    assert all(counts[key] == 2 for key in again), "the answers of both rounds count"


def test_a_run_that_has_all_its_labels_goes_on_for_the_missing_answers(night: Callable[..., Run]) -> None:
    run = started(night("one"), range(6))
    rounds.choose(run, 1)
    rounds.collect(run, 1, job(run, 1, lambda position: 3 if position else 2))
    assert rounds.finish_round(run, 1).done
    assert rounds.choose(run, 2) == 1
    rounds.collect(run, 2, job(run, 2, lambda position: 1))
    rounds.finish_round(run, 2)
    assert rounds.choose(run, 3) == 0


def test_a_job_of_aws_marks_nothing(night: Callable[..., Run]) -> None:
    run = started(night("one"), range(6))
    rounds.choose(run, 1)
    output = job(run, 1, lambda position: 3)
    run.storage.delete(paths.join(output, "manifests/output/output.manifest"))
    rounds.collect(run, 1, output)
    assert rounds.finish_round(run, 1).done and rounds.choose(run, 2) == 0
