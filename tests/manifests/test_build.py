from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trueground.csv_rows import csv_rows
from trueground.errors import InputError, OutsideDataRootError
from trueground.manifests import build_manifest, check_manifest, object_key, read_manifest
from trueground.storage import Storage, file_uri

Put = Callable[[str, bytes | str], str]


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., list[str]]:
    """Build the manifest of the folder ``data``; gives the objects, as they stand in it."""

    def run(media: str = "image", prefix: str = "data", **options: object) -> list[str]:
        out, storage = file_uri(tmp_path / "out/m.manifest"), Storage(tmp_path)
        count = build_manifest(storage, file_uri(tmp_path / prefix), out, media=media, **options)  # type: ignore[arg-type]
        lines = list(read_manifest(storage, out))
        assert count == len(lines) and all(len(line) == 1 for line in lines)
        return [next(iter(line.values())) for line in lines]

    return run


def test_images_stand_in_the_order_of_their_bytes(build: Callable[..., list[str]], put: Put) -> None:
    names = ["a/10.png", "a/9.JPG", "b.jpeg", "B.png", "é.PNG"]
    uris = {name: put(f"data/{name}", b"x") for name in names}
    assert build() == [uris[name] for name in ("B.png", "a/10.png", "a/9.JPG", "b.jpeg", "é.PNG")]


def test_other_files_and_hidden_ones_are_passed_over(build: Callable[..., list[str]], put: Put) -> None:
    for name in ("a.heic", "b.txt", "png", ".c.png", ".cache/d.png", "e/.f/g.png", "__MACOSX/._h.png"):
        put(f"data/{name}", b"x")
    wanted = put("data/i/j.png", b"x")
    assert build() == [wanted]


def test_a_prefix_that_is_hidden_itself_is_no_obstacle(build: Callable[..., list[str]], put: Put) -> None:
    wanted = put(".home/data/a.png", b"x")
    assert build(prefix=".home/data") == build(prefix=".home/data/") == build(prefix=".home") == [wanted]


def test_what_has_a_label_is_left_out(build: Callable[..., list[str]], put: Put) -> None:
    uris = [put(f"data/{number}.png", b"x") for number in range(4)]
    assert build(skip={uris[1], uris[2]}) == [uris[0], uris[3]]
    assert build(skip=set(uris)) == []


@pytest.mark.parametrize("media", ["image", "text"])
def test_an_empty_prefix_is_refused_and_leaves_nothing(
    media: str, build: Callable[..., list[str]], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/notes.pdf").write_bytes(b"x")
    for prefix in ("data", "nowhere"):
        with pytest.raises(InputError, match=f"no {media}s lie below this prefix") as caught:
            build(media, prefix=prefix)
        assert caught.value.file == file_uri(tmp_path / prefix) and caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_prefix_outside_the_data_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutsideDataRootError):
        build_manifest(Storage(tmp_path), "file:///usr", file_uri(tmp_path / "m"))


def test_of_texts_each_line_and_each_row_is_an_object_once(build: Callable[..., list[str]], put: Put) -> None:
    put("data/1.txt", "\ufefffirst\r\n\nsecond \u2028 line\n   \nfirst\nlast without newline")
    put("data/2.csv", 'plain\n"with, comma"\n"two\nlines"\n"he said ""no"""\n\nfirst\n')
    put("data/3.png", b"x")
    assert build("text") == [
        "first",
        "second \u2028 line",
        "last without newline",
        "plain",
        "with, comma",
        "two\nlines",
        'he said "no"',
    ]


@pytest.fixture
def table(tmp_path: Path, put: Put) -> Callable[..., tuple[list[dict[str, object]], list[str]]]:
    """Build the manifest of one table; gives the objects, and what was told."""

    def run(content: str | bytes, column: str | None = None) -> tuple[list[dict[str, object]], list[str]]:
        put("data/a.csv", content)
        storage, out, told = Storage(tmp_path), file_uri(tmp_path / "m"), list[str]()
        build_manifest(storage, file_uri(tmp_path / "data"), out, media="text", column=column, note=told.append)
        return list(read_manifest(storage, out)), told

    return run


