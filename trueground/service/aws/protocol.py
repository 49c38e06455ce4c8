"""From an HTTP request to its operation, and back: what both protocols share, and JSON 1.1."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from trueground.service.addresses import client_address
from trueground.service.aws.address import remember
from trueground.service.aws.errors import AwsError, aws_error, status_of
from trueground.service.aws.model import service_model
from trueground.service.aws.registry import HEADERS, OPERATIONS, Operation
from trueground.service.aws.serialize import serialize
from trueground.service.aws.signature import SignedRequest, once, verify
from trueground.service.aws.validation import parse_input
from trueground.service.engine import keys, warnings
from trueground.service.engine.actors import Actor, acting
from trueground.service.store.database import now

if TYPE_CHECKING:
    from trueground.service.context import Service

log = logging.getLogger(__name__)
_TARGET = "SageMaker."
_READS = ("Describe", "List", "Render")
"""Operations that change nothing; their requests may come again."""
_MEDIA_TYPE = "application/x-amz-json-1.1"


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asks for.

    Attributes:
        name: of the operation.
        run: does it, and gives the content of the response.
        model: botocore's model of the service, which has its errors.
        not_found: AWS's error where what it names is not there.
        failure: AWS's name of a fault of the service's own.
    """

    name: str
    run: Callable[[], dict[str, Any]]
    model: Any
    not_found: str = "ResourceNotFound"
    failure: str = "InternalFailure"


def call_of(service: Service, operation: Operation, model: Any, content: Any) -> Call:
    """The call of an operation. ``model``: botocore's, of the operation; ``content``: yet to be checked."""

    def run() -> dict[str, Any]:
        response = operation.handler(service, parse_input(model.input_shape, content))
        headers = response.pop(HEADERS, None)
        result: dict[str, Any] = serialize(model.output_shape, response) if model.output_shape is not None else {}
        return result if headers is None else {**result, HEADERS: headers}

    return Call(model.name, run, model.service_model, operation.not_found, operation.failure)


async def answer(service: Service, request: Request) -> Response:
    """Answer one request in JSON 1.1, which names its operation in a header."""

    def find(signed: SignedRequest) -> Call:
        name = signed.headers.get("x-amz-target", "").removeprefix(_TARGET)
        operation = OPERATIONS.get(name)
        if operation is None:
            offered = ", ".join(sorted(OPERATIONS))
            raise AwsError("UnknownOperationException", f"{name!r} is not offered here. Offered are: {offered}", 404)
        return call_of(service, operation, service_model().operation_model(name), read_json(signed.body))

    return await serve(service, request, service.settings.body_limit, find, refuse_in_json, _MEDIA_TYPE)


def refuse_in_json(error: AwsError) -> Response:
    """The response of an error in JSON 1.1."""
    return respond(status_of(error, service_model()), {"__type": error.code, "message": error.message}, _MEDIA_TYPE)


async def serve(
    service: Service,
    request: Request,
    limit: int,
    find: Callable[[SignedRequest], Call],
    refuse: Callable[[AwsError], Response],
    media_type: str,
) -> Response:
    """Answer one request of an AWS client.

    Args:
        service: what answers.
        request: as it came.
        limit: the largest body taken, in bytes.
        find: what a request that is rightly signed asks for.
        refuse: makes the response of an error.
        media_type: of responses.
    """
    remember(request)
    address = client_address(request, service.settings.trusted_proxies)

    def handle(signed: SignedRequest) -> dict[str, Any]:
        signature = verify(signed, lambda key: keys.secret_of(service.db, service.secrets, key), now())
        call = find(signed)

        def act() -> dict[str, Any]:
            return _perform(call, Actor(f"key/{signature.key_id}", address))

        if call.name.startswith(_READS):
            return act()
        result: dict[str, Any] = once(signature, service.once, act)
        return result

    try:
        with warnings.collecting() as given:
            content = await run_in_threadpool(handle, await read_request(request, limit))
        headers = content.pop(HEADERS, {})
        return respond(200, content, media_type, {**headers, **warnings.header(given)})
    except AwsError as error:
        return refuse(error)


def _perform(call: Call, actor: Actor) -> dict[str, Any]:
    try:
        with acting(actor):
            result = call.run()
    except Exception as error:
        known = aws_error(error, call.model, not_found=call.not_found)
        if known is None:
            log.exception("%s failed", call.name)
            known = AwsError(call.failure, "The service failed; its log says why.", 500)
        log.info("%s by %s: %s", call.name, actor.id, known.code)
        raise known from error
    log.debug("%s by %s", call.name, actor.id)
    return result


def read_json(body: bytes) -> Any:
    """The JSON of a body; an empty one is an empty object. Raises :class:`AwsError`."""
    try:
        return json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise AwsError("SerializationException", "The body is not JSON") from None


def respond(
    status: int, content: dict[str, Any], media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """A response in JSON with the id that AWS's clients log."""
    known = {"x-amzn-RequestId": str(uuid.uuid4()), **(headers or {})}
    return Response(json.dumps(content), status, known, media_type=media_type)


async def read_request(request: Request, limit: int) -> SignedRequest:
    """A request with its whole body, of ``limit`` bytes at most. Raises :class:`AwsError`."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
    except HTTPException as error:
        # The guard around the service stops what is too large or too slow.
        if error.status_code == 408:
            raise AwsError("RequestTimeoutException", error.detail, 408) from None
        raise AwsError("RequestEntityTooLargeException", f"A request can have {limit} bytes at most.", 413) from None
    headers = request.headers
    return SignedRequest(
        method=request.method,
        # As sent: with the prefix the service is mounted below, and before percent-decoding.
        path=request.scope["raw_path"].decode("latin-1").partition("?")[0],
        query=request.scope["query_string"].decode("latin-1"),
        headers={name: ",".join(headers.getlist(name)) for name in headers},
        body=bytes(body),
    )
