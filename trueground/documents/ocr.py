"""Lines and words of a page, by RapidOCR."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from trueground.errors import TruegroundError

if TYPE_CHECKING:
    from PIL.Image import Image

Corners = tuple[tuple[float, float], ...]
"""Four points in pixels: top left, top right, bottom right, bottom left, as the text is read."""

_ONE_AT_A_TIME = Lock()
"""RapidOCR keeps state between its steps."""
_KEY_AND_VALUE = re.compile(r"([^\W\d][\w.#/-]*:)(?!//)(\S+)")
"""A key that the recogniser has run together with its value, as in ``Date:2024-03-17``."""


@dataclass(frozen=True)
class Word:
    """A word, its confidence from 0 to 100, and where it is."""

    text: str
    confidence: float
    corners: Corners


@dataclass(frozen=True)
class Line:
    """A line as it was found. ``confidence`` runs from 0 to 100."""

    text: str
    confidence: float
    corners: Corners
    words: tuple[Word, ...]


def recognize(page: Image) -> list[Line]:
    """The lines of an RGB page, from top to bottom. However unsure, none is left out: unsure ones are for people.

    Raises:
        TruegroundError: the extra ``documents`` is not installed.
    """
    # OpenCV's order of colours.
    pixels = np.ascontiguousarray(np.asarray(page)[:, :, ::-1])
    engine = _engine()
    from rapidocr.utils.process_img import ResizeImgError

    try:
        with _ONE_AT_A_TIME:
            found = engine(pixels)
    except ResizeImgError:
        # A strip that its scaling makes less than a pixel high has no text.
        return []
    if found.txts is None:
        return []
    words = found.word_results if len(found.word_results) == len(found.txts) else [()] * len(found.txts)
    return [
        _line(text, 100 * float(score), tuple((float(x), float(y)) for x, y in box), tokens)
        for text, score, box, tokens in zip(found.txts, found.scores, found.boxes, words, strict=True)
    ]


@cache
def _engine() -> Any:
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        raise TruegroundError("documents are read with RapidOCR: pip install 'trueground[documents]'") from error
    return RapidOCR(params={"Global.log_level": "critical", "Global.return_word_box": True, "Global.text_score": 0.0})


def _line(raw: str, confidence: float, corners: Corners, tokens: Any) -> Line:
    text = " ".join(raw.replace("：", ":").split())
    return Line(text, confidence, corners, tuple(_split(_words(text, confidence, corners, tokens))))


def _words(text: str, confidence: float, corners: Corners, tokens: Any) -> list[Word]:
    """The words of a line. ``tokens``: pieces of them with (text, share, corners), as RapidOCR cuts them."""
    try:
        left = [(str(piece).replace("：", ":"), 100 * float(share), box) for piece, share, box in tokens]
        words = []
        for word in text.split():
            pieces = [left.pop(0)]
            while len("".join(piece for piece, _, _ in pieces)) < len(word):
                pieces.append(left.pop(0))
            if "".join(piece for piece, _, _ in pieces) != word:
                raise ValueError
            first, last = (tuple((float(x), float(y)) for x, y in pieces[at][2]) for at in (0, -1))
            words.append(Word(word, min(share for _, share, _ in pieces), (first[0], last[1], last[2], first[3])))
        # RapidOCR cuts into the first letter and the last, which the line's own edges do not.
        words[0] = replace(words[0], corners=(corners[0], *words[0].corners[1:3], corners[3]))
        words[-1] = replace(words[-1], corners=(words[-1].corners[0], *corners[1:3], words[-1].corners[3]))
        return words
    except (IndexError, TypeError, ValueError):
        # It has cut them otherwise, or not at all: then they lie in the line as their letters do.
        spans = [match.span() for match in re.finditer(r"\S+", text)]
        return [Word(text[a:b], confidence, _part(corners, a / len(text), b / len(text))) for a, b in spans]


def _split(words: Sequence[Word]) -> Iterator[Word]:
    for word in words:
        if match := _KEY_AND_VALUE.fullmatch(word.text):
            cut = match.end(1) / len(word.text)
            yield Word(match[1], word.confidence, _part(word.corners, 0, cut))
            yield Word(match[2], word.confidence, _part(word.corners, cut, 1))
        else:
            yield word


def _part(corners: Corners, start: float, end: float) -> Corners:
    """The corners of a part of a text that runs from one share of its width to another."""
    top_left, top_right, bottom_right, bottom_left = (np.array(corner) for corner in corners)
    top, bottom = top_right - top_left, bottom_right - bottom_left
    points = (top_left + start * top, top_left + end * top, bottom_left + end * bottom, bottom_left + start * bottom)
    return tuple((float(x), float(y)) for x, y in points)
