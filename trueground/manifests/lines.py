"""What makes a line of a manifest a valid data object: the one rule of the check, of the service and of the pipeline.

After Ground Truth: https://docs.aws.amazon.com/sagemaker/latest/dg/sms-input-data-input-manifest.html. Blank lines are
no objects and are passed over by every reader.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trueground import strict_json
from trueground.errors import InputError

LINE_CHARACTERS = 100_000
ATTRIBUTE_CHARACTERS = 20_000
LINE_BYTES = 4 * LINE_CHARACTERS
SOURCES = ("source", "source-ref")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, where, and what to do about it. ``line`` counts from 1; the whole file has none."""

    line: int | None
    field: str | None
    problem: str
    hint: str | None = None

    def __str__(self) -> str:
        return str(self.error())

    def error(self, file: str | None = None) -> InputError:
        """The same as an error."""
        return InputError(self.problem, file=file, line=self.line, field=self.field, hint=self.hint)


def parse_object(raw: bytes, number: int | None = None) -> dict[str, Any]:
    """The JSON object of a line. Raises :class:`InputError` without a file."""

    def wrong(problem: str, hint: str) -> InputError:
        return InputError(problem, line=number, hint=hint)

    if len(raw.rstrip(b"\r\n")) > LINE_BYTES:
        raise wrong(*_too_long("more than"))
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise wrong(f"not UTF-8 at byte {error.start}", "Save the file as UTF-8.") from None
    if text.startswith("\ufeff"):
        raise wrong("the file begins with a byte order mark", "Save it as UTF-8 without one.")
    if len(text) > LINE_CHARACTERS:
        raise wrong(*_too_long(f"{len(text):,} characters, more than"))
    try:
        line = strict_json.loads(text)
    except RecursionError:
        raise wrong("brackets are nested too deeply", "Write the attribute flatter.") from None
    except ValueError as error:
        if "half of a character" in str(error):
            raise wrong(str(error), "Cut texts between characters, or write \\ufffd in its place.") from None
        raise wrong(f"not JSON: {error}", "Each line is one JSON object, without line breaks in it.") from None
    if not isinstance(line, dict):
        raise wrong("not a JSON object", 'Write {"source-ref": "s3://…"}.')
    return line


def object_problems(
    line: dict[str, Any],
    number: int | None = None,
    *,
    source_key: str | None = None,
    size: int = LINE_BYTES,
    reserved: bool = True,
) -> Iterator[Problem]:
    """What keeps a JSON object from being a data object.

    Args:
        line: the object.
        number: its line.
        source_key: the key that the task type needs; ``None``: either of the two.
        size: characters or bytes of the line, if known: in a short one no attribute can be too long.
        reserved: whether keys that begin with ``$`` are reserved; those of streaming jobs are not.
    """
    given = [key for key in SOURCES if key in line]
    if source_key is not None and source_key not in line:
        yield Problem(number, source_key, "the key is missing", "This task type needs it in every line.")
    elif not given:
        yield Problem(number, None, 'neither "source" nor "source-ref" is there', "Write one of them in every line.")
    for key in [source_key] if source_key is not None else given:
        if key in line and (not isinstance(line[key], str) or not line[key].strip()):
            yield Problem(number, key, "a text that is not empty is needed", "Write it in quotes, or remove the line.")
    if len(given) == 2:
        yield Problem(number, "source", "source and source-ref stand together", "Keep the one to be labeled.")
    for key in line:
        if reserved and key.startswith("$"):
            yield Problem(number, key, "names that begin with $ are reserved", "Rename the attribute.")
    # Measuring all attributes of a short line would double the time of a check.
    if size > ATTRIBUTE_CHARACTERS:
        yield from _long_attributes(line, number)


def _long_attributes(line: dict[str, Any], number: int | None) -> Iterator[Problem]:
    for key, value in line.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if len(text) > ATTRIBUTE_CHARACTERS:
            problem = f"{len(text):,} characters, more than the {ATTRIBUTE_CHARACTERS:,} that an attribute may have"
            yield Problem(number, key, problem, "Keep long data in a file of its own.")


def _too_long(size: str) -> tuple[str, str]:
    return f"{size} the {LINE_CHARACTERS:,} that a line may have", "Keep long data in a file of its own."
