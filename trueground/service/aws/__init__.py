"""The AWS wire: protocol, signature, errors; one module a resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response

from trueground.service.aws import (
    flow_definitions,
    human_loops,
    human_task_uis,
    labeling_jobs,
    render_ui_template,
    rest,
    streams,
    subscribed_workteams,
    tags,
    workforces,
    workteams,
)
from trueground.service.aws.protocol import answer
from trueground.service.aws.rest import START_BODY_LIMIT

if TYPE_CHECKING:
    from trueground.service.context import Service

__all__ = [
    "LARGER_BODIES",
    "flow_definitions",
    "human_loops",
    "human_task_uis",
    "install",
    "labeling_jobs",
    "render_ui_template",
    "subscribed_workteams",
    "tags",
    "workforces",
    "workteams",
]


LARGER_BODIES = dict.fromkeys(("/human-loops", "/aws/human-loops"), START_BODY_LIMIT)
"""Paths of the API whose requests may be larger than others, and how large."""


def install(app: FastAPI, service: Service) -> None:
    """Add the API's routes.

    ``POST /`` is where AWS's clients send everything. Below a mount, clients drop the closing slash of the endpoint,
    which the outer app would answer with a redirect that they do not follow: ``/aws`` needs none.
    """

    async def endpoint(request: Request) -> Response:
        return await answer(service, request)

    for path in ("/", "/aws", "/aws/"):
        app.add_api_route(path, endpoint, methods=["POST"], include_in_schema=False)
    rest.install(app, service)
    streams.install(app, service)
    human_task_uis.install(app, service)
