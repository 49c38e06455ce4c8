"""Write a manifest."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from trueground.storage import Storage


def write_manifest(storage: Storage, uri: str, lines: Iterable[dict[str, Any]]) -> int:
    """Write data objects as JSON Lines, streaming; the file appears whole. Returns how many there are."""
    count = 0
    with storage.writer(uri) as handle:
        for line in lines:
            handle.write(encoded(line) + b"\n")
            count += 1
    return count


def encoded(line: dict[str, Any]) -> bytes:
    """A line as it stands in a file, without its end."""
    try:
        return json.dumps(line, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        # Half of a surrogate pair is JSON but not UTF-8; escaped it is both.
        return json.dumps(line).encode("ascii")
