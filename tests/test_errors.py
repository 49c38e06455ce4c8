from __future__ import annotations

import copy
import pickle

import pytest

from trueground.errors import InputError, OutsideDataRootError, TruegroundError


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "too long."),
        ({"file": "a.yaml"}, "a.yaml: too long."),
        ({"file": "a.yaml", "line": 3}, "a.yaml:3: too long."),
        ({"line": 3, "field": "x.y"}, "line 3: x.y: too long."),
        ({"file": "a.yaml", "line": 3, "field": "x", "hint": "Cut it."}, "a.yaml:3: x: too long. Cut it."),
    ],
)
def test_an_error_says_where_what_and_what_to_do(given: dict[str, object], text: str) -> None:
    assert str(InputError("too long", **given)) == text  # type: ignore[arg-type]


def test_a_full_stop_is_not_doubled() -> None:
    assert str(InputError("too long.", hint="Cut it.")) == "too long. Cut it."


@pytest.mark.parametrize("kind", [InputError, OutsideDataRootError])
def test_an_error_survives_the_way_between_processes(kind: type[InputError]) -> None:
    error = kind("wrong", file="f", line=1, field="a", hint="h")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is kind and str(again) == str(error) and again.hint == "h"


def test_what_leaves_the_data_root_is_bad_input_and_all_of_ours_have_one_base() -> None:
    assert issubclass(OutsideDataRootError, InputError) and issubclass(InputError, TruegroundError)
