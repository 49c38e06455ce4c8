"""One rule for what is a data object, and one reader of JSON Lines: nobody accepts what another rejects."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueground import strict_json
from trueground.answers import _history, append_history
from trueground.autolabel.features import text_features
from trueground.errors import InputError
from trueground.manifests import build_manifest, check_manifest, read_manifest
from trueground.models.data import read_predictions
from trueground.models.trainers import TrainingTask
from trueground.project import load_project
from trueground.review.predictions import parse_prediction, read_lines
from trueground.run import Run
from trueground.service.engine import manifest as service
from trueground.storage import Storage, file_uri
from trueground.tasks import task_type
from trueground.tasks.base import Answer

Put = Callable[[str, bytes | str], str]
NO_LINE_ENDS = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei"
"""At each of these characters ``str.splitlines`` would split."""
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


@pytest.mark.parametrize(
    ("content", "objects"),
    [
        (b'{"source": "a"}\n', 1),
        (b'{"source": "good day"}\n{"source": "bad day"}\n\n', 2),
        (b'\n \t\r\n{"source": "a"}\r\n\r\n{"source": "b"}', 2),
        (b'{"source": " a "}\n', 1),
        (json.dumps({"source": NO_LINE_ENDS}, ensure_ascii=False).encode(), 1),
        (b'{"source": "\\ud83d\\ude00"}\n', 1),
        (b'{"source": "   "}\n', 0),
        (b'{"source": "\\u2003\\n"}\n', 0),
        (b'{"source": ""}\n', 0),
        (b'{"source": 7}\n', 0),
        (b'{"source": "a", "source-ref": "s3://b/c"}\n', 0),
        (b'{"source": "cut \\ud83d"}\n', 0),
        (b'{"source": "a", "\\udc00": 1}\n', 0),
        (b'{"source": "a", "x": [{"y": "\\udc00\\ud800"}]}\n', 0),
        (b'{"source": "a", "x": NaN}\n', 0),
        (b'{"source": "a", "$x": 1}\n', 0),
        (b'\xef\xbb\xbf{"source": "a"}\n', 0),
        (b'{"source": "a", "x": [' + b"1," * 10_001 + b"1]}\n", 0),
        (b'{"source": "a"} {"source": "b"}\n', 0),
        (b"\n\n", 0),
        (b"", 0),
    ],
)
def test_the_check_the_service_and_pushed_objects_agree(content: bytes, objects: int, put: Put, tmp_path: Path) -> None:
    storage, uri = Storage(tmp_path), put("m.manifest", content)
    report = check_manifest(storage, uri, source_key="source", media="text")
    assert (report.objects if report.ok else 0) == objects, report.problems

    def taken(read: Callable[[], Any]) -> int:
        try:
            return len(list(read()))
        except InputError as error:
            assert error.problem
            return 0

    assert taken(lambda: service.read_lines(storage, uri)) == objects
    pushed = [line for line in content.split(b"\n") if line.strip()] or [b""]
    assert taken(lambda: [service.parse_line(storage, line) for line in pushed]) == objects


@given(st.recursive(st.text(st.characters()) | st.integers(), lambda inner: st.lists(inner), max_leaves=4))
def test_only_half_characters_are_not_loaded(value: Any) -> None:
    text = json.dumps({"x": value})
    halves = any(0xD800 <= ord(character) < 0xE000 for character in json.dumps(value, ensure_ascii=False))
    for given_as in (text, text.encode()):
        if halves:
            with pytest.raises(ValueError, match="is half of a character"):
                strict_json.loads(given_as)
        else:
            assert strict_json.loads(given_as) == {"x": value}


def test_no_reader_of_json_lines_or_text_splits_a_line_but_at_its_end(put: Put, tmp_path: Path) -> None:
    put("mail.yaml", PROJECT)
    run = Run(load_project(tmp_path / "mail.yaml", data_root=str(tmp_path)), "night", Storage(tmp_path))
    line = {"id": NO_LINE_ENDS, "source": NO_LINE_ENDS, "label": "invoice"}
    rows = json.dumps(line, ensure_ascii=False).encode() + b"\n\n" + json.dumps({**line, "id": "2"}).encode()
    uri = put("lines.jsonl", rows)
    task = TrainingTask("", "", "", (), task_type("text-classification"), run.storage)
    both = [line, {**line, "id": "2"}]
    assert task.read(uri) == both
    assert list(read_manifest(run.storage, uri)) == both
    assert list(read_predictions(run.storage, uri, asked=[NO_LINE_ENDS, "2"], classes=["invoice"])) == [
        NO_LINE_ENDS,
        "2",
    ]
    assert [json.loads(raw) for _, raw in read_lines(run.storage, uri)] == both
    run.storage.write_bytes(run.uri("x.jsonl"), rows)
    assert list(run.read_lines("x.jsonl")) == both
    answer = Answer(NO_LINE_ENDS, "w", {"crowd-classifier": {"label": NO_LINE_ENDS}})
    append_history(Run(run.project, "before", run.storage), [answer])
    assert [found.content for found in _history(run)] == [answer.content]
    put("texts/a.txt", NO_LINE_ENDS + "\n" + "second")
    build_manifest(run.storage, file_uri(tmp_path / "texts"), run.uri("m"), media="text")
    assert [found["source"] for found in read_manifest(run.storage, run.uri("m"))] == [NO_LINE_ENDS, "second"]


def test_half_a_character_in_what_was_published_once_stops_no_model() -> None:
    assert np.isfinite(text_features(["cut \ud83d here", "whole"])).all()
    assert (text_features(["cut \ud83d"]) == text_features(["cut \N{REPLACEMENT CHARACTER}"])).all()


@pytest.mark.parametrize("confidence", [1.01, -0.1, "0.5", True, 50, [0.5]])
@pytest.mark.parametrize("field", ["confidence", "probabilities"])
def test_a_custom_prediction_with_an_impossible_confidence_is_not_taken(confidence: Any, field: str) -> None:
    prediction = {"label": "cat", field: {"cat": confidence} if field == "probabilities" else confidence}
    line = {"id": "1", "source": "x", "service": "custom", "prediction": prediction}
    with pytest.raises(InputError, match="is not a number between 0 and 1") as caught:
        parse_prediction(json.dumps(line).encode())
    assert str(caught.value.field).startswith(f"prediction.{field}")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_prediction_with_what_is_no_number_is_not_taken(number: str) -> None:
    raw = f'{{"id": "1", "source": "x", "service": "custom", "prediction": {{"confidence": {number}}}}}'
    with pytest.raises(InputError, match=f"{number} is not JSON"):
        parse_prediction(raw.encode())


@pytest.mark.parametrize("confidence", [0, 1, 0.5, None])
def test_a_custom_prediction_may_have_any_confidence_there_is(confidence: Any) -> None:
    line = {"id": "1", "source": "x", "service": "custom", "prediction": {"label": "a", "confidence": confidence}}
    assert parse_prediction(json.dumps(line).encode()) == line
