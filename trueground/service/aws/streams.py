"""Objects pushed into a running streaming job over HTTP, without SNS: ``POST /streams/{job}/objects``.

The body is JSON Lines, as in a manifest: one data object a line. The request is signed as those of the API are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response

from trueground.service.aws.errors import AwsError
from trueground.service.aws.model import service_model
from trueground.service.aws.protocol import Call, refuse_in_json, serve
from trueground.service.aws.signature import SignedRequest
from trueground.service.engine import streaming
from trueground.service.engine.streaming import Pushed

if TYPE_CHECKING:
    from trueground.service.context import Service

MEDIA_TYPE = "application/json"


def install(app: FastAPI, service: Service) -> None:
    """Add the route, at the top and below ``/aws``."""

    async def endpoint(request: Request, job: str) -> Response:
        def find(signed: SignedRequest) -> Call:
            return Call("PushObjects", lambda: _push(service, job, signed.body), service_model())

        return await serve(service, request, service.settings.body_limit, find, refuse_in_json, MEDIA_TYPE)

    for prefix in ("", "/aws"):
        app.add_api_route(f"{prefix}/streams/{{job}}/objects", endpoint, methods=["POST"], include_in_schema=False)


def _push(service: Service, job: str, body: bytes) -> dict[str, Any]:
    try:
        lines = [line for line in body.decode("utf-8").split("\n") if line.strip()]
    except UnicodeDecodeError:
        raise AwsError("ValidationException", "The body is not UTF-8") from None
    if not lines:
        raise AwsError("ValidationException", "The body is empty: send one data object on each line")
    pushed = [Pushed(line.rstrip("\r")) for line in lines]
    outcomes = streaming.add_objects(service.db, service.storage, service.settings, job, pushed)
    results = []
    for outcome in outcomes:
        told: dict[str, Any] = {"Status": outcome.status}
        if outcome.position is not None:
            told["DatasetObjectId"] = str(outcome.position)
        if outcome.reason is not None:
            told["Reason"] = outcome.reason
        results.append(told)
    return {"Objects": results}
