from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trueground.errors import InputError
from trueground.storage import Storage, file_uri
from trueground.tasks import label_category_config, read_label_categories

SAMPLES = Path(__file__).parent / "samples/label-category-config.jsonl"


def read(folder: Path, content: str | bytes) -> list[str]:
    (folder / "labels.json").write_bytes(content.encode() if isinstance(content, str) else content)
    return read_label_categories(Storage(folder), file_uri(folder / "labels.json"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=256), min_size=1, unique=True))
def test_written_categories_are_read_back_in_order(labels: list[str], tmp_path: Path) -> None:
    config = label_category_config(labels)
    assert config["document-version"] == "2018-11-28"
    assert read(tmp_path, json.dumps(config)) == labels


@pytest.mark.parametrize("number", range(7))
def test_the_categories_of_aws_own_samples_are_read(number: int, tmp_path: Path) -> None:
    labels = read(tmp_path, SAMPLES.read_text().splitlines()[number])
    assert labels[:2] == ["Car", "Pedestrian"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "not JSON"),
        (b"\xff\xfe\xfa", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "labels: a list of labels is needed"),
        ({}, "labels: a list of labels is needed"),
        ({"labels": []}, "labels: a list of labels is needed"),
        ({"labels": {"label": "a"}}, "labels: a list of labels is needed"),
        ({"labels": ["a"]}, "labels[0].label: a text of 1 to 256 characters is needed"),
        ({"labels": [{"label": "a"}, {"label": ""}]}, "labels[1].label: a text of 1 to 256 characters"),
        ({"labels": [{"label": 1}]}, "labels[0].label: a text"),
        ({"labels": [{"label": "a" * 257}]}, "labels[0].label: a text of 1 to 256"),
        ({"labels": [{"label": "a"}, {"label": "b"}, {"label": "a"}]}, "labels[2].label: 'a' stands there twice"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(content: Any, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, content if isinstance(content, str | bytes) else json.dumps(content))
    assert problem in str(caught.value) and str(caught.value).startswith(file_uri(tmp_path / "labels.json"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.json: there is no such label category file"):
        read_label_categories(Storage(), file_uri(tmp_path / "nothing.json"))
