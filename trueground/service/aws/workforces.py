"""CreateWorkforce, DescribeWorkforce, ListWorkforces, UpdateWorkforce, DeleteWorkforce."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trueground.service.aws.address import sub_domain
from trueground.service.aws.registry import operation
from trueground.service.engine import workforces

if TYPE_CHECKING:
    from trueground.service.context import Service
    from trueground.service.settings import ServiceSettings


@operation("CreateWorkforce")
def create(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Make a private workforce of local accounts, or of an OIDC provider's users."""
    return {"WorkforceArn": workforces.create_workforce(service.db, service.settings, service.secrets, request)}


# AWS's model names no error for what is not there; clients look for ValidationException and its text.
@operation("DescribeWorkforce", not_found="ValidationException")
def describe(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """One workforce."""
    found = workforces.describe_workforce(service.db, service.settings, request["WorkforceName"])
    return {"Workforce": _workforce(service.settings, found)}


@operation("ListWorkforces")
def list_(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Workforces, page by page."""
    page = workforces.list_workforces(
        service.db,
        service.settings,
        name_contains=request.get("NameContains"),
        sort_by=request.get("SortBy", "Name"),
        descending=request.get("SortOrder") == "Descending",
        limit=request.get("MaxResults", 100),
        token=request.get("NextToken"),
    )
    return {
        "Workforces": [_workforce(service.settings, workforce) for workforce in page.items],
        "NextToken": page.token,
    }


@operation("UpdateWorkforce", not_found="ValidationException")
def update(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Other addresses that workers may come from, or another OIDC provider."""
    return {
        "Workforce": _workforce(
            service.settings, workforces.update_workforce(service.db, service.settings, service.secrets, request)
        )
    }


@operation("DeleteWorkforce", not_found="ValidationException")
def delete(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Delete a workforce that has no work teams."""
    workforces.delete_workforce(service.db, request["WorkforceName"])
    return {}


def _workforce(settings: ServiceSettings, workforce: workforces.Workforce) -> dict[str, Any]:
    return {
        "WorkforceName": workforce.name,
        "WorkforceArn": workforce.arn,
        "SubDomain": sub_domain(settings),
        "CreateDate": workforce.created_at,
        "LastUpdatedDate": workforce.updated_at,
        "Status": "Active",
        **workforce.config,
    }
