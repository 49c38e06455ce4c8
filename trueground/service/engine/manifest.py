"""Read a labeling job's input manifest line by line, keeping each line's exact text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from trueground import strict_json
from trueground.errors import InputError
from trueground.manifests.lines import LINE_BYTES, object_problems, parse_object
from trueground.service.engine.reading import reading
from trueground.storage import Storage

Check = Callable[[dict[str, Any]], object]
"""Called with a data object; a ``KeyError`` means that the task type misses that key. It may raise ``InputError``."""


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
    with reading(uri, "manifest"), storage.open(uri) as handle:
        for number, raw in strict_json.read_long_lines(handle, LINE_BYTES):
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

    try:
        content = parse_object(raw, number)
    except InputError as error:
        raise wrong(error.problem, error.field, error.hint) from None
    for problem in object_problems(content, number, size=len(raw), reserved=not streaming):
        raise problem.error(file)
    if check is not None:
        try:
            check(content)
        except KeyError as error:
            raise wrong("the task type needs this key", str(error.args[0])) from None
        except InputError as error:
            raise wrong(error.problem, error.field, error.hint) from None
    if "source-ref" in content:
        _check_file(storage, content["source-ref"], wrong)
    return Line(raw.decode("utf-8").rstrip("\r\n"), content)


def _check_file(storage: Storage, uri: str, wrong: Callable[..., InputError]) -> None:
    try:
        storage.check(uri)
    except InputError as error:
        raise wrong(f"{uri}: {error.problem}", "source-ref", error.hint) from None
    # On this machine a look costs nothing; on S3 it would be a round trip for each object.
    if uri.startswith("file:") and not storage.exists(uri):
        raise wrong(f"there is no file {uri}", "source-ref")
