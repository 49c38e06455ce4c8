"""Lists that are given out page by page."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, Connection, Row, Select, Table, and_, func, or_

from trueground.service.engine.errors import Invalid
from trueground.service.store.tables import UTCDateTime

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some of a list's items, and the token that leads to the next ones (``None`` on the last page)."""

    items: Sequence[Item]
    token: str | None


def page_of(
    connection: Connection,
    query: Select[Any],
    column: Column[Any],
    key: Column[Any],
    *,
    descending: bool,
    limit: int,
    token: str | None,
) -> Page[Row[Any]]:
    """One page of a query sorted by ``column``, then by ``key``, which is unique.

    The token holds the last row's place and not a count, so rows that come or go do not shift the pages.
    """
    if token is not None:
        value, last = _read(token, column, key, descending)
        further = (column < value, key < last) if descending else (column > value, key > last)
        query = query.where(or_(further[0], and_(column == value, further[1])))
    order = (column.desc(), key.desc()) if descending else (column, key)
    rows = connection.execute(query.order_by(*order).limit(limit + 1)).all()
    if len(rows) <= limit:
        return Page(rows, None)
    last_row = rows[limit - 1]._mapping
    return Page(rows[:limit], _write(_list_name(column, descending), last_row[column], last_row[key]))


def named_page(
    connection: Connection,
    query: Select[Any],
    table: Table,
    *,
    name_contains: str | None,
    sort_by: str,
    descending: bool,
    limit: int,
    token: str | None,
) -> Page[Row[Any]]:
    """A page of things with a ``name`` and a ``created_at``, sorted by ``Name`` or else by their creation."""
    if name_contains:
        query = query.where(func.lower(table.c.name).contains(name_contains.lower(), autoescape=True))
    column = table.c.name if sort_by == "Name" else table.c.created_at
    return page_of(connection, query, column, table.c.name, descending=descending, limit=limit, token=token)


@dataclass(frozen=True, slots=True)
class Created:
    """Which part of a list by creation is asked for.

    Attributes:
        after, before: only what was created after and before these times.
        descending: the latest first.
        limit: items on a page.
        token: where the page before this one ended. Raises :class:`Invalid` if it is not one of this list.
    """

    after: datetime | None = None
    before: datetime | None = None
    descending: bool = False
    limit: int = 100
    token: str | None = None


def created_page(connection: Connection, query: Select[Any], table: Table, wanted: Created) -> Page[Row[Any]]:
    """A page of things with a ``name`` and a ``created_at``, sorted by their creation."""
    created = table.c.created_at
    if wanted.after is not None:
        query = query.where(created > wanted.after)
    if wanted.before is not None:
        query = query.where(created < wanted.before)
    return page_of(
        connection,
        query,
        created,
        table.c.name,
        descending=wanted.descending,
        limit=wanted.limit,
        token=wanted.token,
    )


def _list_name(column: Column[Any], descending: bool) -> str:
    """What a token says of its list, so that in one of another order it does not silently skip rows."""
    return f"{column} {'descending' if descending else 'ascending'}"


def _write(name: str, value: Any, key: Any) -> str:
    text = value.isoformat() if isinstance(value, datetime) else value
    return base64.urlsafe_b64encode(json.dumps([name, text, key]).encode()).decode()


def _read(token: str, column: Column[Any], key_column: Column[Any], descending: bool) -> tuple[Any, Any]:
    try:
        name, value, key = json.loads(base64.urlsafe_b64decode(token))
        if name != _list_name(column, descending):
            raise ValueError
        if isinstance(column.type, UTCDateTime):
            value = datetime.fromisoformat(value)
        # What a database would choke on is no token of ours either.
        fits = isinstance(key, int) and abs(key) < 2**63 if key_column.type.python_type is int else _is_text(key)
        if not fits or not (isinstance(value, datetime) or _is_text(value)):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise Invalid("NextToken is not one of this list") from None
    return value, key


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable()
