"""Hypothesis strategies for requests: as botocore's shapes want them, and broken in every way that JSON allows."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from hypothesis import strategies as st

Pool = Callable[[str], list[str]]
"""Plausible values for a member of this name: what is really there, and what is nearly there."""

_JAVA = {r"\p{L}": "a-zA-Zäß", r"\p{N}": "0-9", r"\p{Z}": " ", r"\p{M}": "", r"\p{S}": "+", r"\p{P}": "!,."}
_DEPTH = 5

NUMBERS = st.sampled_from(
    [0, -1, 1, 2**31, -(2**31) - 1, 2**63, -(2**63) - 1, 10**30, 1e308, -1e308, 0.1, 1e-320, float("inf"),
     float("-inf"), float("nan"), 253402300800, -62135596801]
)  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "\0",
            "a\0b",
            "\ud800",
            "a\udfffb",
            "x" * 3000,
            "é" * 300,
            "\u202e",
            "\r\nX-Evil: 1",
            "../../etc/passwd",
            "..%2f..%2fetc",
            "file:///etc/passwd",
            "file://",
            "file:///%00",
            "s3://",
            "s3:///",
            "s3://*/[",
            "http://[::1",
            "arn:",
            "arn:aws:sagemaker:::/",
            "'; DROP TABLE answers; --",
            "%s%n{}{{7*7}}{% raw %}",
            "-",
            "NaN",
            "null",
            "W10=",
            "eyJhIjoxfQ==",
            "[" * 500,
            "\x1b[31m",
            "\ufeff",
            "１２",
        ]
    ),
    st.text(max_size=12),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)


def _nested(depth: int) -> Any:
    value: Any = []
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


JUNK = st.one_of(
    SCALARS,
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner), max_leaves=6),
    st.sampled_from([10, 100, 300]).map(_nested),
    st.sampled_from([[1] * 2000, ["x"] * 200, {str(n): n for n in range(200)}]),
)  # fmt: skip
"""Anything that JSON can say."""


def valued(shape: Any, pool: Pool, name: str = "", depth: int = 0) -> st.SearchStrategy[Any]:
    """A value that the shape allows, or nearly: names, ARNs and URIs of the pool, so that the engine is reached."""
    kind = shape.type_name
    if kind == "structure":
        return _structure(shape, pool, depth)
    if kind == "list":
        most = min(int(shape.metadata.get("max", 3)), max(int(shape.metadata.get("min", 0)), 3))
        item = valued(shape.member, pool, name, depth + 1)
        return st.lists(item, min_size=int(shape.metadata.get("min", 0)), max_size=most)
    if kind == "map":
        return st.dictionaries(st.sampled_from(["a", "b", "c"]), valued(shape.value, pool, name, depth + 1), max_size=2)
    if kind in ("integer", "long"):
        low, high = int(shape.metadata.get("min", 0)), int(shape.metadata.get("max", 10**6))
        return st.one_of(st.sampled_from([low, high]), st.integers(low, high))
    if kind in ("float", "double"):
        return st.floats(0, 1)
    if kind == "boolean":
        return st.booleans()
    if kind == "timestamp":
        return st.sampled_from([0, 1.5, 1_700_000_000, 4_000_000_000, -1])
    if kind == "string":
        return _string(shape, tuple(pool(name)))
    return JUNK


@cache
def _string(shape: Any, plausible: tuple[str, ...]) -> st.SearchStrategy[str]:
    if shape.enum:
        return st.sampled_from(shape.enum)
    high = min(int(shape.metadata.get("max", 60)), 2000)
    pattern = shape.metadata.get("pattern")
    drawn: st.SearchStrategy[str] = st.text(
        st.characters(codec="utf-8", exclude_characters="\0"), max_size=min(high, 20)
    )
    if pattern:
        for java, python in _JAVA.items():
            pattern = pattern.replace(java, python)
        try:
            drawn = st.from_regex(re.compile(f"(?:{pattern})", re.ASCII), fullmatch=True).map(lambda text: text[:high])
        except re.error:
            drawn = st.just("a")
    return st.one_of(st.sampled_from(plausible), st.sampled_from(plausible), drawn) if plausible else drawn


def _structure(shape: Any, pool: Pool, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    members = {
        name: valued(member, pool, name, depth + 1)
        for name, member in shape.members.items()
        if depth < _DEPTH or name in shape.required_members
    }
    required = {name: value for name, value in members.items() if name in shape.required_members}
    optional = {name: value for name, value in members.items() if name not in shape.required_members}
    return st.fixed_dictionaries(required, optional=optional)


@st.composite
def spoiled(draw: Any, base: st.SearchStrategy[Any], most: int = 3) -> Any:
    """A request in which up to ``most`` places were replaced by junk, taken out, or given company."""
    value = copy.deepcopy(draw(base))
    for _ in range(draw(st.integers(0, most))):
        places = list(_places(value))
        if not places:
            return copy.deepcopy(draw(JUNK))
        place, key = draw(st.sampled_from(places))
        act = draw(st.sampled_from(["junk", "junk", "take out", "add", "whole"]))
        if act == "junk":
            place[key] = copy.deepcopy(draw(JUNK))
        elif act == "take out":
            del place[key]
        elif act == "add" and isinstance(place, dict):
            place[draw(TEXTS)] = copy.deepcopy(draw(JUNK))
        elif act == "whole" and draw(st.integers(0, 9)) == 0:
            return copy.deepcopy(draw(JUNK))
    return value


def _places(value: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """Where something stands, not too deep and not too far along a list."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items)[:20]:
        yield value, key
        if depth < _DEPTH:
            yield from _places(inner, depth + 1)


WRONG_BYTES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b"true",
            b"\xff\xfe{\x00}\x00",
            b'{"a": \xed\xa0\x80}',
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b'{"LabelingJobName": "a", "LabelingJobName": 7}',
            b'{"MaxResults": 1e999}',
            b'{"MaxResults": ' + b"9" * 5000 + b"}",
            b'{"MaxResults": -0}',
            b'{"MaxResults": 01}',
            b"{}garbage",
            b'\xef\xbb\xbf{"MaxResults": 1}',
            b'{"NameContains": "\\ud800"}',
            b'{"NameContains": "\x00"}',
            b"{} {}",
            "{}".encode("utf-16"),
            "{}".encode("utf-32"),
            b'{"a": "' + b"x" * 1_000_000 + b'"}',
        ]
    ),
)
"""Bodies that are no JSON, or JSON that hardly anybody sends."""


def as_json(value: Any) -> bytes:
    """What a careless client makes of a value: NaN and lone surrogates included."""
    return json.dumps(value).encode()
