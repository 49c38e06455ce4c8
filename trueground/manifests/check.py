"""Check a manifest against Ground Truth's rules, and that every object it names can be labeled.

The rules: https://docs.aws.amazon.com/sagemaker/latest/dg/sms-input-data-input-manifest.html
"""

from __future__ import annotations

import hashlib
import heapq
import json
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO, Any, Literal

from trueground.errors import InputError
from trueground.manifests.images import image_problem
from trueground.manifests.read import object_key, open_manifest
from trueground.storage import Storage

LINE_CHARACTERS = 100_000
ATTRIBUTE_CHARACTERS = 20_000
LINE_BYTES = 4 * LINE_CHARACTERS
READERS = 8
"""Images looked at at the same time: on S3 each is a round trip."""
AHEAD = 4 * READERS
PROGRESS_EVERY = 1000


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, where, and what to do about it. ``line`` counts from 1; the whole file has none."""

    line: int | None
    field: str | None
    problem: str
    hint: str | None = None

    def __str__(self) -> str:
        return str(InputError(self.problem, line=self.line, field=self.field, hint=self.hint))


@dataclass(frozen=True)
class ManifestReport:
    """What a check found: how many objects there are, and the first problems in the order of the lines.

    ``objects`` are the lines that hold a JSON object. ``total_problems`` counts also those beyond the limit.
    """

    objects: int
    problems: list[Problem] = field(default_factory=list)
    total_problems: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.total_problems


def check_manifest(
    storage: Storage,
    uri: str,
    *,
    source_key: Literal["source", "source-ref"],
    media: Literal["image", "text"],
    label_attribute: str | None = None,
    limit: int = 100,
    progress: Callable[[int], None] | None = None,
) -> ManifestReport:
    """Check every line and every object, streaming: memory grows by 12 bytes an object, some 40 at the end.

    Args:
        storage: how to reach the files.
        uri: the manifest.
        source_key: the key that the task type needs.
        media: what an object must be.
        label_attribute: the attribute to be labeled; no object may have it already.
        limit: problems to keep.
        progress: called with the number of objects so far, now and then and at the end.

    Raises:
        InputError: there is no such file.
    """
    found = _Problems(limit)
    keys = _Keys(source_key)
    objects = 0
    with open_manifest(storage, uri) as handle, _Images(storage, source_key, found) as images:
        for number, raw in _lines(handle):
            line = _parse(raw, number, found.add)
            if line is None:
                continue
            objects += 1
            for problem in _line_problems(line, number, source_key, label_attribute):
                found.add(problem)
            # A short line has no long attribute; measuring all of them would double the time.
            if len(raw) > ATTRIBUTE_CHARACTERS:
                for problem in _long_attributes(line, number):
                    found.add(problem)
            if isinstance(line.get(source_key), str) and line[source_key]:
                keys.add(object_key({source_key: line[source_key]}), number)
                if source_key == "source-ref" and media == "image":
                    images.look_at(line[source_key], number)
            if progress is not None and objects % PROGRESS_EVERY == 0:
                progress(objects)
    for problem in keys.repeated():
        found.add(problem)
    if progress is not None:
        progress(objects)
    if not objects and not found.total:
        found.add(Problem(None, None, "the manifest is empty", "Give it one data object a line."))
    return ManifestReport(objects, found.first(), found.total)


class _Problems:
    """Counts all problems and keeps the first ones by line, in whatever order they come."""

    def __init__(self, limit: int) -> None:
        self.limit, self.total = limit, 0
        # A heap whose top is the last problem that is kept.
        self._kept: list[tuple[int, int, Problem]] = []

    def add(self, problem: Problem) -> None:
        self.total += 1
        entry = (-(problem.line or 0), -self.total, problem)
        if len(self._kept) < self.limit:
            heapq.heappush(self._kept, entry)
        elif self._kept and entry > self._kept[0]:
            heapq.heapreplace(self._kept, entry)

    def first(self) -> list[Problem]:
        return [problem for _, _, problem in sorted(self._kept, reverse=True)]


class _Keys:
    """Finds objects that come again, by 64 bits of a hash of each key: among a million, chance finds one in 10^7."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._hashes, self._lines = array("Q"), array("I")

    def add(self, key: str, line: int) -> None:
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self._hashes.append(int.from_bytes(digest))
        self._lines.append(line)

    def repeated(self) -> Iterator[Problem]:
        import numpy as np

        if not self._hashes:
            return
        hashes = np.frombuffer(self._hashes, dtype=np.uint64)
        # Stable, so that of equal ones the first line comes first.
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        first = 0
        for position in (np.flatnonzero(hashes[1:] == hashes[:-1]) + 1).tolist():
            if hashes[first] != hashes[position]:
                first = position - 1
            line, earlier = self._lines[int(order[position])], self._lines[int(order[first])]
            yield Problem(line, self._field, f"the same object as in line {earlier}", "Remove one of the two.")


