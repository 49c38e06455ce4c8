"""Events in EventBridge's form: kept in the transaction that makes them true, delivered to webhooks afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from trueground.service.settings import ServiceSettings
from trueground.service.store.tables import deliveries, events, webhooks

LABELING_JOB = "SageMaker Ground Truth Labeling Job State Change"
HUMAN_LOOP = "SageMaker A2I HumanLoop Status Change"
DETAIL_TYPES = (LABELING_JOB, HUMAN_LOOP)


def record(connection: Connection, *, resource: str, detail_type: str, detail: Mapping[str, Any], at: datetime) -> None:
    """Note an event, in the transaction of the change that it tells of: either both are there, or neither.

    Events of one resource reach each webhook in the order in which they were recorded, so whoever calls this holds a
    lock on the row of the resource.

    Args:
        connection: the transaction.
        resource: the last part of its ARN: ``labeling-job/x``.
        detail_type: ``LABELING_JOB`` or ``HUMAN_LOOP``.
        detail: what AWS's events of this type say, and what else is worth knowing.
        at: when it happened.
    """
    body = {"id": str(uuid.uuid4()), "time": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "detail": dict(detail)}
    event_id = connection.execute(
        insert(events)
        .values(resource=resource, detail_type=detail_type, body=body, created_at=at)
        .returning(events.c.id)
    ).scalar_one()
    query = select(webhooks.c.id, webhooks.c.detail_types).where(webhooks.c.disabled_at.is_(None))
    wanting = [row.id for row in connection.execute(query) if not row.detail_types or detail_type in row.detail_types]
    if wanting:
        rows = [{"webhook_id": one, "event_id": event_id, "attempts": 0, "next_at": at} for one in wanting]
        connection.execute(insert(deliveries), rows)


def envelope(settings: ServiceSettings, event: Row[Any]) -> dict[str, Any]:
    """An event as EventBridge sends it. ``event``: a row with ``resource``, ``detail_type`` and ``body``."""
    return {
        "version": "0",
        "id": event.body["id"],
        "detail-type": event.detail_type,
        "source": "aws.sagemaker",
        "account": settings.account,
        "time": event.body["time"],
        "region": settings.region,
        "resources": [settings.arn(event.resource)],
        "detail": event.body["detail"],
    }
