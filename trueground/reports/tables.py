"""The labels as a table, for those who would rather read columns than manifest lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trueground.manifests import object_key
from trueground.storage import Storage
from trueground.tasks.base import DataObject

SCHEMA = pa.schema(
    [
        pa.field("object", pa.string(), nullable=False),
        pa.field("source_ref", pa.string()),
        pa.field("source", pa.string()),
        pa.field("label", pa.string()),
        pa.field("confidence", pa.float64()),
        pa.field("human", pa.bool_()),
        pa.field("adjusted", pa.bool_()),
        pa.field("job_name", pa.string()),
        pa.field("created", pa.timestamp("us")),
        pa.field("failure_reason", pa.string()),
    ]
)
"""One row an object. ``label`` is the class name where there is one, else the value as JSON; ``created`` is UTC;
``adjusted`` is null where no one was asked to adjust."""


def labels_table(lines: Iterable[DataObject], attribute: str) -> pa.Table:
    """A table of :data:`SCHEMA` from the lines of an augmented manifest.

    Args:
        lines: manifest lines, labeled or not; an unlabeled one gives a row of nulls after its key and source.
        attribute: the label attribute.
    """
    return pa.Table.from_pylist([_row(line, attribute) for line in lines], schema=SCHEMA)


def write_parquet(storage: Storage, uri: str, table: pa.Table) -> None:
    """Write a table as one Parquet file; it appears whole or not at all."""
    with storage.writer(uri) as handle:
        pq.write_table(table, handle, compression="zstd")


def _row(line: DataObject, attribute: str) -> dict[str, Any]:
    facts = line.get(f"{attribute}-metadata", {})
    status, created = facts.get("adjustment-status"), facts.get("creation-date")
    return {
        "object": object_key(line),
        "source_ref": line.get("source-ref"),
        "source": line.get("source"),
        "label": _label(line.get(attribute), facts),
        "confidence": _confidence(facts),
        "human": facts["human-annotated"] == "yes" if "human-annotated" in facts else None,
        "adjusted": status == "adjusted" if status else None,
        "job_name": facts.get("job-name"),
        "created": datetime.fromisoformat(created).replace(tzinfo=None) if created else None,
        "failure_reason": facts.get("failure-reason"),
    }


def _label(value: Any, facts: dict[str, Any]) -> str | None:
    if value is None or "failure-reason" in facts:
        return None
    if "class-name" in facts:
        return str(facts["class-name"])
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _confidence(facts: dict[str, Any]) -> float | None:
    """The confidence of the label; of one with parts, such as boxes, the lowest."""
    if "confidence" in facts:
        return float(facts["confidence"])
    parts = [part.get("confidence") for part in facts.get("objects", []) or facts.get("entities", [])]
    parts += list(facts.get("confidence-map", {}).values())
    known = [float(part) for part in parts if isinstance(part, int | float)]
    return min(known) if known else None
