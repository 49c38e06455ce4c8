"""CreateHumanTaskUi, DescribeHumanTaskUi, ListHumanTaskUis, DeleteHumanTaskUi; and the link to a UI's text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Response

from trueground.service.aws.address import service_url
from trueground.service.aws.lists import created
from trueground.service.aws.registry import operation
from trueground.service.engine import human_task_uis
from trueground.service.engine.errors import NotFound

if TYPE_CHECKING:
    from trueground.service.context import Service

LINK_SECONDS = 900
_PURPOSE = "human-task-ui"


@operation("CreateHumanTaskUi")
def create(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Keep a task template under a name."""
    return {"HumanTaskUiArn": human_task_uis.create_ui(service.db, service.settings, request)}


@operation("DescribeHumanTaskUi")
def describe(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """One human task UI; as on AWS not its text, but a link to it."""
    ui = human_task_uis.describe_ui(service.db, service.settings, request["HumanTaskUiName"])
    token = service.signer.sign(_PURPOSE, {"n": ui.name}, LINK_SECONDS)
    return {
        **_summary(ui),
        "HumanTaskUiStatus": ui.status,
        "UiTemplate": {"Url": f"{service_url()}/human-task-uis/{token}", "ContentSha256": ui.sha256},
    }


@operation("ListHumanTaskUis")
def list_(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Human task UIs by their creation, page by page."""
    page = human_task_uis.list_uis(
        service.db,
        service.settings,
        created(request),
    )
    return {"HumanTaskUiSummaries": [_summary(ui) for ui in page.items], "NextToken": page.token}


@operation("DeleteHumanTaskUi")
def delete(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """No new human loops with this template."""
    human_task_uis.delete_ui(service.db, request["HumanTaskUiName"])
    return {}


def install(app: FastAPI, service: Service) -> None:
    """Add the route that links to a UI's text lead to."""

    @app.get("/human-task-uis/{token}", include_in_schema=False)
    def text(token: str) -> Response:
        claims = service.signer.read(_PURPOSE, token)
        # Text to whoever opens it: it is a stranger's HTML.
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        if claims is None:
            return Response("The link has run out.", 403, headers, "text/plain")
        try:
            ui = human_task_uis.describe_ui(service.db, service.settings, claims["n"])
        except NotFound:
            return Response("The human task UI was deleted.", 404, headers, "text/plain")
        return Response(ui.template, 200, headers, "text/plain")


def _summary(ui: human_task_uis.HumanTaskUi) -> dict[str, Any]:
    return {"HumanTaskUiName": ui.name, "HumanTaskUiArn": ui.arn, "CreationTime": ui.created_at}
