"""What the requests of lists have in common."""

from __future__ import annotations

from typing import Any

from trueground.service.engine.pages import Created


def created(request: dict[str, Any]) -> Created:
    """Which part of a list by creation a request asks for."""
    return Created(
        after=request.get("CreationTimeAfter"),
        before=request.get("CreationTimeBefore"),
        descending=request.get("SortOrder") == "Descending",
        limit=request.get("MaxResults", 100),
        token=request.get("NextToken"),
    )
