"""The forms in which output is written."""

from __future__ import annotations

import json
from datetime import datetime
from types import TracebackType
from typing import Any

from trueground.storage import Storage

_AS_IT_IS = json.JSONEncoder(ensure_ascii=False)


class ArrayFile:
    """A JSON array that is written element by element; the file appears when the block ends, or not at all."""

    def __init__(self, storage: Storage, uri: str) -> None:
        self._writer = storage.writer(uri)
        self._handle: Any = None
        self._begun = False

    def __enter__(self) -> ArrayFile:
        self._handle = self._writer.__enter__()
        self._handle.write(b"[")
        return self

    def add(self, entry: dict[str, Any]) -> None:
        """Write one element."""
        self._handle.write((b",\n" if self._begun else b"") + to_json(entry))
        self._begun = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._handle.write(b"]\n")
        self._writer.__exit__(kind, error, trace)


def to_json(value: Any) -> bytes:
    """As people read it: letters as they are, in UTF-8."""
    try:
        return _AS_IT_IS.encode(value).encode()
    except UnicodeEncodeError:
        # Half a surrogate pair is JSON but not UTF-8.
        return json.dumps(value).encode()


def file_time(time: datetime) -> str:
    """A time as it stands in AWS's file names."""
    return time.strftime("%Y-%m-%d_%H:%M:%S")


def milliseconds(time: datetime | None) -> str:
    """A time as it stands in worker-response files."""
    assert time is not None
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"