class _Images:
    """Looks at images, several at a time, so far ahead of their results that memory stays bounded."""

    def __init__(self, storage: Storage, field: str, found: _Problems) -> None:
        self._storage, self._field, self._found = storage, field, found
        self._pool = ThreadPoolExecutor(READERS)
        self._waiting: deque[tuple[int, Future[tuple[str, str] | None]]] = deque()

    def __enter__(self) -> _Images:
        return self

    def look_at(self, uri: str, line: int) -> None:
        self._waiting.append((line, self._pool.submit(image_problem, self._storage, uri)))
        if len(self._waiting) > AHEAD:
            self._take()

    def _take(self) -> None:
        line, result = self._waiting.popleft()
        if (problem := result.result()) is not None:
            self._found.add(Problem(line, self._field, *problem))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            while self._waiting and kind is None:
                self._take()
        finally:
            self._pool.shutdown(cancel_futures=True)


def _lines(handle: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers; of one that is too long only as much as shows that it is."""
    number = 0
    while raw := handle.readline(LINE_BYTES + 2):
        number += 1
        rest = raw
        while not rest.endswith(b"\n") and (rest := handle.readline(LINE_BYTES)):
            pass
        yield number, raw


def _parse(raw: bytes, number: int, note: Callable[[Problem], None]) -> dict[str, Any] | None:
    if len(raw.rstrip(b"\r\n")) > LINE_BYTES:
        note(_too_long(number, "more than"))
        return None
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        note(Problem(number, None, f"not UTF-8 at byte {error.start}", "Save the file as UTF-8."))
        return None
    if not text.strip():
        note(Problem(number, None, "the line is blank", "Remove it."))
        return None
    if text.startswith("\ufeff"):
        note(Problem(number, None, "the file begins with a byte order mark", "Save it as UTF-8 without one."))
        return None
    if len(text) > LINE_CHARACTERS:
        note(_too_long(number, f"{len(text):,} characters, more than"))
        return None
    try:
        line = _DECODER.decode(text)
    except RecursionError:
        note(Problem(number, None, "brackets are nested too deeply", "Write the attribute flatter."))
        return None
    except ValueError as error:
        note(Problem(number, None, f"not JSON: {error}", "Each line is one JSON object, without line breaks in it."))
        return None
    if not isinstance(line, dict):
        note(Problem(number, None, "not a JSON object", 'Write {"source-ref": "s3://…"}.'))
        return None
    return line


def _too_long(number: int, size: str) -> Problem:
    return Problem(
        number, None, f"{size} the {LINE_CHARACTERS:,} that a line may have", "Keep long data in a file of its own."
    )


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON value")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _line_problems(line: dict[str, Any], number: int, source_key: str, attribute: str | None) -> Iterator[Problem]:
    if source_key not in line:
        yield Problem(number, source_key, "the key is missing", "This task type needs it in every line.")
    elif not isinstance(line[source_key], str) or not line[source_key].strip():
        yield Problem(number, source_key, "a text that is not empty is needed", "Write it in quotes.")
    if "source" in line and "source-ref" in line:
        yield Problem(number, "source", "source and source-ref stand together", "Keep the one to be labeled.")
    for key in line:
        if key.startswith("$"):
            yield Problem(number, key, "names that begin with $ are reserved", "Rename the attribute.")
    if attribute is not None and attribute in line:
        yield Problem(
            number, attribute, "the object has this label already", "Leave it out, or name another attribute."
        )


def _long_attributes(line: dict[str, Any], number: int) -> Iterator[Problem]:
    for key, value in line.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if len(text) > ATTRIBUTE_CHARACTERS:
            yield Problem(
                number,
                key,
                f"{len(text):,} characters, more than the {ATTRIBUTE_CHARACTERS:,} that an attribute may have",
                "Keep long data in a file of its own.",
            )
