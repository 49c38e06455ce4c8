"""Events of the labeling service as asset events of Airflow, so that DAGs can be scheduled on them.

A webhook of the service brings them here, to the app that Airflow's api-server mounts. That app has the service's
store, so it knows the secrets that deliveries are signed with, and nothing has to be set up twice. An event of a
labeling job belongs to the assets ``x-trueground://labeling-jobs`` and ``x-trueground://labeling-jobs/<name>``, one of
a human loop to ``x-trueground://human-loops`` and ``x-trueground://flow-definitions/<name>``; only those that some DAG
names exist in Airflow.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

PATH = "/airflow/asset-events"
SCHEME = "x-trueground://"


def install(app: FastAPI) -> None:
    """Add the receiver to the service's app."""
    from fastapi import Request
    from fastapi.responses import JSONResponse
    from starlette.concurrency import run_in_threadpool

    from trueground.service.engine.webhooks import secrets_of
    from trueground.service.webhook_signature import is_signed

    service = app.state.service

    async def receive(request: Request) -> JSONResponse:
        body = await request.body()
        secrets = await run_in_threadpool(secrets_of, service.db, service.secrets)
        if not any(is_signed(secret, request.headers, body) for secret in secrets):
            return JSONResponse({"error": "this was not signed by a webhook of this labeling service"}, 401)
        return JSONResponse({"assets": await run_in_threadpool(register, json.loads(body))})

    # With annotations that are texts, FastAPI would look for Request in this module.
    receive.__annotations__ = {"request": Request, "return": JSONResponse}
    app.post(PATH)(receive)


def register(event: dict[str, Any]) -> list[str]:
    """Create the asset events of one event; returns the URIs of the assets that got one.

    A delivery may come twice; the second one changes nothing.
    """
    from airflow.assets.manager import asset_manager
    from airflow.models.asset import AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    extra = {"id": event["id"], "detail-type": event["detail-type"], "time": event["time"]}
    extra |= {"resource": event["resources"][0], **event["detail"]}
    registered = []
    with create_session() as session:
        known = session.scalars(
            select(AssetModel).where(AssetModel.uri.in_(asset_uris(event))).order_by(AssetModel.uri)
        )
        for asset in known.all():
            if not _has(session, asset.id, event):
                # What Airflow's own route POST /assets/events does.
                asset_manager.register_asset_change(
                    asset=asset, extra=extra, session=session, source_is_api=True, api_user_teams=set()
                )
                registered.append(asset.uri)
    return registered


def asset_uris(event: dict[str, Any]) -> list[str]:
    """The assets that an event belongs to."""
    kind, _, name = event["resources"][0].rpartition(":")[2].partition("/")
    if kind == "human-loop":
        flow = event["detail"]["flowDefinitionArn"].rpartition("/")[2]
        return [f"{SCHEME}human-loops", f"{SCHEME}flow-definitions/{flow}"]
    return [f"{SCHEME}{kind}s", f"{SCHEME}{kind}s/{name}"]


def _has(session: Any, asset_id: int, event: dict[str, Any]) -> bool:
    """Whether an asset had this event before. One that came earlier cannot have been registered before it happened."""
    from airflow.models.asset import AssetEvent
    from sqlalchemy import select

    since = datetime.fromisoformat(event["time"]) - timedelta(minutes=5)
    earlier = select(AssetEvent.extra).where(AssetEvent.asset_id == asset_id, AssetEvent.timestamp >= since)
    return any(extra.get("id") == event["id"] for extra in session.scalars(earlier))
