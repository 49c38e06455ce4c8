"""Choosing what people review, from a file of predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from trueground.cli import app
from trueground.errors import InputError
from trueground.review.choose import Chosen, choose_reviews
from trueground.review.conditions import parse_conditions
from trueground.storage import Storage, file_uri

UNSURE = {"Conditions": [{"ConditionType": "ConfidenceCheck", "ConditionParameters": {"ConfidenceLessThan": 0.8}}]}


def line(name: str, confidence: float | None) -> str:
    prediction = {"label": "cat"} if confidence is None else {"label": "cat", "confidence": confidence}
    return json.dumps({"id": name, "source": f"text {name}", "service": "custom", "prediction": prediction})


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(row) for row in file.read_text().splitlines()]


def test_each_prediction_goes_to_people_or_is_accepted_or_set_aside_with_its_reason(tmp_path: Path) -> None:
    source = tmp_path / "predictions.jsonl"
    bad = json.dumps({"id": "e", "source": "x", "service": "textract", "prediction": {"Blocks": []}})
    twice = line("a", 0.9)
    rows = [line("a", 0.5), line("b", 0.9), "", line("c", None), "{oh", bad, twice, json.dumps({"id": "f"})]
    source.write_text("\n".join(rows))
    conditions = parse_conditions(UNSURE, service="custom")
    chosen = choose_reviews(Storage(), file_uri(source), conditions, file_uri(tmp_path / "out"))
    assert chosen == Chosen(to_review=1, accepted=1, set_aside=5)
    assert read(tmp_path / "out/to-review.jsonl") == [
        {**json.loads(rows[0]), "reasons": ["Conditions[0] ConfidenceCheck"]}
    ]
    assert read(tmp_path / "out/accepted.jsonl") == [json.loads(rows[1])]
    aside = read(tmp_path / "out/set-aside.jsonl")
    assert [(row["line-number"], row["failure-reason"].split(": ")[1]) for row in aside] == [
        (4, "prediction.confidence"),
        (5, "not JSON"),
        (6, "service"),
        (7, "id"),
        (8, "service"),
    ]
    assert aside[1]["line"] == "{oh", "nothing is lost"
    assert all(row["failure-reason"].startswith(f"{file_uri(source)}:") for row in aside)


def test_the_same_file_gives_the_same_choice(tmp_path: Path) -> None:
    source = tmp_path / "predictions.jsonl"
    source.write_text("\n".join(line(f"{number}", 0.9) for number in range(500)))
    sample = {"Conditions": [{"ConditionType": "Sampling", "ConditionParameters": {"RandomSamplingPercentage": 20}}]}
    found = []
    for name in ("one", "two"):
        conditions = parse_conditions(sample, service="custom")
        choose_reviews(Storage(), file_uri(source), conditions, file_uri(tmp_path / name))
        found.append((tmp_path / name / "to-review.jsonl").read_bytes())
    assert found[0] == found[1]
    assert 50 < len(found[0].splitlines()) < 150


def test_without_a_file_nothing_is_written(tmp_path: Path) -> None:
    conditions = parse_conditions(UNSURE, service="custom")
    with pytest.raises(InputError, match="no such file of predictions"):
        choose_reviews(Storage(), file_uri(tmp_path / "none"), conditions, file_uri(tmp_path / "out"))
    assert not list(tmp_path.glob("out/*.jsonl"))


def test_the_command_says_how_many_go_where(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text("\n".join([line("a", 0.5), line("b", 0.9), line("c", None)]))
    (tmp_path / "c.json").write_text(json.dumps(UNSURE))
    command = ["review", "choose", f"{tmp_path}/p.jsonl", "--conditions", f"{tmp_path}/c.json", "--output"]
    found = CliRunner().invoke(app, [*command, f"{tmp_path}/out"])
    assert found.exit_code == 0
    assert found.output == "3 predictions: 1 to review, 1 accepted, 1 set aside (see set-aside.jsonl)\n"


@pytest.mark.parametrize(("content", "message"), [("{", "not JSON"), ('{"Conditions": [{}]}', "ConditionType")])
def test_the_command_names_the_file_of_wrong_conditions(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "p.jsonl").write_text(line("a", 0.5))
    (tmp_path / "c.json").write_text(content)
    command = ["review", "choose", f"{tmp_path}/p.jsonl", "--conditions", f"{tmp_path}/c.json", "--output"]
    found = CliRunner().invoke(app, [*command, f"{tmp_path}/out"])
    assert isinstance(found.exception, InputError)
    assert str(found.exception).startswith(f"{tmp_path}/c.json: ")
    assert message in str(found.exception)
