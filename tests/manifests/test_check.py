from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pictures import blank_png
from trueground.errors import InputError
from trueground.manifests import ManifestReport, Problem, check_manifest
from trueground.storage import Storage, file_uri

Check = Callable[..., ManifestReport]
Put = Callable[[str, bytes | str], str]


def the_problem(report: ManifestReport) -> Problem:
    assert not report.ok and report.total_problems == 1, report.problems
    return report.problems[0]


def test_a_good_manifest_passes_with_other_keys_line_ends_and_no_last_newline(check: Check) -> None:
    lines = [
        {"source": "Lorem ipsum", "id": 7, "nested": {"a": [1, None, True]}},
        b'{"source": "\xc3\xa9t\xc3\xa9 \\ud83d\\ude00"}\r\n',
        {"source": "x" * 20_000, "more": "x" * 20_000, "list": [1] * 9_000},
        b'{"source": "the last"}',
    ]
    assert check(lines) == ManifestReport(4)


@pytest.mark.parametrize(
    ("line", "field", "problem", "hint"),
    [
        (b'{"source": "cut \\ud83d"}\n', None, "\\ud83d is half of a character", "between characters"),
        (b'{"source": "a", "notes": {"\\udc00": 1}}\n', None, "\\udc00 is half of a character", "between characters"),
        (b'{"source": "a"\n', None, "not JSON", "one JSON object"),
        (b'{"source": "a"} {"source": "b"}\n', None, "not JSON: Extra data", "one JSON object"),
        (b'{"source": "a", "x": NaN}\n', None, "not JSON: NaN", "one JSON object"),
        (b'{"source": "a\tb"}\n', None, "not JSON: Invalid control character", "one JSON object"),
        (b'["a"]\n', None, "not a JSON object", "source-ref"),
        (b'"a"\n', None, "not a JSON object", "source-ref"),
        (b'{"source": "\xff"}\n', None, "not UTF-8 at byte 12", "UTF-8"),
        (b"[" * 99_000 + b"\n", None, "nested too deeply", "flatter"),
        ({"text": "a"}, "source", "the key is missing", "every line"),
        ({"source": ""}, "source", "a text that is not empty", "quotes"),
        ({"source": "  "}, "source", "a text that is not empty", "quotes"),
        ({"source": 7}, "source", "a text that is not empty", "quotes"),
        ({"source": None}, "source", "a text that is not empty", "quotes"),
        ({"source": "a", "source-ref": "s3://b/k"}, "source", "stand together", "Keep the one"),
        ({"source": "a", "$ref": 1}, "$ref", "begin with $", "Rename"),
        ({"source": "a", "note": "x" * 20_001}, "note", "20,001 characters, more than the 20,000", "own"),
        ({"source": "é" * 20_001}, "source", "20,001 characters", "own"),
        ({"source": "a", "note": [1] * 10_001}, "note", "20,003 characters", "own"),
        ({"source": "a", **{f"k{i}": "x" * 19_000 for i in range(6)}}, None, "more than the 100,000", "own"),
        (b'{"source": "' + b"x" * 1_000_000 + b'"}\n', None, "more than the 100,000", "own"),
        ({"source": "a", "mood": 1}, "mood", "has this label already", "another attribute"),
    ],
)
def test_each_problem_is_told_with_its_line_its_field_and_what_to_do(
    line: Any, field: str | None, problem: str, hint: str, check: Check
) -> None:
    found = the_problem(check([{"source": "before"}, line, {"source": "after"}], label_attribute="mood"))
    assert (found.line, found.field) == (2, field)
    assert problem in found.problem and found.hint is not None and hint in found.hint
    assert str(found).startswith("line 2: ")


def test_a_byte_order_mark_is_named(check: Check) -> None:
    assert "byte order mark" in the_problem(check([b'\xef\xbb\xbf{"source": "a"}\n'])).problem


def test_an_empty_manifest_is_refused(check: Check) -> None:
    found = the_problem(check([]))
    assert (found.line, found.problem) == (None, "the manifest is empty")


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("nothing", "folder"):
        (tmp_path / "folder").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="there is no such manifest") as caught:
            check_manifest(Storage(), file_uri(tmp_path / name), source_key="source", media="text")
        assert caught.value.file == file_uri(tmp_path / name)


def test_what_comes_again_names_the_line_where_it_stood_first(check: Check) -> None:
    lines = [{"source": text} for text in ("a", "b", "a", "c", "b", "a")]
    lines[2]["other"] = "key"
    report = check(lines)
    assert [(p.line, p.field, p.problem) for p in report.problems] == [
        (3, "source", "the same object as in line 1"),
        (5, "source", "the same object as in line 2"),
        (6, "source", "the same object as in line 1"),
    ]


@given(texts=st.lists(st.sampled_from("abcdefgh"), max_size=40), limit=st.integers(1, 10))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_duplicates_are_those_a_plain_dictionary_finds(texts: list[str], limit: int, check: Check) -> None:
    first: dict[str, int] = {}
    expected = [
        (number, earlier)
        for number, text in enumerate(texts, start=1)
        if (earlier := first.setdefault(text, number)) != number
    ]
    report = check([{"source": "start"}, *({"source": text} for text in texts)], limit=limit)
    assert report.total_problems == len(expected) and report.objects == len(texts) + 1
    assert [(p.line, p.problem) for p in report.problems] == [
        (line + 1, f"the same object as in line {earlier + 1}") for line, earlier in expected[:limit]
    ]


def test_the_first_problems_are_kept_in_the_order_of_the_lines_and_all_are_counted(check: Check) -> None:
    # Duplicates are found last, yet the one of line 2 belongs before the rest.
    lines = [{"source": "a"}, {"source": "a"}, *({"source": 1} for _ in range(50))]
    report = check(lines, limit=3)
    assert report.total_problems == 51 and [problem.line for problem in report.problems] == [2, 3, 4]


