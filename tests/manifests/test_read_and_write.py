from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trueground.errors import InputError
from trueground.manifests import object_key, read_manifest, write_manifest
from trueground.storage import Storage, file_uri

# All of JSON, also half a surrogate pair, which has no UTF-8.
ANY_TEXT = st.text() | st.just("\ud800 half")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=5,
)
LINES = st.builds(
    lambda source, others: {**others, **source},
    st.fixed_dictionaries({"source": ANY_TEXT}) | st.fixed_dictionaries({"source-ref": ANY_TEXT}),
    st.dictionaries(ANY_TEXT, VALUES, max_size=3),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lines=st.lists(LINES, max_size=5))
def test_a_written_manifest_is_read_back_as_it_was(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    uri = file_uri(tmp_path / "m.manifest")
    assert write_manifest(Storage(), uri, iter(lines)) == len(lines)
    assert list(read_manifest(Storage(), uri)) == lines
    content = (tmp_path / "m.manifest").read_bytes()
    assert content.count(b"\n") == len(lines)
    content.decode("utf-8")


def test_text_is_written_to_be_read_by_people(tmp_path: Path) -> None:
    write_manifest(Storage(), file_uri(tmp_path / "m"), [{"source": "grüße"}])
    assert (tmp_path / "m").read_text("utf-8") == '{"source": "grüße"}\n'


def test_a_manifest_whose_lines_fail_half_way_is_not_made(tmp_path: Path) -> None:
    def lines() -> Any:
        yield {"source": "a"}
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write_manifest(Storage(), file_uri(tmp_path / "m"), lines())
    assert list(tmp_path.iterdir()) == []


def test_other_line_ends_and_blank_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b'{"source": "a"}\r\n\r\n  \n{"source": "b"}')
    assert [line["source"] for line in read_manifest(Storage(), file_uri(tmp_path / "m"))] == ["a", "b"]


@pytest.mark.parametrize("line", [b"{", b"[]", b'"source"', b'{"text": "a"}', b"\xff", b"[" * 100_000])
def test_a_broken_line_is_named(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b'{"source": "a"}\n' + line + b"\n")
    read = read_manifest(Storage(), file_uri(tmp_path / "m"))
    assert next(read) == {"source": "a"}
    with pytest.raises(InputError) as caught:
        next(read)
    assert (caught.value.file, caught.value.line) == (file_uri(tmp_path / "m"), 2)


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such manifest"):
        next(read_manifest(Storage(), file_uri(tmp_path / "m")))


def test_the_key_is_the_reference_or_a_digest_of_the_text() -> None:
    assert object_key({"source-ref": "s3://b/k", "id": 1}) == "s3://b/k"
    key = object_key({"source": "hello"})
    assert key == "text:2cf24dba5fb0a30e26e83b2a" and key == object_key({"source": "hello", "label": 3})
    assert key != object_key({"source": "hello "})


@given(first=ANY_TEXT, second=ANY_TEXT)
def test_different_texts_have_different_keys(first: str, second: str) -> None:
    assert (object_key({"source": first}) == object_key({"source": second})) == (first == second)
    assert object_key(json.loads(json.dumps({"source": first}))) == object_key({"source": first})
