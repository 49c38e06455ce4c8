"""AddTags, ListTags, DeleteTags: of all that has an ARN but, as on AWS, workforces."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from trueground.service.aws.errors import AwsError
from trueground.service.aws.registry import operation
from trueground.service.engine import (
    audit_log,
    flow_definitions,
    human_task_uis,
    job_insight,
    job_options,
    job_rows,
    jobs,
    tags,
    teams,
)
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from trueground.service.context import Service


@operation("AddTags")
def add(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Add tags or change their values."""
    resource = _resource(service, request["ResourceArn"])
    with service.db.write() as connection:
        new = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        before = tags.get(connection, resource)
        _honour(connection, resource, before, {**before, **new})
        tags.put(connection, resource, new)
        audit_log.record(connection, act="AddTags", resource=resource, detail={"tags": new})
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
        before = tags.get(connection, resource)
        after = {key: value for key, value in before.items() if key not in request["TagKeys"]}
        _honour(connection, resource, before, after)
        tags.remove(connection, resource, request["TagKeys"])
        audit_log.record(connection, act="DeleteTags", resource=resource, detail={"keys": request["TagKeys"]})
    return {}


def _honour(connection: Connection, resource: str, before: dict[str, str], after: dict[str, str]) -> None:
    """Do what the tags of a labeling job ask for. Raises :class:`Invalid` for what only its creation could do."""
    kind, _, name = resource.rpartition("/")
    if kind != "labeling-job":
        return
    job = job_rows.find_job(connection, name)
    priority = job_options.read_change(before, after, job.workers_per_object)
    if before.get(job_options.PRIORITY_TAG) != after.get(job_options.PRIORITY_TAG) and priority != job.priority:
        job_insight.store_priority(connection, job, priority)


def _resource(service: Service, arn: str) -> str:
    """The last part of the ARN of something that is there."""
    prefix = service.settings.arn("")
    if not arn.startswith(prefix):
        raise AwsError("ValidationException", f"{arn!r} is not an ARN of this service, which begin with {prefix}")
    resource = arn.removeprefix(prefix)
    kind, _, name = resource.rpartition("/")
    describe = _DESCRIBE.get(kind)
    if describe is None:
        raise AwsError("ValidationException", f"Invalid resource type: {kind.partition('/')[0] or resource}")
    describe(service.db, service.settings, name)
    return resource


_DESCRIBE: dict[str, Callable[[Database, ServiceSettings, str], object]] = {
    "labeling-job": jobs.describe_job,
    "workteam/private-crowd": partial(teams.describe_workteam, kind="private"),
    "workteam/vendor-crowd": partial(teams.describe_workteam, kind="vendor"),
    "flow-definition": flow_definitions.describe_flow,
    "human-task-ui": human_task_uis.describe_ui,
}
"""What finds a resource by its name, per kind of resource as its ARN has it."""


def _list(found: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in found.items()]