def test_a_line_may_have_several_problems(check: Check) -> None:
    report = check([{"$a": 1, "mood": 1}], label_attribute="mood")
    assert [problem.field for problem in report.problems] == ["source", "$a", "mood"]


@given(lines=st.lists(st.binary(max_size=60), max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_bytes_break_the_check_and_each_line_is_an_object_or_a_problem(lines: list[bytes], check: Check) -> None:
    content = b"\n".join(lines)
    report = check([content], limit=1000)
    told = {problem.line for problem in report.problems}
    rows = content.split(b"\n")[: -1 if content.endswith(b"\n") else None] if content else []
    for number, row in enumerate(rows, start=1):
        try:
            fine = isinstance(json.loads(row.decode())["source"], str)
        except (ValueError, TypeError, KeyError):
            fine = False
        assert fine or number in told or not row.strip()


def test_images_of_all_allowed_forms_pass(check: Check, put: Put, image: Callable[..., bytes]) -> None:
    files = {
        "1x1.png": image(size=(1, 1)),
        "palette.png": image(mode="P"),
        "alpha.png": image(mode="RGBA"),
        "gray.jpg": image("JPEG"),
        "1x1.jpg": image("JPEG", size=(1, 1)),
        "color.jpeg": image("JPEG", size=(300, 200), mode="RGB"),
        "print.jpg": image("JPEG", size=(300, 200), mode="CMYK"),
        "progressive.jpg": image("JPEG", size=(300, 200), mode="RGB", progressive=True),
        "grüße #1.PNG": image(),
    }
    report = check([{"source-ref": put(name, content)} for name, content in files.items()], text=False)
    assert report == ManifestReport(len(files))


def broken_images(image: Callable[..., bytes]) -> Iterator[tuple[str, bytes, str]]:
    png, jpeg = image(size=(64, 64)), image("JPEG", size=(64, 64), mode="RGB")
    large = blank_png(5000, 5000)
    yield "empty.png", b"", "the file is empty"
    yield "text.png", b"hello, I am a text", "not an image"
    yield "page.html.png", b"<html>not found</html>", "not an image"
    yield "cut.png", png[: len(png) // 2], "broken"
    yield "cut.jpg", jpeg[: len(jpeg) // 2], "broken"
    yield "large-cut.png", large[: len(large) - 20], "broken"
    yield "flipped.png", png[:80] + bytes([png[80] ^ 255]) + png[81:], "broken"
    yield "picture.tif", image("TIFF"), "format TIFF, which browsers do not show"
    yield "picture.png", b"\0\0\0\x18ftypheic" + b"\0" * 40, "format HEIC, which browsers do not show"
    yield "picture.jpg", b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "format SVG"
    yield "wide.png", blank_png(20_000, 5_001), "20000 x 5001 pixels; an image may have 100,000,000"
    yield "bomb.png", blank_png(60_000, 60_000, rows=1), "more than 100,000,000 pixels"
    yield "heavy.png", png + b"\0" * (40 * 1024 * 1024), "bytes; an image may have 41,943,040"


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_each_image_that_cannot_be_shown_is_told(check: Check, put: Put, image: Callable[..., bytes]) -> None:
    cases = list(broken_images(image))
    lines = [{"source-ref": put(name, content)} for name, content, _ in cases]
    report = check(lines, text=False)
    found = {problem.line: problem for problem in report.problems}
    assert report.total_problems == len(cases)
    for number, (name, _, expected) in enumerate(cases, start=1):
        assert found[number].field == "source-ref" and expected in found[number].problem, (name, found[number])
        assert found[number].hint


def test_an_object_that_cannot_be_reached_is_told(check: Check, put: Put, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "out.png").symlink_to("/etc/hostname")
    cases = {
        file_uri(tmp_path / "gone.png"): "there is no such file",
        file_uri(tmp_path / "folder.png"): "there is no such file",
        file_uri(tmp_path / "out.png"): "outside the data root",
        "file:///etc/hostname": "outside the data root",
        "pictures/1.png": "this is a path, not a URI",
        "https://example.org/1.png": "cannot read the scheme 'https'",
        "s3:///1.png": "needs a bucket",
        "s3://[x/1.png": "not a URI",
        "file:///a\0b": "null character",
    }
    report = check([{"source-ref": uri} for uri in cases], text=False)
    assert report.total_problems == len(cases)
    for problem, expected in zip(report.problems, cases.values(), strict=True):
        assert expected in problem.problem and problem.hint, problem


def test_progress_is_told_now_and_then_and_at_the_end(check: Check) -> None:
    seen: list[int] = []
    assert check(({"source": f"{i}"} for i in range(2500)), progress=seen.append).ok
    assert seen == [1000, 2000, 2500]


def test_memory_grows_by_few_bytes_an_object(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        file = tmp_path / "m"
        with file.open("w") as out:
            out.writelines(f'{{"source": "text number {i}"}}\n' for i in range(count))
        tracemalloc.start()
        report = check_manifest(Storage(), file_uri(file), source_key="source", media="text")
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert report == ManifestReport(count)
        return highest

    peak(10)
    few, many = peak(2_000), peak(42_000)
    assert (many - few) / 40_000 < 50


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path) -> None:
    file = tmp_path / "m"
    with file.open("wb") as out:
        out.truncate(200 * 1024 * 1024)
    tracemalloc.start()
    report = check_manifest(Storage(), file_uri(file), source_key="source", media="text")
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "more than the 100,000" in the_problem(report).problem and highest < 20 * 1024 * 1024
