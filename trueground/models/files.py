"""Model files: skops, which holds data and no code, with a mark of what it is and of which version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trueground.errors import InputError


def dump_state(state: Mapping[str, Any], mark: str, version: int) -> bytes:
    """A model's parts as a file. ``mark``: what sort of model it is."""
    from skops import io

    content: bytes = io.dumps({mark: version, **state})
    return content


def load_state(content: bytes, mark: str, version: int, parts: set[str]) -> dict[str, Any]:
    """The parts that :func:`dump_state` was given.

    Raises:
        InputError: it is no model file, one of another sort or version, or has other ``parts``.
    """
    from skops import io

    try:
        state = io.loads(content)
    except Exception as error:
        # Whatever the reader trips over, the file is not one of ours.
        raise InputError(f"not a model file: {error}") from error
    if not isinstance(state, dict) or state.pop(mark, None) != version:
        raise InputError("the model file is of another version", hint="Train the model again.")
    if set(state) != parts:
        raise InputError("the model file lacks parts of a model, or holds others", hint="Train the model again.")
    return state
