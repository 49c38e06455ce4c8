"""Key-value pairs of a page, by how keys and values lie.

What is set side by side or below one another with a wide gap is a cell. A cell is a key where it ends in a colon, and
holds both where a colon stands inside it (``Date: 2024-03-17``). The value of a key is the cell to its right in the
same row, else the cell below it. Without a colon, a short cell of letters is a key where its row has just one other
cell, which has a digit; or where a cell with a digit lies right below it and nothing below that, as in forms of boxes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from trueground.documents.ocr import Line, Word

CELL_GAP = 1.2
"""Heights of the text between two words that belong to different cells."""
FURTHEST = 0.6
"""Share of the page's width between a key and its value."""
BELOW = 1.5
"""Heights of the text between a key and a value below it."""
LARGER = 0.8
"""The print of a value of its label's, at least: headings are no labels."""
MOST_KEY_WORDS = 5
INLINE, BESIDE, UNDER, BESIDE_NO_COLON, UNDER_NO_COLON = 1.0, 0.97, 0.93, 0.85, 0.75
"""How sure each way is of a pair, of 1."""


@dataclass(frozen=True)
class Pair:
    """A key and its value, in words. ``confidence`` runs from 0 to 100."""

    key: tuple[Word, ...]
    value: tuple[Word, ...]
    confidence: float


@dataclass(eq=False)
class _Cell:
    """Words that belong together, and their box on the page once it is turned level."""

    words: tuple[Word, ...]
    left: float
    top: float
    right: float
    bottom: float
    used: bool = field(default=False)

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def colon(self) -> int | None:
        """The number of words up to the first one that ends in a colon."""
        ends = (number for number, word in enumerate(self.words, 1) if re.search(r"[^:]:$", word.text))
        return next((number for number in ends if number <= MOST_KEY_WORDS), None)

    @property
    def is_key(self) -> bool:
        return self.colon == len(self.words)

    @property
    def may_be_key(self) -> bool:
        text = " ".join(word.text for word in self.words)
        return len(self.words) <= MOST_KEY_WORDS and bool(re.search(r"[^\W\d]{2}", text)) and not re.search(r"\d", text)

    @property
    def has_digit(self) -> bool:
        return any(re.search(r"\d", word.text) for word in self.words)

    def in_row_with(self, other: _Cell) -> bool:
        shared = min(self.bottom, other.bottom) - max(self.top, other.top)
        return shared > 0.5 * min(self.height, other.height)

    def is_under(self, other: _Cell) -> bool:
        aligned = abs(self.left - other.left) < other.height or other.left < (self.left + self.right) / 2 < other.right
        return aligned and -0.3 * other.height < self.top - other.bottom < BELOW * other.height


def find_pairs(lines: Sequence[Line], page_width: float) -> list[Pair]:
    """The key-value pairs of a page, from top to bottom. A pair's two sides share no word with another pair's.

    Args:
        lines: the page's lines, in pixels.
        page_width: in pixels.
    """
    cells = sorted(_cells(lines), key=lambda cell: (cell.top, cell.left))
    pairs = [*_inside(cells), *_with_colon(cells, page_width), *_without_colon(cells, page_width)]
    return [pair for _, pair in sorted(pairs, key=lambda found: found[0])]


Found = tuple[tuple[float, float], Pair]
"""A pair and where its key is, which is its place among the others."""


def _inside(cells: Iterable[_Cell]) -> Iterator[Found]:
    for cell in cells:
        if cell.colon is not None and not cell.is_key:
            cell.used = True
            yield _place(cell), _pair(cell.words[: cell.colon], cell.words[cell.colon :], INLINE)


def _with_colon(cells: Sequence[_Cell], width: float) -> Iterator[Found]:
    for key in (cell for cell in cells if cell.is_key and not cell.used):
        free = [cell for cell in cells if not cell.used and not cell.is_key and cell is not key]
        yield from _take(key, _beside(key, free, width), BESIDE) or _take(key, _below(key, free), UNDER)


def _without_colon(cells: Sequence[_Cell], width: float) -> Iterator[Found]:
    for key in (cell for cell in cells if cell.may_be_key and not cell.is_key):
        if key.used:
            continue
        row = [cell for cell in cells if cell is not key and cell.in_row_with(key)]
        if len(row) == 1 and row[0].has_digit and not row[0].used:
            yield from _take(key, _beside(key, row, width), BESIDE_NO_COLON)
        free = [cell for cell in cells if not cell.used and cell is not key]
        value = _below(key, free)
        if key.used or value is None or not value.has_digit or value.height < LARGER * key.height:
            continue
        if _below(value, cells) is None:
            yield from _take(key, value, UNDER_NO_COLON)


def _take(key: _Cell, value: _Cell | None, sureness: float) -> list[Found]:
    if value is None:
        return []
    key.used = value.used = True
    return [(_place(key), _pair(key.words, value.words, sureness))]


def _beside(key: _Cell, cells: Iterable[_Cell], width: float) -> _Cell | None:
    right = [cell for cell in cells if cell.in_row_with(key) and cell.left > key.right - key.height]
    nearest = min(right, key=lambda cell: cell.left, default=None)
    return nearest if nearest is not None and nearest.left - key.right < FURTHEST * width else None


def _below(key: _Cell, cells: Iterable[_Cell]) -> _Cell | None:
    return min((cell for cell in cells if cell.is_under(key)), key=lambda cell: cell.top, default=None)


def _pair(key: Sequence[Word], value: Sequence[Word], sureness: float) -> Pair:
    # A key that was misread may be no key at all; what its value says is its words' matter.
    return Pair(tuple(key), tuple(value), sureness * min(word.confidence for word in key))


def _place(cell: _Cell) -> tuple[float, float]:
    return cell.top, cell.left


def _cells(lines: Sequence[Line]) -> Iterator[_Cell]:
    angle = page_angle(lines)
    for line in lines:
        words: list[Word] = []
        for word in line.words:
            if words:
                before, box = _box(words, angle), _box([word], angle)
                if box[0] - before[2] > CELL_GAP * (before[3] - before[1]):
                    yield _Cell(tuple(words), *before)
                    words = []
            words.append(word)
        if words:
            yield _Cell(tuple(words), *_box(words, angle))


def page_angle(lines: Sequence[Line]) -> float:
    """By how many radians the page is turned clockwise: the median of its lines, each counted by its letters."""
    angles = []
    for line in lines:
        (x0, y0), (x1, y1) = line.corners[:2]
        # One that stands upright, or is short, tells nothing.
        if abs(y1 - y0) < abs(x1 - x0):
            angles += [math.atan2(y1 - y0, x1 - x0)] * len(line.text)
    return median(angles) if angles else 0.0


def _box(words: Sequence[Word], angle: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of words, once the page is turned level."""
    points = [turned(point, -angle) for word in words for point in word.corners]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def turned(point: tuple[float, float], angle: float) -> tuple[float, float]:
    """A point after a turn by ``angle`` (radians, clockwise as pixels count) about the page's first corner."""
    x, y = point
    return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
