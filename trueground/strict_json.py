"""JSON as the standard has it, and JSON Lines.

Python's own reader also takes NaN and Infinity, which no other program does, and half of a character (an escaped
surrogate without its other half), which no file, database or page can hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import IO, Any

_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_HALF_BYTES = re.compile(rb"\\u[dD][89a-fA-F]")


def loads(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ``ValueError``, ``RecursionError``."""
    value = json.loads(text, parse_constant=_refuse)
    # Only an escape can bring in a half; most texts have none that looks like one.
    escaped = _HALF.search(text) if isinstance(text, str) else _HALF_BYTES.search(text)
    if escaped is not None and (half := _half_character(value)) is not None:
        raise ValueError(f"\\u{ord(half):04x} is half of a character")
    return value


def _half_character(value: Any) -> str | None:
    """A surrogate without its other half somewhere in a value, also in a key; ``None``: there is none."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        return str(error.object[error.start])
    return None


def read_lines(handle: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines of JSON Lines with their numbers, from 1; lines of white space are passed over.

    A line ends at a line feed and nowhere else: not at U+2028 or another character at which ``str.splitlines`` would
    split. ``handle`` is a file that was opened for bytes.
    """
    for number, raw in enumerate(handle, start=1):
        if raw.strip():
            yield number, raw


def read_long_lines(handle: IO[bytes], most: int) -> Iterator[tuple[int, bytes]]:
    """The same, in bounded memory: of a line of more than ``most`` bytes only so much as shows that it is."""
    number = 0
    while raw := handle.readline(most + 2):
        number += 1
        rest = raw
        while not rest.endswith(b"\n") and (rest := handle.readline(most)):
            pass
        if raw.strip() or len(raw) > most:
            yield number, raw


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
