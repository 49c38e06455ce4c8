"""CreateWorkteam, DescribeWorkteam, ListWorkteams, UpdateWorkteam, DeleteWorkteam: private work teams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trueground.service.aws.address import sub_domain
from trueground.service.aws.registry import HEADERS, operation
from trueground.service.engine import teams
from trueground.work_teams import MEMBERS

if TYPE_CHECKING:
    from trueground.service.context import Service
    from trueground.service.settings import ServiceSettings


@operation("CreateWorkteam")
def create(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Make a private work team."""
    return {"WorkteamArn": teams.create_workteam(service.db, service.settings, request)}


# AWS's model names no error for these; clients look for ValidationException and its text.
@operation("DescribeWorkteam", not_found="ValidationException")
def describe(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """One work team; how many people are in it, for which AWS's API has no member, is in the header ``MEMBERS``."""
    found = teams.describe_workteam(service.db, service.settings, request["WorkteamName"], kind="private")
    with service.db.read() as connection:
        members = teams.count_members(connection, found.name)
    headers = {} if members is None else {MEMBERS: str(members)}
    return {"Workteam": _workteam(service.settings, found), HEADERS: headers}


@operation("ListWorkteams")
def list_(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Work teams, page by page."""
    page = teams.list_workteams(
        service.db,
        service.settings,
        kind="private",
        name_contains=request.get("NameContains"),
        sort_by=request.get("SortBy", "Name"),
        descending=request.get("SortOrder") == "Descending",
        limit=request.get("MaxResults", 100),
        token=request.get("NextToken"),
    )
    return {"Workteams": [_workteam(service.settings, team) for team in page.items], "NextToken": page.token}


@operation("UpdateWorkteam", not_found="ValidationException")
def update(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Other members, or another description."""
    return {"Workteam": _workteam(service.settings, teams.update_workteam(service.db, service.settings, request))}


@operation("DeleteWorkteam", not_found="ValidationException")
def delete(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Delete a work team that has no work."""
    teams.delete_workteam(service.db, request["WorkteamName"])
    return {"Success": True}


def _workteam(settings: ServiceSettings, team: teams.Workteam) -> dict[str, Any]:
    return {
        "WorkteamName": team.name,
        "MemberDefinitions": team.member_definitions,
        "WorkteamArn": team.arn,
        "WorkforceArn": team.workforce_arn,
        "Description": team.description,
        "SubDomain": sub_domain(settings),
        "CreateDate": team.created_at,
        "LastUpdatedDate": team.updated_at,
        "NotificationConfiguration": team.request.get("NotificationConfiguration"),
        "WorkerAccessConfiguration": team.request.get("WorkerAccessConfiguration"),
    }
