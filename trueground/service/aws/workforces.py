"""CreateWorkforce, DescribeWorkforce, ListWorkforces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trueground.service.aws.registry import operation
from trueground.service.engine import teams

if TYPE_CHECKING:
    from trueground.service.context import Service


@operation("CreateWorkforce")
def create(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Make a private workforce of local accounts."""
    return {"WorkforceArn": teams.create_workforce(service.db, service.settings, request)}


@operation("DescribeWorkforce", not_found="ValidationException")
def describe(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """One workforce."""
    return {"Workforce": _workforce(teams.describe_workforce(service.db, service.settings, request["WorkforceName"]))}


@operation("ListWorkforces")
def list_(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Workforces, page by page."""
    page = teams.list_workforces(
        service.db,
        service.settings,
        name_contains=request.get("NameContains"),
        sort_by=request.get("SortBy", "Name"),
        descending=request.get("SortOrder") == "Descending",
        limit=request.get("MaxResults", 100),
        token=request.get("NextToken"),
    )
    return {"Workforces": [_workforce(workforce) for workforce in page.items], "NextToken": page.token}


def _workforce(workforce: teams.Workforce) -> dict[str, Any]:
    return {
        "WorkforceName": workforce.name,
        "WorkforceArn": workforce.arn,
        "CreateDate": workforce.created_at,
        "LastUpdatedDate": workforce.updated_at,
        "Status": "Active",
    }