@pytest.mark.parametrize(
    ("content", "column", "objects", "told"),
    [
        ("text\ngreat\nbad\n", None, [{"source": "great"}, {"source": "bad"}], "the first row is the header 'text'"),
        ("\ufeffText\r\ngreat\r\n", None, [{"source": "great"}], "the first row is the header 'Text'"),
        ("great\nbad\n", None, [{"source": "great"}, {"source": "bad"}], "one column without a header"),
        (
            'id,text\n1,great product\n2,"bad, very bad"\n',
            None,
            [{"source": "great product", "id": "1"}, {"source": "bad, very bad", "id": "2"}],
            "column 'text' is the text; kept as keys of the object: 'id'",
        ),
        ("title,text\na,b\n", None, [{"source": "b", "title": "a"}], "column 'text' is the text"),
        ("title,text\na,b\n", "title", [{"source": "a", "text": "b"}], "column 'title' is the text"),
        ("wording,n\na,1\n", "wording", [{"source": "a", "n": "1"}], "column 'wording' is the text"),
        ("1,a\n2,b\n", "2", [{"source": "a", "column-1": "1"}, {"source": "b", "column-1": "2"}], "without a header"),
        ("text\n", "1", [{"source": "text"}], "one column without a header"),
        ("id,text\n1,\n2, \n3,a\n", None, [{"source": "a", "id": "3"}], "2 rows without text were left out"),
        ("id,text\n1,a\n2,a\n", None, [{"source": "a", "id": "1"}], "1 texts that came before"),
    ],
)
def test_the_text_of_a_table_is_found_or_declared_and_the_rest_is_kept(
    content: str, column: str | None, objects: list[dict[str, str]], told: str, table: Callable[..., Any]
) -> None:
    found, notes = table(content, column)
    assert found == objects and any(told in note for note in notes), notes


@pytest.mark.parametrize(
    ("content", "column", "line", "problem"),
    [
        ('"never closed\nnext\n', None, 1, "the quote that opens here is not closed"),
        ('a\n\nb\n"two\nlines"\n"never\nclosed', None, 6, "the quote that opens here is not closed"),
        ('id,text\n1,"a\nb"\n2,"c', None, 4, "the quote that opens here is not closed"),
        ('text,n\n"a\nb","c\n', None, 3, "the quote that opens here is not closed"),
        ('"never closed\n"next"\n', None, 1, "is closed in line 2, and more text follows it"),
        ('a\n"b"c\n', None, 2, "is closed in line 2, and more text follows it"),
        ("a\rb\n", None, 1, "a carriage return inside a line"),
        ("id,text\n1,a,b\n", None, 2, "the row has 3 cells, the first has 2"),
        ("id,text\n1,a\n\n2\n", None, 4, "the row has 1 cells, the first has 2"),
        ("a\nb, c\n", None, 2, "the row has 2 cells, the first has 1"),
        ("1,great\n2,bad\n", None, 1, "2 columns, and none of them is called text"),
        ("id,wording\n1,a\n", "text", 1, "there is no column 'text'; the first row has 'id', 'wording'"),
        ("text,text\na,b\n", "text", 1, "two columns are called 'text'"),
        ("text,,n\na,b,c\n", "text", 1, "a column has no name"),
        ("text,n,n\na,b,c\n", "text", 1, "two columns are called 'n'"),
        ("text,source-ref\na,b\n", None, 1, "'source-ref' has a name that Ground Truth keeps"),
        ("text\na\n", "3", 1, "there is no column '3'"),
        (b"text\nfine\nna\xefve\n", None, 3, "not UTF-8"),
    ],
)
def test_a_table_that_is_not_clear_is_rejected_with_its_line(
    content: str, column: str | None, line: int, problem: str, table: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        table(content, column)
    assert (caught.value.file, caught.value.line) == (file_uri(tmp_path / "data/a.csv"), line) and caught.value.hint
    assert not (tmp_path / "m").exists()


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"))


@given(rows=st.lists(st.lists(CELL, min_size=2, max_size=2)))
def test_what_pythons_writer_makes_is_read_as_it_was(rows: list[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows([["a", "b"], *rows])
    found = list(csv_rows(io.BytesIO(out.getvalue().encode()), "x.csv"))
    assert [row for _, row in found] == [["a", "b"], *rows]
    lines = [line for line, _ in found]
    assert lines == sorted(set(lines)) and lines[0] == 1


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.txt", b"fine\nna\xefve\n", "not UTF-8"),
        ("a.csv", b"fine\nna\xefve\n", "not UTF-8"),
        ("a.csv", b'"' + b"x" * 200_000, "not CSV"),
    ],
)
def test_a_text_file_that_cannot_be_read_is_named_and_leaves_nothing(
    name: str, content: bytes, problem: str, build: Callable[..., list[str]], put: Put, tmp_path: Path
) -> None:
    uri = put(f"data/{name}", content)
    with pytest.raises(InputError, match=problem) as caught:
        build("text")
    assert caught.value.file == uri and not list(tmp_path.glob("out/*"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    texts=st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=40), max_size=10
    )
)
def test_a_built_manifest_holds_every_text_once_and_passes_the_check(texts: list[str], tmp_path: Path) -> None:
    storage, out = Storage(tmp_path), file_uri(tmp_path / "m.manifest")
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data/a.txt").write_text("\n".join(["anchor", *texts]), "utf-8", newline="")
    build_manifest(storage, file_uri(tmp_path / "data"), out, media="text")
    wanted = dict.fromkeys(["anchor", *(text for text in texts if text.strip())])
    assert [line["source"] for line in read_manifest(storage, out)] == list(wanted)
    assert len({object_key(line) for line in read_manifest(storage, out)}) == len(wanted)
    assert check_manifest(storage, out, source_key="source", media="text").ok
