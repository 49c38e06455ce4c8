"""The texts of files: each line of a ``.txt``, each row of a ``.csv``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from trueground.csv_rows import csv_rows
from trueground.errors import InputError
from trueground.manifests.lines import SOURCES
from trueground.storage import Storage

TEXT_COLUMNS = (
    "text", "source", "content", "comment", "review", "sentence", "message", "body", "utterance", "question",
    "document", "description", "title",
)  # fmt: skip
"""Names of columns that hold the text, where none is declared; the first of them counts."""
NAME_CHARACTERS = 127
DECLARE = "Name the column with the text: --column NAME, or data.column in the project; a number means no header."

Note = Callable[[str], object]


@dataclass(frozen=True)
class _Columns:
    """What was decided on a table: which column is the text, and the keys of the others."""

    text: int
    keys: list[str]
    header: bool

    def object_of(self, row: list[str]) -> dict[str, Any]:
        others = {key: cell for place, (key, cell) in enumerate(zip(self.keys, row, strict=True)) if place != self.text}
        return {"source": row[self.text], **others}

    def __str__(self) -> str:
        if len(self.keys) == 1:
            return f"the first row is the header {self.keys[0]!r}" if self.header else "one column without a header"
        others = ", ".join(repr(key) for place, key in enumerate(self.keys) if place != self.text)
        where = f"column {self.keys[self.text]!r}" if self.header else f"column {self.text + 1}, without a header,"
        return f"{where} is the text; kept as keys of the object: {others}"


def text_objects(storage: Storage, uri: str, column: str | None, note: Note) -> Iterator[dict[str, Any]]:
    """The data objects of a ``.txt`` or ``.csv`` file.

    Args:
        storage: how to reach it.
        uri: the file.
        column: of a table, the name of the column with the text, or its number from 1 where there is no header;
            ``None``: it is recognized by its name, or is the only one.
        note: told what was decided, and what was left out.

    Raises:
        InputError: the file is not UTF-8 or not CSV; or it is not clear which column is the text.
    """
    with storage.open(uri) as handle:
        if uri.lower().endswith(".csv"):
            yield from _rows(csv_rows(handle, uri), uri, column, note)
        else:
            yield from _lines(handle, uri)


def _lines(handle: Iterable[bytes], uri: str) -> Iterator[dict[str, Any]]:
    for number, raw in enumerate(handle, start=1):
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            problem = f"not UTF-8: {error.reason}"
            raise InputError(problem, file=uri, line=number, hint="Save the file as UTF-8.") from None
        if text.strip():
            yield {"source": text}


def _rows(rows: Iterator[tuple[int, list[str]]], uri: str, column: str | None, note: Note) -> Iterator[dict[str, Any]]:
    first = next(rows, None)
    if first is None:
        return
    line, cells = first
    columns = _columns(cells, column, uri, line)
    note(f"{uri}: {columns}")
    empty = 0
    for _, row in rows if columns.header else _again(first, rows):
        if row[columns.text].strip():
            yield columns.object_of(row)
        else:
            empty += 1
    if empty:
        note(f"{uri}: {empty} rows without text were left out")


def _again(first: tuple[int, list[str]], rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    yield first
    yield from rows


def _columns(cells: list[str], column: str | None, uri: str, line: int) -> _Columns:
    """What the first row of a table says of it."""
    names = [cell.strip() for cell in cells]
    if column is None:
        known = [name for name in TEXT_COLUMNS if name in map(str.lower, names)]
        if known and _are_names(names):
            place = [name.lower() for name in names].index(known[0])
        elif len(cells) == 1:
            return _Columns(0, [""], header=False)
        else:
            problem = f"{len(cells)} columns, and none of them is called {', '.join(TEXT_COLUMNS[:4])} or the like"
            raise InputError(problem, file=uri, line=line, hint=DECLARE)
    elif names.count(column) == 1:
        place = names.index(column)
    elif column in names:
        raise InputError(f"two columns are called {column!r}", file=uri, line=line, hint="Rename one of them.")
    elif column.isdecimal() and 0 < int(column) <= len(cells):
        return _Columns(int(column) - 1, [f"column-{number}" for number in range(1, len(cells) + 1)], header=False)
    else:
        problem = f"there is no column {column!r}; the first row has {', '.join(map(repr, names))}"
        raise InputError(problem, file=uri, line=line, hint=DECLARE)
    for number, name in enumerate(names):
        if number != place:
            _check_key(name, names, uri, line)
    return _Columns(place, names, header=True)


def _are_names(names: list[str]) -> bool:
    """Whether the cells of a row could be a header."""
    could_be = all(0 < len(name) <= NAME_CHARACTERS and "\n" not in name for name in names)
    return could_be and len(set(names)) == len(names)


def _check_key(name: str, names: list[str], uri: str, line: int) -> None:
    """Raise :class:`InputError` where a column cannot be a key of the object."""
    if not name:
        problem = "a column has no name"
    elif names.count(name) > 1:
        problem = f"two columns are called {name!r}"
    elif name in SOURCES or name.startswith("$"):
        problem = f"the column {name!r} has a name that Ground Truth keeps for itself"
    else:
        return
    raise InputError(problem, file=uri, line=line, hint="Rename it in the first row.")
