"""Objects pushed into a running streaming job over HTTP, without SNS: ``POST /streams/{job}/objects``.

The body is JSON Lines, as in a manifest: one data object a line. The request is signed as those of the API are.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from trueground.service.aws.errors import AwsError, aws_error
from trueground.service.aws.model import service_model
from trueground.service.aws.protocol import read_request, respond
from trueground.service.aws.signature import SignedRequest, once, verify
from trueground.service.engine import keys, streaming
from trueground.service.engine.streaming import Pushed
from trueground.service.store.database import now

if TYPE_CHECKING:
    from trueground.service.context import Service

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/json"


def install(app: FastAPI, service: Service) -> None:
    """Add the route, at the top and below ``/aws``."""

    async def endpoint(request: Request, job: str) -> Response:
        def handle(signed: SignedRequest) -> dict[str, Any]:
            signature = verify(signed, lambda key: keys.secret_of(service.db, service.secrets, key), now())
            result: dict[str, Any] = once(signature, service.once, lambda: _push(service, job, signed.body))
            return result

        try:
            signed = await read_request(request, service.settings.body_limit)
            return respond(200, await run_in_threadpool(handle, signed), MEDIA_TYPE)
        except AwsError as error:
            return respond(error.status, {"__type": error.code, "message": error.message}, MEDIA_TYPE)

    for prefix in ("", "/aws"):
        app.add_api_route(f"{prefix}/streams/{{job}}/objects", endpoint, methods=["POST"], include_in_schema=False)


def _push(service: Service, job: str, body: bytes) -> dict[str, Any]:
    try:
        lines = [line for line in body.decode("utf-8").split("\n") if line.strip()]
    except UnicodeDecodeError:
        raise AwsError("ValidationException", "The body is not UTF-8") from None
    if not lines:
        raise AwsError("ValidationException", "The body is empty: send one data object on each line")
    try:
        pushed = [Pushed(line.rstrip("\r")) for line in lines]
        outcomes = streaming.add_objects(service.db, service.storage, service.settings, job, pushed)
    except Exception as error:
        known = aws_error(error, service_model(), not_found="ResourceNotFound")
        if known is None:
            log.exception("objects could not be added to %s", job)
            known = AwsError("InternalFailure", "The service failed; its log says why.", 500)
        raise known from error
    results = []
    for outcome in outcomes:
        told: dict[str, Any] = {"Status": outcome.status}
        if outcome.position is not None:
            told["DatasetObjectId"] = str(outcome.position)
        if outcome.reason is not None:
            told["Reason"] = outcome.reason
        results.append(told)
    return {"Objects": results}
