"""Check a manifest against Ground Truth's rules, and that every object it names can be labeled.

The rules: https://docs.aws.amazon.com/sagemaker/latest/dg/sms-input-data-input-manifest.html
"""

from __future__ import annotations

import hashlib
import heapq
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from trueground.errors import InputError
from trueground.manifests.images import image_problem
from trueground.manifests.lines import LINE_BYTES, Problem, object_problems, parse_object
from trueground.manifests.read import object_key, open_manifest
from trueground.storage import Storage
from trueground.strict_json import read_long_lines

READERS = 8
"""Images looked at at the same time: on S3 each is a round trip."""
AHEAD = 4 * READERS
PROGRESS_EVERY = 1000


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
        for number, raw in read_long_lines(handle, LINE_BYTES):
            try:
                line = parse_object(raw, number)
            except InputError as error:
                found.add(Problem(number, None, error.problem, error.hint))
                continue
            objects += 1
            for problem in object_problems(line, number, source_key=source_key, size=len(raw)):
                found.add(problem)
            if label_attribute is not None and label_attribute in line:
                hint = "Leave it out, or name another attribute."
                found.add(Problem(number, label_attribute, "the object has this label already", hint))
            if isinstance(line.get(source_key), str) and line[source_key].strip():
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
