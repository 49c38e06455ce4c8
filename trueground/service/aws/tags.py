"""AddTags, ListTags, DeleteTags: of labeling jobs and work teams, as on AWS not of workforces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trueground.service.aws.errors import AwsError
from trueground.service.aws.registry import operation
from trueground.service.engine import jobs, tags, teams

if TYPE_CHECKING:
    from trueground.service.context import Service


@operation("AddTags")
def add(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Add tags or change their values."""
    resource = _resource(service, request["ResourceArn"])
    with service.db.write() as connection:
        tags.put(connection, resource, {tag["Key"]: tag["Value"] for tag in request["Tags"]})
        return {"Tags": _list(tags.get(connection, resource))}


@operation("ListTags")
def list_(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """All tags of a resource: 50 at most, so one page holds them."""
    resource = _resource(service, request["ResourceArn"])
    with service.db.read() as connection:
        return {"Tags": _list(tags.get(connection, resource))}


@operation("DeleteTags")
def delete(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Take tags away."""
    resource = _resource(service, request["ResourceArn"])
    with service.db.write() as connection:
        tags.remove(connection, resource, request["TagKeys"])
    return {}


def _resource(service: Service, arn: str) -> str:
    """The last part of the ARN of something that is there."""
    prefix = service.settings.arn("")
    if not arn.startswith(prefix):
        raise AwsError("ValidationException", f"{arn!r} is not an ARN of this service, which begin with {prefix}")
    resource = arn.removeprefix(prefix)
    kind, _, name = resource.rpartition("/")
    if kind == "labeling-job":
        jobs.describe_job(service.db, service.settings, name)
    elif kind == "workteam/private-crowd":
        teams.describe_workteam(service.db, service.settings, name)
    else:
        raise AwsError("ValidationException", f"Invalid resource type: {kind.partition('/')[0] or resource}")
    return resource


def _list(found: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in found.items()]
