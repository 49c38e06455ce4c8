"""Reviews of predictions as a table: one row a prediction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trueground.storage import Storage

_TEXTS = pa.list_(pa.string())
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source_ref", pa.string()),
        pa.field("source", pa.string()),
        pa.field("service", pa.string()),
        pa.field("prediction", pa.string()),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("final", pa.string()),
        pa.field("agreement", pa.float64()),
        pa.field("reasons", _TEXTS),
        pa.field("reviewers", _TEXTS),
        pa.field("values", _TEXTS),
        pa.field("seconds", pa.float64()),
        pa.field("reviewed_at", pa.timestamp("ms")),
    ]
)
"""Values are the label where the prediction is one, else JSON; ``values`` are what each of ``reviewers`` said, null
where they could not tell. ``seconds`` is the time of all of them together, ``reviewed_at`` the last one's, in UTC."""
ROWS = 1024
"""Rows in memory at a time."""


def write_review_table(storage: Storage, uri: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write merged reviews (lines of ``reviews.jsonl``) as one Parquet file; it appears whole or not at all."""
    left = iter(rows)
    with storage.writer(uri) as handle, pq.ParquetWriter(handle, SCHEMA, compression="zstd") as writer:
        while some := list(islice(left, ROWS)):
            writer.write_table(pa.Table.from_pylist([_row(row) for row in some], schema=SCHEMA))


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    reviews = row["reviews"]
    times = [datetime.fromisoformat(review["submitted_at"]).replace(tzinfo=None) for review in reviews]
    return {
        "id": row["id"],
        "source_ref": row.get("source-ref"),
        "source": row.get("source"),
        "service": row["service"],
        "prediction": _text(row["prediction"]),
        "outcome": row["outcome"],
        "final": _text(row["final"]),
        "agreement": row["agreement"],
        "reasons": row["reasons"],
        "reviewers": [review["worker"] for review in reviews],
        "values": [_text(review["value"]) for review in reviews],
        "seconds": sum(review["seconds"] or 0.0 for review in reviews) if reviews else None,
        "reviewed_at": max(times, default=None),
    }


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
