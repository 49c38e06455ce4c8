"""The AWS wire: protocol, signature, errors; one module a resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response

from trueground.service.aws import labeling_jobs, tags, workforces, workteams
from trueground.service.aws.protocol import answer

if TYPE_CHECKING:
    from trueground.service.context import Service

__all__ = ["install", "labeling_jobs", "tags", "workforces", "workteams"]


def install(app: FastAPI, service: Service) -> None:
    """Add the API's routes.

    ``POST /`` is where AWS's clients send everything. Below a mount, clients drop the closing slash of the endpoint,
    which the outer app would answer with a redirect that they do not follow: ``/aws`` needs none.
    """

    async def endpoint(request: Request) -> Response:
        return await answer(service, request)

    for path in ("/", "/aws", "/aws/"):
        app.add_api_route(path, endpoint, methods=["POST"], include_in_schema=False)
