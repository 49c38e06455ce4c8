"""Human loops: start, describe, list, stop, delete.

A loop is one data object of its flow definition's row in ``labeling_jobs``: its input content is the object's line,
which becomes ``task.input`` of the template. People take it from the queue like any other object.

Activation conditions are not looked at here: who starts a loop has decided that it needs people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from trueground import strict_json
from trueground.errors import InputError
from trueground.service.engine import audit_log, mturk, origins
from trueground.service.engine.errors import Conflict, Invalid, NotFound
from trueground.service.engine.flow_definitions import OPEN_LOOPS, find_flow
from trueground.service.engine.flow_definitions import resource as flow_resource
from trueground.service.engine.human_task_uis import ui_of_arn
from trueground.service.engine.loop_output import output_uri
from trueground.service.engine.pages import Created, Page, created_page
from trueground.service.engine.public_request import AVAILABILITY_SECONDS as PUBLIC_AVAILABILITY_SECONDS
from trueground.service.engine.public_request import TEAM as PUBLIC_TEAM
from trueground.service.engine.public_request import check_public_loop, is_public
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import (
    IS_LEASED,
    assignments,
    data_objects,
    flow_definitions,
    human_loops,
    labeling_jobs,
)

CheckTemplate = Callable[[str, Mapping[str, Any] | None], object]
"""Raises :class:`InputError` where a template does not render with a ``task.input``."""


@dataclass(frozen=True, slots=True)
class HumanLoop:
    """One review."""

    name: str
    arn: str
    flow_definition_arn: str
    status: str
    failure_code: str | None
    failure_reason: str | None
    output_uri: str | None
    """Where its output is; of one that goes on, where it will be."""
    created_at: datetime


def start_loop(
    db: Database, settings: ServiceSettings, request: dict[str, Any], check_template: CheckTemplate | None = None
) -> str:
    """Start a human loop; returns its ARN. Repeated with the same input it changes nothing.

    A loop whose task cannot be rendered is started all the same, as on AWS, and fails at once.

    Raises:
        Conflict: there is a loop of that name with another input or flow definition.
        Invalid: the flow definition or its template is not there, the input cannot be used, or the public workforce
            may not see it or cannot be paid.
    """
    name, text = request["HumanLoopName"], request["HumanLoopInput"]["InputContent"]
    flow_name = _flow_of(settings, request["FlowDefinitionArn"])
    content = _check_content(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    failure = _check_flow(db, settings, flow_name, request, content, check_template)
    try:
        with db.write() as connection:
            found = _row(connection, name)
            if found is None:
                _store(connection, settings, flow_name, name, text, digest, request.get("DataAttributes"), failure)
    except IntegrityError:
        # Another process has started a loop of this name meanwhile.
        with db.read() as connection:
            found = _row(connection, name)
        if found is None:
            raise Conflict(f"the human loop {name!r} was started and deleted just now: start it again") from None
    if failure is not None:
        db.changed.set()
    if found is not None and (found.input_sha256, found.flow_definition) != (digest, flow_name):
        raise Conflict(f"there is already a human loop {name!r} with another input or flow definition")
    return settings.arn(resource(name))


def describe_loop(db: Database, settings: ServiceSettings, name: str) -> HumanLoop:
    """One human loop. Raises :class:`NotFound`."""
    with db.read() as connection:
        row = _find(connection, name)
        loop = _loop(settings, row)
        if row.status not in OPEN_LOOPS:
            return loop
        # As on AWS, it is known from the beginning where the output will be.
        request = connection.scalar(select(labeling_jobs.c.request).where(labeling_jobs.c.id == row.job_id))
    return replace(loop, output_uri=output_uri(row, request or {}))


def list_loops(
    db: Database,
    settings: ServiceSettings,
    flow_definition_arn: str,
    wanted: Created,
) -> Page[HumanLoop]:
    """A page of a flow definition's loops by their creation.

    Raises :class:`NotFound` where there is no such flow definition, and no loop that outlived it.
    """
    table = human_loops
    with db.read() as connection:
        name = flow_definition_arn.rpartition("/")[2]
        of_flow = select(table).where(table.c.flow_definition == name)
        known = flow_definition_arn == settings.arn(flow_resource(name))
        if not known or connection.execute(of_flow.limit(1)).first() is None:
            find_flow(connection, name if known else flow_definition_arn)
        page = created_page(connection, of_flow, table, wanted)
    return Page([_loop(settings, row) for row in page.items], page.token)


def stop_loop(db: Database, name: str) -> None:
    """Stop a human loop: its tasks vanish at once, but one that is in work may be finished and is kept.

    Raises:
        NotFound: there is no such loop.
        Invalid: it has ended.
    """
    with db.write() as connection:
        loop = _find_locked(connection, name)
        if loop.status == "Stopping":
            return
        if loop.status not in OPEN_LOOPS:
            raise Invalid(f"the human loop {name!r} is {loop.status}; only one in progress can be stopped")
        at = now()
        values: dict[str, Any] = {"status": "Stopping", "stop_requested_at": at}
        connection.execute(update(human_loops).where(human_loops.c.name == name).values(**values))
        # A task in work that is given back makes a place free again, which nobody may take any more.
        connection.execute(update(data_objects).where(*_object_of(loop)).values(free=0, available_until=at))
        audit_log.record(connection, act="StopHumanLoop", resource=resource(name))
    db.changed.set()


def delete_loop(db: Database, name: str) -> None:
    """Delete a human loop that has ended, with its input. The answers stay in the store, as all answers do.

    Raises:
        NotFound: there is no such loop.
        Invalid: it has not ended.
    """
    with db.write() as connection:
        loop = _find_locked(connection, name)
        if loop.status in OPEN_LOOPS:
            raise Invalid(f"the human loop {name!r} is {loop.status}; only one that has ended can be deleted")
        connection.execute(delete(human_loops).where(human_loops.c.name == name))
        connection.execute(update(data_objects).where(*_object_of(loop)).values(line="{}", dedup_key=None))
        audit_log.record(connection, act="DeleteHumanLoop", resource=resource(name))


def resource(name: str) -> str:
    """The last part of its ARN."""
    return f"human-loop/{name}"


def in_work(at: datetime) -> Any:
    """Whether somebody is at the task of a loop's object now; one that is put aside is in nobody's work."""
    return exists(
        select(assignments.c.id).where(
            assignments.c.job_id == data_objects.c.job_id,
            assignments.c.position == data_objects.c.position,
            IS_LEASED,
            assignments.c.paused_at.is_(None),
            assignments.c.expires_at > at,
        )
    )


def _flow_of(settings: ServiceSettings, arn: str) -> str:
    name = arn.rpartition("/")[2]
    if arn != settings.arn(flow_resource(name)):
        raise Invalid(f"FlowDefinitionArn: there is no flow definition {arn!r} here")
    return name


def _check_content(text: str) -> dict[str, Any]:
    try:
        content = strict_json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"HumanLoopInput.InputContent is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise Invalid("HumanLoopInput.InputContent must be a JSON object: its keys are what the template can name")
    return content


def _check_flow(
    db: Database,
    settings: ServiceSettings,
    flow_name: str,
    request: dict[str, Any],
    content: dict[str, Any],
    check_template: CheckTemplate | None,
) -> str | None:
    """For a loop that would be new: why its task cannot be rendered, if it cannot.

    Raises :class:`Invalid` where the public workforce is asked, and may not see it or cannot be paid.
    """
    with db.read() as connection:
        flow = connection.execute(
            select(labeling_jobs.c.workteam, labeling_jobs.c.request, labeling_jobs.c.template)
            .join(flow_definitions, flow_definitions.c.job_id == labeling_jobs.c.id)
            .where(flow_definitions.c.name == flow_name)
        ).first()
        if flow is None or _row(connection, request["HumanLoopName"]) is not None:
            return None
    if flow.workteam == PUBLIC_TEAM:
        check_public_loop(request)
        mturk.check_funds(settings, flow.request, flow.request["HumanTaskConfig"]["NumberOfHumanWorkersPerDataObject"])
    if check_template is not None:
        try:
            check_template(flow.template, content)
        except InputError as error:
            return f"Task failed to render: {error}"[:1024]
    return None


def _store(
    connection: Connection,
    settings: ServiceSettings,
    flow_name: str,
    name: str,
    text: str,
    digest: str,
    attributes: Mapping[str, Any] | None,
    failure: str | None,
) -> None:
    query = (
        select(flow_definitions.c.request, flow_definitions.c.status, labeling_jobs.c.id, labeling_jobs.c.objects)
        .join(labeling_jobs, labeling_jobs.c.id == flow_definitions.c.job_id)
        .where(flow_definitions.c.name == flow_name)
        .with_for_update(of=labeling_jobs)
    )
    flow = connection.execute(query).first()
    if flow is None or flow.status != "Active":
        raise Invalid(f"FlowDefinitionArn: there is no active flow definition {flow_name!r} here")
    human = flow.request["HumanLoopConfig"]
    ui_of_arn(connection, settings, human["HumanTaskUiArn"])
    created = now()
    origin = origins.of_header(origins.origin_header.get())
    public = is_public(human["WorkteamArn"])
    seconds = human.get("TaskAvailabilityLifetimeInSeconds", PUBLIC_AVAILABILITY_SECONDS if public else None)
    connection.execute(
        insert(data_objects).values(
            job_id=flow.id,
            position=flow.objects,
            line=text,
            # What failed already ends as such in a moment.
            state="failed" if failure else "waiting",
            failure_reason=failure,
            free=0 if failure else human["TaskCount"],
            answers=0,
            wanted=human["TaskCount"],
            returned=False,
            dedup_key=name,
            available_until=None if seconds is None else created + timedelta(seconds=seconds),
        )
    )
    connection.execute(
        insert(human_loops).values(
            name=name,
            flow_definition=flow_name,
            job_id=flow.id,
            position=flow.objects,
            input_sha256=digest,
            data_attributes=attributes,
            status="InProgress",
            origin_run=origin.run_key if origin else None,
            origin_task=origin.task_key if origin else None,
            created_at=created,
        )
    )
    connection.execute(
        update(labeling_jobs).where(labeling_jobs.c.id == flow.id).values(objects=flow.objects + 1, modified_at=created)
    )
    detail = {"flow_definition": flow_name}
    audit_log.record(connection, act="StartHumanLoop", resource=resource(name), detail=detail)


def _object_of(loop: Row[Any]) -> tuple[Any, Any]:
    return data_objects.c.job_id == loop.job_id, data_objects.c.position == loop.position


def _row(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(human_loops).where(human_loops.c.name == name)).first()


def _find_locked(connection: Connection, name: str) -> Row[Any]:
    """The row of a loop that neither the queue nor its end can change now: both lock the job's row first."""
    job_id = _find(connection, name).job_id
    connection.execute(select(labeling_jobs.c.id).where(labeling_jobs.c.id == job_id).with_for_update())
    return _find(connection, name)


def _find(connection: Connection, name: str) -> Row[Any]:
    row = _row(connection, name)
    if row is None:
        raise NotFound(f"there is no human loop {name!r}")
    return row


def _loop(settings: ServiceSettings, row: Row[Any]) -> HumanLoop:
    return HumanLoop(
        name=row.name,
        arn=settings.arn(resource(row.name)),
        flow_definition_arn=settings.arn(flow_resource(row.flow_definition)),
        status=row.status,
        failure_code=row.failure_code,
        failure_reason=row.failure_reason,
        output_uri=row.output_uri,
        created_at=row.created_at,
    )
