"""DescribeSubscribedWorkteam, ListSubscribedWorkteams: the vendors' work teams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trueground.service.aws.registry import operation
from trueground.service.engine import teams
from trueground.service.engine.errors import NotFound

if TYPE_CHECKING:
    from trueground.service.context import Service


@operation("DescribeSubscribedWorkteam", not_found="ValidationException")
def describe(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """One vendor's work team."""
    arn = request["WorkteamArn"]
    team = teams.describe_workteam(service.db, service.settings, arn.rpartition("/")[2], kind="vendor")
    if team.arn != arn:
        raise NotFound(f"The work team {arn!r} does not exist")
    return {"SubscribedWorkteam": _subscribed(team)}


@operation("ListSubscribedWorkteams")
def list_(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """The vendors' work teams, page by page."""
    page = teams.list_workteams(
        service.db,
        service.settings,
        kind="vendor",
        name_contains=request.get("NameContains"),
        limit=request.get("MaxResults", 100),
        token=request.get("NextToken"),
    )
    return {"SubscribedWorkteams": [_subscribed(team) for team in page.items], "NextToken": page.token}


def _subscribed(team: teams.Workteam) -> dict[str, Any]:
    return {"WorkteamArn": team.arn, "SellerName": team.name, "MarketplaceDescription": team.description}
