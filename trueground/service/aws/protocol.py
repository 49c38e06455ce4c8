"""JSON 1.1 over HTTP: from a request to its operation, and back."""

from __future__ import annotations

import json
import logging
import uuid
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from trueground.service.aws.errors import AwsError, aws_error
from trueground.service.aws.model import service_model
from trueground.service.aws.registry import OPERATIONS
from trueground.service.aws.serialize import serialize
from trueground.service.aws.signature import SignedRequest, verify
from trueground.service.aws.validation import parse_input
from trueground.service.engine import keys
from trueground.service.store.database import now

if TYPE_CHECKING:
    from trueground.service.context import Service

log = logging.getLogger(__name__)
_TARGET = "SageMaker."
_MEDIA_TYPE = "application/x-amz-json-1.1"


async def answer(service: Service, request: Request) -> Response:
    """Answer one request of an AWS client."""
    try:
        signed = await _read(request, service.settings.body_limit)
        return _respond(200, await run_in_threadpool(_handle, service, signed))
    except AwsError as error:
        return _respond(error.status, {"__type": error.code, "message": error.message})


def _handle(service: Service, request: SignedRequest) -> dict[str, Any]:
    key_id = verify(request, lambda key: keys.secret_of(service.db, service.secrets, key), now())
    name = request.headers.get("x-amz-target", "").removeprefix(_TARGET)
    operation = OPERATIONS.get(name)
    if operation is None:
        offered = ", ".join(sorted(OPERATIONS))
        raise AwsError("UnknownOperationException", f"{name!r} is not offered here. Offered are: {offered}", 404)
    model = service_model().operation_model(name)
    try:
        response = operation.handler(service, parse_input(model.input_shape, _json(request.body)))
    except Exception as error:
        known = aws_error(error, not_found=operation.not_found)
        if known is None:
            log.exception("%s failed", name)
            known = AwsError("InternalFailure", "The service failed; its log says why.", 500)
        log.info("%s by %s: %s", name, key_id, known.code)
        raise known from error
    log.debug("%s by %s", name, key_id)
    result: dict[str, Any] = serialize(model.output_shape, response) if model.output_shape is not None else {}
    return result


async def _read(request: Request, limit: int) -> SignedRequest:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise AwsError("RequestEntityTooLargeException", f"A request can have {limit} bytes at most.", 413)
    headers = request.headers
    return SignedRequest(
        method=request.method,
        # As sent: with the prefix the service is mounted below, and before percent-decoding.
        path=request.scope["raw_path"].decode("latin-1").partition("?")[0],
        query=request.scope["query_string"].decode("latin-1"),
        headers={name: ",".join(headers.getlist(name)) for name in headers},
        body=bytes(body),
    )


def _json(body: bytes) -> Any:
    try:
        return json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise AwsError("SerializationException", "The body is not JSON") from None


def _respond(status: int, content: dict[str, Any]) -> Response:
    headers = {"x-amzn-RequestId": str(uuid.uuid4())}
    return Response(json.dumps(content), status, headers, media_type=_MEDIA_TYPE)
