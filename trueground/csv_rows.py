"""CSV, read strictly: what is not CSV is named with its line, and nothing is guessed.

After RFC 4180, with lines that end in ``\\n`` or ``\\r\\n``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

from trueground.errors import InputError


def csv_rows(handle: Iterable[bytes], file: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table with the line in which each begins; blank lines are passed over.

    Args:
        handle: a file that was opened for bytes.
        file: its name, for the error.

    Raises:
        InputError: the file is not UTF-8, a quote is not closed or has something behind it, or a row has another
            number of cells than the first; with the line.
    """
    lines = _Lines(handle, file)
    reader = csv.reader(lines, strict=True)
    width = 0
    while True:
        lines.row.clear()
        start = lines.number + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise _explained(error, lines.row, start, file) from None
        if row is None:
            return
        if not row or not any(line.strip() for line in lines.row):
            continue
        width = width or len(row)
        if len(row) != width:
            problem = f"the row has {len(row)} cells, the first has {width}"
            raise InputError(problem, file=file, line=start, hint="Put cells that have a comma in them in quotes.")
        yield start, row


class _Lines:
    """The lines of a file as text; keeps those of the row that is being read."""

    def __init__(self, handle: Iterable[bytes], file: str) -> None:
        self._lines = iter(handle)
        self._file = file
        self.number = 0
        self.row: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        raw = next(self._lines)
        self.number += 1
        try:
            line = raw.decode("utf-8-sig" if self.number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            problem = f"not UTF-8: {error.reason}"
            raise InputError(problem, file=self._file, line=self.number, hint="Save the file as UTF-8.") from None
        self.row.append(line)
        return line


def _explained(error: csv.Error, row: list[str], start: int, file: str) -> InputError:
    """What is wrong with the row that begins in this line."""
    line, is_open, where = _last_quote("".join(row), start)
    hint = 'Close it, and write a quote inside a cell as "".'
    if is_open:
        return InputError("not CSV: the quote that opens here is not closed", file=file, line=line, hint=hint)
    if where is not None:
        problem = f"not CSV: the quote that opens here is closed in line {where}, and more text follows it"
        return InputError(problem, file=file, line=line, hint=hint)
    if "new-line" in str(error):
        hint = "Save the file with the line ends of Windows or Unix."
        return InputError("not CSV: a carriage return inside a line", file=file, line=start, hint=hint)
    return InputError(f"not CSV: {error}", file=file, line=start)


def _last_quote(text: str, line: int) -> tuple[int, bool, int | None]:
    """Where the last quoted cell begins; whether it is open; and the line of its end, if text follows there."""
    opened, inside, fresh, position = line, False, True, 0
    while position < len(text):
        character = text[position]
        line += character == "\n"
        if inside:
            if character == '"':
                if text[position + 1 : position + 2] == '"':
                    position += 1
                elif text[position + 1 : position + 2] not in (",", "\r", "\n", ""):
                    return opened, False, line
                else:
                    inside = False
        elif character == '"' and fresh:
            opened, inside = line, True
        fresh = character in ",\n"
        position += 1
    return opened, inside, None
