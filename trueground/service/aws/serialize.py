"""Responses as botocore's model wants them: its members only, times as epoch seconds or as the model says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any


def serialize(shape: Any, value: Any) -> Any:
    """A response for ``json.dumps``. Members that are ``None`` are left out.

    Raises:
        KeyError: a member that the shape does not have: a fault of ours.
    """
    if shape.type_name == "structure":
        return {name: serialize(shape.members[name], member) for name, member in value.items() if member is not None}
    if shape.type_name == "list":
        return [serialize(shape.member, item) for item in value]
    if shape.type_name == "map":
        assert isinstance(value, Mapping)
        return {key: serialize(shape.value, item) for key, item in value.items()}
    if isinstance(value, datetime):
        if shape.serialization.get("timestampFormat") == "iso8601":
            return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
        # Cut, not rounded: a time must not be told before it was.
        return int(value.timestamp() * 1000) / 1000
    return value
