"""Read a manifest: JSON Lines of data objects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import IO, Any

from trueground import strict_json
from trueground.errors import InputError
from trueground.storage import Storage


def object_key(line: dict[str, Any]) -> str:
    """What names a data object everywhere: its ``source-ref``, or a digest of its text."""
    if "source-ref" in line:
        return str(line["source-ref"])
    # surrogatepass: JSON can hold half of a surrogate pair, which has no UTF-8.
    return "text:" + hashlib.sha256(str(line["source"]).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def read_manifest(storage: Storage, uri: str) -> Iterator[dict[str, Any]]:
    """The data objects of a manifest, one at a time. Blank lines are passed over.

    Raises:
        InputError: there is no such file, or a line is not a JSON object with ``source`` or ``source-ref``.
    """
    with open_manifest(storage, uri) as handle:
        for number, raw in strict_json.read_lines(handle):
            try:
                # Not the strict reader: what was published once is read, whatever it is made of.
                line = json.loads(raw)
            except (ValueError, RecursionError) as error:
                raise InputError(f"not JSON: {error}", file=uri, line=number) from None
            if not isinstance(line, dict) or not ("source-ref" in line or "source" in line):
                raise InputError(
                    "a JSON object with source-ref or source is needed",
                    file=uri,
                    line=number,
                    hint="trueground manifest check tells all that is wrong with a manifest.",
                )
            yield line


def open_manifest(storage: Storage, uri: str) -> IO[bytes]:
    """A manifest's bytes. Raises :class:`InputError` where it cannot be opened."""
    try:
        return storage.open(uri)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError("there is no such manifest", file=uri) from None
