"""Tags of jobs, work teams and what else has an ARN, by its last part (``labeling-job/<name>``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from trueground.service.engine.errors import LimitExceeded
from trueground.service.store.tables import tags

TAGS_AT_MOST = 50


def get(connection: Connection, resource: str) -> dict[str, str]:
    """The tags of a resource, in the order of their keys."""
    query = select(tags.c.key, tags.c.value).where(tags.c.resource == resource).order_by(tags.c.key)
    return {row.key: row.value for row in connection.execute(query)}


def put(connection: Connection, resource: str, new: Mapping[str, str]) -> None:
    """Add tags; a key that is there gets the new value. Raises :class:`LimitExceeded` beyond 50."""
    if not new:
        return
    if len({*get(connection, resource), *new}) > TAGS_AT_MOST:
        raise LimitExceeded(f"a resource can have {TAGS_AT_MOST} tags")
    remove(connection, resource, list(new))
    connection.execute(insert(tags), [{"resource": resource, "key": key, "value": value} for key, value in new.items()])


def remove(connection: Connection, resource: str, keys: list[str]) -> None:
    """Take tags away; one that is not there is passed over."""
    connection.execute(delete(tags).where(tags.c.resource == resource, tags.c.key.in_(keys)))


def remove_all(connection: Connection, resource: str) -> None:
    """Take all tags of a resource away: it is deleted."""
    connection.execute(delete(tags).where(tags.c.resource == resource))


def of_request(request: Mapping[str, Any]) -> dict[str, str]:
    """The tags that a request to create something gives it."""
    return {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}


def without(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request without its tags, which change apart from it."""
    return {key: value for key, value in request.items() if key != "Tags"}


def resources_with(connection: Connection, wanted: Mapping[str, str]) -> set[str]:
    """The resources that carry all of these tags."""
    found: set[str] | None = None
    for key, value in wanted.items():
        query = select(tags.c.resource).where(tags.c.key == key, tags.c.value == value)
        with_tag = set(connection.scalars(query))
        found = with_tag if found is None else found & with_tag
    return found or set()
