"""Read a labeling job's input manifest line by line, keeping each line's exact text."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from trueground.errors import InputError
from trueground.manifests.check import ATTRIBUTE_CHARACTERS, LINE_CHARACTERS
from trueground.service.engine import strict_json
from trueground.service.engine.reading import reading
from trueground.storage import Storage

Check = Callable[[dict[str, Any]], object]
"""Called with a data object; a ``KeyError`` means that the task type misses that key. It may raise ``InputError``."""
_LINE_BYTES = 4 * LINE_CHARACTERS + 4


@dataclass(frozen=True, slots=True)
class Line:
    """One data object: its text as it stands in the manifest, and what it says."""

    text: str
    content: dict[str, Any]


def read_lines(storage: Storage, uri: str, check: Check | None = None, *, streaming: bool = False) -> Iterator[Line]:
    """The data objects of a manifest, in order, in constant memory. Blank lines are passed over.

    Args:
        storage: how to reach the files, and which may be reached.
        uri: the manifest.
        check: called with each data object.
        streaming: the job is a streaming job, whose objects may have keys that begin with ``$``.

    Raises:
        InputError: the manifest is not there, is empty, or a line breaks Ground Truth's rules.
    """
    empty = True
    # Not every store's files can read a part of a line.
    with reading(uri, "manifest"), storage.open(uri) as file, io.BufferedReader(file) as handle:  # type: ignore[type-var]
        # Never more of a line than could be right: it may have no end.
        for number, raw in enumerate(iter(lambda: handle.readline(_LINE_BYTES), b""), start=1):
            if raw.strip() or len(raw) == _LINE_BYTES:
                empty = False
                yield parse_line(storage, raw, check, file=uri, number=number, streaming=streaming)
    if empty:
        raise InputError("the manifest is empty", file=uri, hint="Give it one data object a line.")


def parse_line(
    storage: Storage,
    raw: bytes,
    check: Check | None = None,
    *,
    file: str | None = None,
    number: int | None = None,
    streaming: bool = False,
) -> Line:
    """One line of a manifest, or a data object that was pushed. Raises :class:`InputError`."""

    def wrong(problem: str, field: str | None = None, hint: str | None = None) -> InputError:
        return InputError(problem, file=file, line=number, field=field, hint=hint)

    if len(raw) >= _LINE_BYTES:
        raise wrong(f"the line is too long; {LINE_CHARACTERS} are allowed")
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise wrong("the line is not UTF-8") from None
    if len(text) > LINE_CHARACTERS:
        raise wrong(f"the line has {len(text)} characters; {LINE_CHARACTERS} are allowed")
    try:
        content = strict_json.loads(text)
    except (ValueError, RecursionError) as error:
        raise wrong(f"not a JSON object: {error}", hint="Write one JSON object on each line.") from None
    if not isinstance(content, dict):
        raise wrong("not a JSON object", hint="Write one JSON object on each line.")
    for key, value in content.items():
        if key.startswith("$") and not streaming:
            raise wrong("a key cannot begin with $", key)
        if isinstance(value, str) and len(value) > ATTRIBUTE_CHARACTERS:
            raise wrong(f"the value has {len(value)} characters; {ATTRIBUTE_CHARACTERS} are allowed", key)
    given = [key for key in ("source", "source-ref") if key in content]
    if len(given) != 1:
        raise wrong('a data object has either "source" or "source-ref"')
    if check is not None:
        try:
            check(content)
        except KeyError as error:
            raise wrong("the task type needs this key", str(error.args[0])) from None
        except InputError as error:
            raise wrong(error.problem, error.field, error.hint) from None
    _check_source(storage, content, given[0], wrong)
    return Line(text, content)


def _check_source(storage: Storage, content: dict[str, Any], key: str, wrong: Any) -> None:
    value = content[key]
    if not isinstance(value, str) or not value:
        raise wrong("the value must be a text that is not empty", key)
    if key == "source-ref":
        try:
            storage.check(value)
        except InputError as error:
            raise wrong(f"{value}: {error.problem}", key, error.hint) from None
        # On this machine a look costs nothing; on S3 it would be a round trip for each object.
        if value.startswith("file:") and not storage.exists(value):
            raise wrong(f"there is no file {value}", key)
