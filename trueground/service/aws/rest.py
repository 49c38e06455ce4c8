"""REST-JSON, which ``sagemaker-a2i-runtime`` speaks: an operation is a method and a path."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from starlette.convertors import PathConvertor, register_url_convertor

from trueground.service.aws.errors import AwsError, status_of
from trueground.service.aws.model import loop_model
from trueground.service.aws.protocol import Call, call_of, read_json, respond, serve
from trueground.service.aws.registry import LOOP_OPERATIONS
from trueground.service.aws.signature import SignedRequest
from trueground.service.engine import origins

if TYPE_CHECKING:
    from trueground.service.context import Service

MEDIA_TYPE = "application/json"
# Each character of the largest input content as its longest escape in JSON, \uXXXX, and room for the rest.
START_BODY_LIMIT = 6 * 3 * 1024 * 1024 + 64 * 1024


class _Anything(PathConvertor):
    """A name may come with slashes and line breaks in it, to be refused as a name."""

    regex = r"[\s\S]*"


register_url_convertor("anything", _Anything())


@dataclass(frozen=True, slots=True)
class _Route:
    """An operation with its method and path."""

    name: str
    method: str
    path: str


def install(app: FastAPI, service: Service) -> None:
    """Add the routes of all operations, at the top and below ``/aws``."""
    # Fixed paths come before those with a name in them.
    for route in sorted(_routes(), key=lambda route: "{" in route.path):
        path = route.path.replace("}", ":anything}")
        for prefix in ("", "/aws"):
            app.add_api_route(
                prefix + path, _endpoint(service, route.name), methods=[route.method], include_in_schema=False
            )


def _routes() -> list[_Route]:
    model = loop_model()
    return [
        _Route(name, model.operation_model(name).http["method"], model.operation_model(name).http["requestUri"])
        for name in LOOP_OPERATIONS
    ]


def _endpoint(service: Service, name: str) -> Any:
    limit = service.settings.body_limit
    if name == "StartHumanLoop":
        limit = max(limit, START_BODY_LIMIT)

    async def endpoint(request: Request) -> Response:
        def find(signed: SignedRequest) -> Call:
            # What it asks for is done in this same thread.
            origins.origin_header.set(signed.headers.get(origins.HEADER, ""))
            model = loop_model().operation_model(name)
            content = _gather(model.input_shape, request.path_params, signed)
            return call_of(service, LOOP_OPERATIONS[name], model, content)

        def refuse(error: AwsError) -> Response:
            headers = {"x-amzn-ErrorType": error.code}
            return respond(status_of(error, loop_model()), {"Message": error.message}, MEDIA_TYPE, headers)

        return await serve(service, request, limit, find, refuse, MEDIA_TYPE)

    return endpoint


def _gather(shape: Any, path: dict[str, str], signed: SignedRequest) -> dict[str, Any]:
    """The members of a request from its path, its query and its body."""
    content = read_json(signed.body) if signed.method == "POST" else {}
    if not isinstance(content, dict):
        raise AwsError("SerializationException", "the request must be an object")
    found = {name: value for name, value in content.items() if not _is_outside(shape, name)}
    query = parse_qs(signed.query, keep_blank_values=True, errors="replace")
    for name, member in shape.members.items():
        location, wire_name = member.serialization.get("location"), member.serialization.get("name", name)
        if location == "uri":
            found[name] = path[wire_name]
        elif location == "querystring" and wire_name in query:
            found[name] = _from_text(member, name, query[wire_name][-1])
    return found


def _is_outside(shape: Any, name: str) -> bool:
    return name in shape.members and "location" in shape.members[name].serialization


def _from_text(member: Any, name: str, text: str) -> Any:
    """A value of the query as JSON would hold it; a time also as seconds since 1970."""
    try:
        if member.type_name == "integer":
            return int(text)
        if member.type_name == "timestamp":
            return _seconds(text)
    except (ValueError, OverflowError):
        raise AwsError("SerializationException", f"{name}: {text[:100]!r} cannot be read") from None
    return text


def _seconds(text: str) -> float:
    try:
        return float(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
