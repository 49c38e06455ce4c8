"""CreateFlowDefinition, DescribeFlowDefinition, ListFlowDefinitions, DeleteFlowDefinition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trueground.service.aws.lists import created
from trueground.service.aws.registry import operation
from trueground.service.engine import flow_definitions

if TYPE_CHECKING:
    from trueground.service.context import Service


@operation("CreateFlowDefinition")
def create(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Say how human loops are to be reviewed."""
    return {"FlowDefinitionArn": flow_definitions.create_flow(service.db, service.storage, service.settings, request)}


@operation("DescribeFlowDefinition")
def describe(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """One flow definition, as it was asked for."""
    flow = flow_definitions.describe_flow(service.db, service.settings, request["FlowDefinitionName"])
    return {**flow.request, **_summary(flow)}


@operation("ListFlowDefinitions")
def list_(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Flow definitions by their creation, page by page."""
    page = flow_definitions.list_flows(
        service.db,
        service.settings,
        created(request),
    )
    return {"FlowDefinitionSummaries": [_summary(flow) for flow in page.items], "NextToken": page.token}


@operation("DeleteFlowDefinition")
def delete(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Delete a flow definition whose loops have ended."""
    flow_definitions.delete_flow(service.db, request["FlowDefinitionName"])
    return {}


def _summary(flow: flow_definitions.FlowDefinition) -> dict[str, Any]:
    return {
        "FlowDefinitionName": flow.name,
        "FlowDefinitionArn": flow.arn,
        "FlowDefinitionStatus": flow.status,
        "CreationTime": flow.created_at,
        "FailureReason": flow.failure_reason,
    }
