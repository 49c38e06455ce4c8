"""The relaxed JSON in attributes of crowd elements: single quotes, bare words, trailing commas, comments.

The same grammar as the portal's own (``service/portal/static/crowd/values.js``), so that a template's check and the
browser read an attribute alike.
"""

from __future__ import annotations

import re
from typing import Any

_SKIPPED = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
_WORD = re.compile(r"""[^\s,:\]}\[{'"]+""")
_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_NAMED = {"true": True, "false": False, "null": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
DEPTH = 100


def parse_relaxed(text: str) -> Any:
    """The value of a text. Raises ``ValueError``, which says what was expected where."""
    reader = _Reader(text)
    value = reader.value(0)
    reader.skip()
    if reader.at < len(text):
        raise reader.error("unexpected text")
    return value


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def error(self, what: str) -> ValueError:
        return ValueError(f"{what} at character {self.at + 1} of {self.text[:80]!r}")

    def skip(self) -> None:
        if found := _SKIPPED.match(self.text, self.at):
            self.at = found.end()

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def value(self, depth: int) -> Any:
        if depth > DEPTH:
            raise self.error("nested too deeply")
        self.skip()
        start = self.peek()
        if start == "[":
            return list(self._items("]", lambda: self.value(depth + 1)))
        if start == "{":
            return dict(self._items("}", lambda: self._entry(depth + 1)))
        if start in ('"', "'") and start:
            return self._string(start)
        found = _WORD.match(self.text, self.at)
        if found is None:
            raise self.error("expected a value")
        self.at = found.end()
        word = found[0]
        if _NUMBER.fullmatch(word):
            number = float(word)
            return int(number) if number.is_integer() else number
        return _NAMED.get(word, word)

    def _entry(self, depth: int) -> tuple[str, Any]:
        key = self.value(depth)
        self.skip()
        if self.peek() != ":":
            raise self.error("expected :")
        self.at += 1
        return str(key), self.value(depth)

    def _items(self, close: str, item: Any) -> list[Any]:
        items = []
        self.at += 1
        self.skip()
        while self.peek() != close:
            items.append(item())
            self.skip()
            if self.peek() == ",":
                self.at += 1
            elif self.peek() != close:
                raise self.error(f"expected , or {close}")
            self.skip()
        self.at += 1
        return items

    def _string(self, quote: str) -> str:
        made = []
        self.at += 1
        while (letter := self.peek()) != quote:
            if not letter:
                raise self.error("unfinished text")
            self.at += 1
            if letter == "\\":
                letter = self.peek()
                self.at += 1
                if letter == "u":
                    code = self.text[self.at : self.at + 4]
                    if not re.fullmatch(r"[0-9a-fA-F]{4}", code):
                        raise self.error("expected four hexadecimal digits")
                    letter = chr(int(code, 16))
                    self.at += 4
                else:
                    letter = _ESCAPES.get(letter, letter)
            made.append(letter)
        self.at += 1
        return "".join(made)
