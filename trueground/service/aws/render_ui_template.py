"""RenderUiTemplate: what a task template looks like with a task's input."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trueground.errors import InputError
from trueground.service import liquid
from trueground.service.aws.address import service_url
from trueground.service.aws.errors import AwsError
from trueground.service.aws.registry import operation
from trueground.service.engine import human_task_uis
from trueground.template_check import check_template

if TYPE_CHECKING:
    from trueground.service.context import Service

LINK_SECONDS = 900


@operation("RenderUiTemplate")
def render(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Render a template; its mistakes are part of the answer, and so is what may not work (``Warning``)."""
    template, task_input = _template(service, request), _task_input(request["Task"]["Input"])
    refused: list[str] = []

    def link(uri: str) -> str:
        try:
            service.storage.check(uri)
        except InputError as error:
            refused.append(str(error))
            raise
        return service_url() + service.media_path(uri, LINK_SECONDS, worker_id=None, assignment_id=None)

    script = f"{service_url()}/static/crowd-html-elements.js"
    try:
        content = liquid.render(template, task_input, crowd_script=script, grant_read_access=link)
    except InputError as error:
        code = "InvalidParameters" if refused or "grant_read_access" in error.problem else "InvalidTemplate"
        return {"RenderedContent": "", "Errors": [{"Code": code, "Message": str(error)}]}
    findings = check_template(template, rendered=content, own_address=f"{service_url()}/")
    errors = [{"Code": "InvalidTemplate" if one.error else "Warning", "Message": str(one)} for one in findings]
    return {"RenderedContent": content, "Errors": errors}


def _template(service: Service, request: dict[str, Any]) -> str:
    content, arn = request.get("UiTemplate", {}).get("Content"), request.get("HumanTaskUiArn")
    if (content is None) == (arn is None):
        raise AwsError("ValidationException", "Give either UiTemplate or HumanTaskUiArn.")
    if content is not None:
        return str(content)
    ui = human_task_uis.describe_ui(service.db, service.settings, str(arn).rpartition("/")[2])
    if ui.arn != arn:
        raise AwsError("ResourceNotFound", f"there is no human task UI {arn!r} here")
    return ui.template


def _task_input(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AwsError("ValidationException", f"Task.Input is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise AwsError("ValidationException", "Task.Input must be a JSON object")
    return content
