"""Prediction lines: JSON Lines of what a model said of which object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from trueground.errors import InputError
from trueground.storage import Storage

SERVICES = ("textract", "rekognition", "custom")


def read_predictions(storage: Storage, uri: str) -> Iterator[tuple[int, dict[str, Any] | str, InputError | None]]:
    """The lines of a predictions file, one at a time: its number, what it says, and what is wrong with it.

    A line that is wrong does not end the file: it comes as its text, with an error that names file, line and field.
    Blank lines are passed over. Ids are remembered as 8 bytes each, to find one that comes twice.

    Raises:
        InputError: there is no such file.
    """
    try:
        handle = storage.open(uri)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError("there is no such file of predictions", file=uri) from None
    seen: set[int] = set()
    with handle:
        for number, raw in enumerate(handle, start=1):
            if not raw.strip():
                continue
            try:
                line = _checked(raw)
                key = hash(line["id"])
                if key in seen:
                    raise InputError(f"the id {line['id']!r} stands there twice", field="id")
                seen.add(key)
            except InputError as error:
                text = raw.decode("utf-8", "replace").rstrip("\r\n")
                yield number, text, InputError(error.problem, file=uri, line=number, field=error.field)
            else:
                yield number, line, None


def _checked(raw: bytes) -> dict[str, Any]:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}") from None
    if not isinstance(line, dict):
        raise InputError("a JSON object is needed")
    if not isinstance(line.get("id"), str) or not line["id"]:
        raise InputError("a text that is not empty is needed", field="id")
    if line.get("service") not in SERVICES:
        raise InputError(f"must be one of {', '.join(SERVICES)}", field="service")
    given = [key for key in ("source-ref", "source") if key in line]
    if len(given) != 1 or not isinstance(line[given[0]], str):
        raise InputError("one of source-ref and source is needed, as a text", field="source-ref")
    if "prediction" not in line:
        raise InputError("the prediction is missing", field="prediction")
    return line
