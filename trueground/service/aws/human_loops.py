"""The five operations of ``sagemaker-a2i-runtime``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trueground.service.aws.lists import created
from trueground.service.aws.registry import loop_operation
from trueground.service.engine import human_loops

if TYPE_CHECKING:
    from trueground.service.context import Service


# The model has no error for a flow definition that is not there.
@loop_operation("StartHumanLoop", not_found="ValidationException")
def start(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Have people review something."""
    return {"HumanLoopArn": human_loops.start_loop(service.db, service.settings, request, service.check_template)}


@loop_operation("DescribeHumanLoop")
def describe(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """How far a loop is, and where its output is."""
    loop = human_loops.describe_loop(service.db, service.settings, request["HumanLoopName"])
    return {
        **_summary(loop),
        "HumanLoopArn": loop.arn,
        "FailureCode": loop.failure_code,
        "HumanLoopOutput": {"OutputS3Uri": loop.output_uri} if loop.output_uri else None,
    }


@loop_operation("ListHumanLoops")
def list_(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """A flow definition's loops by their creation, page by page."""
    page = human_loops.list_loops(
        service.db,
        service.settings,
        request["FlowDefinitionArn"],
        created(request),
    )
    return {"HumanLoopSummaries": [_summary(loop) for loop in page.items], "NextToken": page.token}


@loop_operation("StopHumanLoop")
def stop(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """No new tasks of this loop from now on."""
    human_loops.stop_loop(service.db, request["HumanLoopName"])
    return {}


@loop_operation("DeleteHumanLoop")
def delete(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Forget a loop that has ended."""
    human_loops.delete_loop(service.db, request["HumanLoopName"])
    return {}


def _summary(loop: human_loops.HumanLoop) -> dict[str, Any]:
    return {
        "HumanLoopName": loop.name,
        "HumanLoopStatus": loop.status,
        "CreationTime": loop.created_at,
        "FailureReason": loop.failure_reason,
        "FlowDefinitionArn": loop.flow_definition_arn,
    }
