"""Flow definitions: create, describe, list, delete.

A flow definition owns a row of ``labeling_jobs`` of the kind ``review``: what people take the tasks of its human loops
from, by the same queue as those of labeling jobs. It never ends by itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from trueground.activation_conditions import BUILT_IN, parse
from trueground.errors import InputError
from trueground.service.engine import audit_log, tags
from trueground.service.engine.errors import InUse, Invalid, NotFound
from trueground.service.engine.human_task_uis import check_text, ui_of_arn
from trueground.service.engine.pages import Created, Page, created_page
from trueground.service.engine.public_request import TEAM as PUBLIC_TEAM
from trueground.service.engine.public_request import check_public_flow, is_public
from trueground.service.engine.public_workers import create_public_team
from trueground.service.engine.teams import workteam_of_arn
from trueground.service.engine.warnings import too_few_people, warn
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import flow_definitions, human_loops, labeling_jobs
from trueground.storage import Storage

TASK_SECONDS = 3600
LONGEST_SECONDS = 30 * 24 * 3600
"""Upper bound of the time for a task and of how long it stays available, as for labeling jobs."""
NEVER = datetime(9000, 1, 1, tzinfo=UTC)
OPEN_LOOPS = ("InProgress", "Stopping")


@dataclass(frozen=True, slots=True)
class FlowDefinition:
    """How human loops are reviewed: by whom, with which template, where their output goes."""

    name: str
    arn: str
    status: str
    failure_reason: str | None
    request: Mapping[str, Any]
    """The CreateFlowDefinition request, without its tags."""
    created_at: datetime


def create_flow(db: Database, storage: Storage, settings: ServiceSettings, request: dict[str, Any]) -> str:
    """Create a flow definition; returns its ARN.

    Raises:
        InUse: there is one of that name.
        Invalid, InputError: the request cannot be honoured; the message names the member.
    """
    name = request["FlowDefinitionName"]
    human = _checked(request, settings)
    storage.check(request["OutputConfig"]["S3OutputPath"])
    public = is_public(human["WorkteamArn"])
    if public:
        create_public_team(db)
    try:
        with db.write() as connection:
            if connection.execute(select(flow_definitions.c.name).where(flow_definitions.c.name == name)).first():
                raise InUse(f"there is already a flow definition {name!r}")
            member = "HumanLoopConfig.WorkteamArn"
            team = PUBLIC_TEAM if public else workteam_of_arn(connection, settings, human["WorkteamArn"], member)
            template = ui_of_arn(connection, settings, human["HumanTaskUiArn"]).template
            check_text(template)
            created = now()
            job_id = _make_queue(connection, request, human, team, template, created)
            connection.execute(
                insert(flow_definitions).values(
                    name=name, job_id=job_id, request=tags.without(request), status="Active", created_at=created
                )
            )
            tags.put(connection, resource(name), tags.of_request(request))
            audit_log.record(connection, act="CreateFlowDefinition", resource=resource(name))
    except IntegrityError:
        raise InUse(f"there is already a flow definition {name!r}") from None
    return settings.arn(resource(name))


def describe_flow(db: Database, settings: ServiceSettings, name: str) -> FlowDefinition:
    """One flow definition. Raises :class:`NotFound`."""
    with db.read() as connection:
        return _flow(settings, find_flow(connection, name))


def list_flows(
    db: Database,
    settings: ServiceSettings,
    wanted: Created,
) -> Page[FlowDefinition]:
    """A page of flow definitions by their creation."""
    with db.read() as connection:
        page = created_page(connection, select(flow_definitions), flow_definitions, wanted)
    return Page([_flow(settings, row) for row in page.items], page.token)


def delete_flow(db: Database, name: str) -> None:
    """Delete a flow definition; its loops and their answers stay.

    Raises:
        NotFound: there is no such flow definition.
        InUse: it is not active, or a loop of it has not ended.
    """
    with db.write() as connection:
        flow = find_flow(connection, name)
        # Loops are started under the same lock, so none can come now.
        connection.execute(select(labeling_jobs.c.id).where(labeling_jobs.c.id == flow.job_id).with_for_update())
        if flow.status != "Active":
            raise InUse(f"the flow definition {name!r} is {flow.status}; only an active one can be deleted")
        under_way = select(human_loops.c.name).where(
            human_loops.c.job_id == flow.job_id, human_loops.c.status.in_(OPEN_LOOPS)
        )
        loop = connection.scalar(under_way.limit(1))
        if loop is not None:
            raise InUse(f"the human loop {loop!r} of the flow definition {name!r} has not ended: stop it first")
        connection.execute(delete(flow_definitions).where(flow_definitions.c.name == name))
        connection.execute(
            update(labeling_jobs)
            .where(labeling_jobs.c.id == flow.job_id)
            # Another flow definition may take the name; no name that is given can hold a number sign.
            .values(name=f"{name}#{flow.job_id}", status="Completed", ended_at=now(), modified_at=now())
        )
        tags.remove_all(connection, resource(name))
        audit_log.record(connection, act="DeleteFlowDefinition", resource=resource(name))


def find_flow(connection: Connection, name: str) -> Row[Any]:
    """The row of a flow definition. Raises :class:`NotFound`."""
    row = connection.execute(select(flow_definitions).where(flow_definitions.c.name == name)).first()
    if row is None:
        raise NotFound(f"there is no flow definition {name!r}")
    return row


def resource(name: str) -> str:
    """The last part of its ARN."""
    return f"flow-definition/{name}"


def _checked(request: Mapping[str, Any], settings: ServiceSettings) -> dict[str, Any]:
    """The HumanLoopConfig of a request that can be honoured."""
    human: dict[str, Any] | None = request.get("HumanLoopConfig")
    if human is None:
        raise Invalid("HumanLoopConfig is missing: people need a template to work with")
    # An empty text for a key means "none" to AWS's console, which writes it.
    if request["OutputConfig"].get("KmsKeyId"):
        raise Invalid("OutputConfig.KmsKeyId cannot be honoured: the service has no KMS; encrypt the bucket")
    for member in ("TaskTimeLimitInSeconds", "TaskAvailabilityLifetimeInSeconds"):
        if human.get(member, 0) > LONGEST_SECONDS:
            raise Invalid(f"HumanLoopConfig.{member} can be {LONGEST_SECONDS} (30 days) at most")
    if is_public(human["WorkteamArn"]):
        check_public_flow(request, settings)
    elif human.get("PublicWorkforceTaskPrice"):
        raise Invalid("HumanLoopConfig.PublicWorkforceTaskPrice cannot be honoured: only the public workforce is paid")
    source = request.get("HumanLoopRequestSource", {}).get("AwsManagedHumanLoopRequestSource")
    activation = request.get("HumanLoopActivationConfig")
    if activation is not None:
        conditions = activation["HumanLoopActivationConditionsConfig"]["HumanLoopActivationConditions"]
        _check_conditions(conditions, source)
    return human


def _check_conditions(text: str, source: str | None) -> None:
    """Check activation conditions. The service keeps them; whether they hold is decided where predictions are made."""
    if source is None:
        raise Invalid(
            "HumanLoopActivationConfig needs a HumanLoopRequestSource: loops of a custom flow definition are started "
            "by their client, and each is reviewed"
        )
    try:
        parse(text, BUILT_IN[source])
    except InputError as error:
        raise Invalid(
            ": ".join(part for part in ("HumanLoopActivationConditions", error.field, error.problem) if part)
        ) from None


def _make_queue(
    connection: Connection, request: Mapping[str, Any], human: Mapping[str, Any], team: str, template: str, at: datetime
) -> int:
    """The row that people take the tasks from; its request tells of them in a labeling job's words."""
    task = {
        "WorkteamArn": human["WorkteamArn"],
        "UiConfig": {"HumanTaskUiArn": human["HumanTaskUiArn"]},
        "TaskTitle": human["TaskTitle"],
        "TaskDescription": human["TaskDescription"],
        "TaskKeywords": human.get("TaskKeywords", []),
        "NumberOfHumanWorkersPerDataObject": human["TaskCount"],
        "TaskTimeLimitInSeconds": human.get("TaskTimeLimitInSeconds", TASK_SECONDS),
    }
    for member in ("TaskAvailabilityLifetimeInSeconds", "PublicWorkforceTaskPrice"):
        if member in human:
            task[member] = human[member]
    kept = {"HumanTaskConfig": task, "OutputConfig": request["OutputConfig"]}
    if "HumanLoopRequestSource" in request:
        kept["HumanLoopRequestSource"] = request["HumanLoopRequestSource"]
    people = (
        [] if team == PUBLIC_TEAM else too_few_people(connection, team, human["TaskCount"], tags.of_request(request))
    )
    job_id: int = connection.execute(
        insert(labeling_jobs)
        .values(
            kind="review",
            name=request["FlowDefinitionName"],
            status="InProgress",
            request=kept,
            reference_code=secrets.token_hex(16),
            workteam=team,
            workers_per_object=human["TaskCount"],
            lease_seconds=task["TaskTimeLimitInSeconds"],
            template=template,
            categories=[],
            label_config={},
            objects=0,
            warnings=warn(people),
            created_at=at,
            modified_at=at,
            available_until=NEVER,
        )
        .returning(labeling_jobs.c.id)
    ).scalar_one()
    return job_id


def _flow(settings: ServiceSettings, row: Row[Any]) -> FlowDefinition:
    arn = settings.arn(resource(row.name))
    return FlowDefinition(row.name, arn, row.status, row.failure_reason, row.request, row.created_at)
