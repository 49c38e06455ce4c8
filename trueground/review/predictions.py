"""Prediction lines: JSON Lines of what a model said of which object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trueground import strict_json
from trueground.errors import InputError
from trueground.review.conditions import TYPES
from trueground.storage import Storage


def read_lines(storage: Storage, uri: str) -> Iterator[tuple[int, bytes]]:
    """The lines of a predictions file with their numbers, one at a time. Blank lines are passed over.

    Raises:
        InputError: there is no such file.
    """
    try:
        handle = storage.open(uri)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError("there is no such file of predictions", file=uri) from None
    with handle:
        yield from strict_json.read_lines(handle)


def parse_prediction(raw: bytes, service: str | None = None) -> dict[str, Any]:
    """What a line says. Raises :class:`InputError` that names the field which is missing or wrong.

    Args:
        raw: the line.
        service: what made the predictions of the file, for lines that do not say; those that say something else are
            wrong.
    """
    try:
        line = strict_json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}") from None
    if not isinstance(line, dict):
        raise InputError("a JSON object is needed")
    if "failure-reason" in line:
        # Whoever was to make the prediction could not.
        raise InputError(str(line["failure-reason"]))
    if not isinstance(line.get("id"), str) or not line["id"]:
        raise InputError("a text that is not empty is needed", field="id")
    if line.setdefault("service", service) not in tuple(TYPES):
        raise InputError(f"must be one of {', '.join(TYPES)}", field="service")
    if service is not None and line["service"] != service:
        raise InputError(f"{line['service']!r}, where the project's source says {service!r}", field="service")
    given = [key for key in ("source-ref", "source") if key in line]
    if len(given) != 1 or not isinstance(line[given[0]], str):
        raise InputError("one of source-ref and source is needed, as a text", field="source-ref")
    if "prediction" not in line:
        raise InputError("the prediction is missing", field="prediction")
    if line["service"] == "custom":
        _check_shares(line["prediction"])
    return line


def _check_shares(prediction: Any) -> None:
    """Raise :class:`InputError` where a confidence or a probability is there but is not one."""
    if not isinstance(prediction, dict):
        return
    shares = prediction.get("probabilities")
    given = {"confidence": prediction.get("confidence")}
    given |= {f"probabilities.{name}": share for name, share in shares.items()} if isinstance(shares, dict) else {}
    for name, share in given.items():
        number = isinstance(share, (int, float)) and not isinstance(share, bool)
        # Not "share < 0 or share > 1": neither holds of NaN.
        if share is not None and not (number and 0 <= share <= 1):
            raise InputError(f"{share!r} is not a number between 0 and 1", field=f"prediction.{name}")
