"""Key-value pairs by how words lie, without recognising any."""

from __future__ import annotations

import math

from trueground.documents.ocr import Corners, Line, Word
from trueground.documents.pairs import find_pairs, turned

LETTER, HEIGHT, WIDTH = 10, 20, 1000


def line(text: str, left: float, top: float, *, confidence: float = 99.0, angle: float = 0.0) -> Line:
    """A line of letters of equal width; each run of spaces is as wide as it is long."""

    def corners(start: int, end: int) -> Corners:
        x0, x1 = left + LETTER * start, left + LETTER * end
        box = ((x0, top), (x1, top), (x1, top + HEIGHT), (x0, top + HEIGHT))
        return tuple(turned(point, angle) for point in box)

    words, at = [], 0
    for word in text.split():
        at = text.index(word, at)
        words.append(Word(word, confidence, corners(at, at + len(word))))
        at += len(word)
    return Line(" ".join(text.split()), confidence, corners(0, len(text)), tuple(words))


def pairs(*lines: Line) -> list[tuple[str, str]]:
    return [
        (" ".join(word.text for word in pair.key), " ".join(word.text for word in pair.value))
        for pair in find_pairs(lines, WIDTH)
    ]


def test_a_colon_ends_the_key_and_the_value_follows_in_the_line() -> None:
    assert pairs(line("Bill to: Moreau Foods SA", 50, 50)) == [("Bill to:", "Moreau Foods SA")]


def test_the_value_stands_to_the_right_of_its_key() -> None:
    lines = [line("Date:", 50, 50), line("2024-03-17", 400, 52), line("Due:", 50, 100), line("2024-04-17", 400, 102)]
    assert pairs(*lines) == [("Date:", "2024-03-17"), ("Due:", "2024-04-17")]


def test_the_value_stands_below_its_key() -> None:
    lines = [line("Date:", 50, 50), line("Due:", 400, 50), line("2024-03-17", 50, 80), line("2024-04-17", 400, 80)]
    assert pairs(*lines) == [("Date:", "2024-03-17"), ("Due:", "2024-04-17")]


def test_a_line_with_a_wide_gap_is_two_cells() -> None:
    lines = [line("Date: 2024-03-17        Due: 2024-04-17", 50, 50)]
    assert pairs(*lines) == [("Date:", "2024-03-17"), ("Due:", "2024-04-17")]


def test_a_page_that_is_askew_is_turned_level_first() -> None:
    # At the right end of a row the text is 70 pixels lower, where the next row's key is at the left.
    lines = [
        line(text, left, top, angle=math.radians(8))
        for top in (50, 90, 130)
        for text, left in ((f"Key{chr(top)}:", 50), (f"{top}.00", 600))
    ]
    assert [value for _, value in pairs(*lines)] == ["50.00", "90.00", "130.00"]


def test_without_a_colon_a_label_has_the_only_number_in_its_row() -> None:
    assert pairs(line("Order number", 50, 50), line("4500012", 400, 50)) == [("Order number", "4500012")]


def test_a_row_of_a_table_is_no_pair() -> None:
    header = [line("Article", 50, 50), line("Quantity", 400, 50), line("Price", 600, 50)]
    rows = [
        cell
        for top in (90, 130)
        for cell in (line("Steel bolt", 50, top), line("12", 400, top), line("9.50", 600, top))
    ]
    assert pairs(*header, *rows) == []


def test_a_key_without_a_value_is_none() -> None:
    assert pairs(line("Signature:", 50, 50), line("Thank you for your order", 50, 400)) == []


def test_a_time_or_an_address_has_no_key() -> None:
    assert pairs(line("12:30 at https://shop.example", 50, 50)) == []


def test_a_key_that_was_read_badly_makes_the_pair_unsure() -> None:
    [sure] = find_pairs([line("Date: 2024-03-17", 50, 50)], WIDTH)
    [unsure] = find_pairs([line("Date: 2024-03-17", 50, 50, confidence=60)], WIDTH)
    assert sure.confidence > 95 and unsure.confidence < 65
