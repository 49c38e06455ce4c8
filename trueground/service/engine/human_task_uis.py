"""Human task UIs: the templates that flow definitions show to people."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select
from sqlalchemy.exc import IntegrityError

from trueground.service import liquid
from trueground.service.engine import audit_log, tags
from trueground.service.engine.errors import InUse, Invalid, NotFound
from trueground.service.engine.pages import Created, Page, created_page
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import human_task_uis
from trueground.tasks import task_types
from trueground.template_check import check_template, reject_errors

AWS_UI = re.compile(r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:394669845002:human-task-ui/(\w+)")
"""The user interfaces that are AWS's own: for named entities, point clouds and video frames."""


@dataclass(frozen=True, slots=True)
class HumanTaskUi:
    """A task template with a name."""

    name: str
    arn: str
    status: str
    template: str
    created_at: datetime

    @property
    def sha256(self) -> str:
        """Of the template's text."""
        return hashlib.sha256(self.template.encode()).hexdigest()


def create_ui(db: Database, settings: ServiceSettings, request: dict[str, Any]) -> str:
    """Create a human task UI; returns its ARN.

    Raises:
        InUse: there is one of that name.
        Invalid, InputError: people could not work with the template.
    """
    name, template = request["HumanTaskUiName"], request["UiTemplate"]["Content"]
    check_text(template)
    try:
        with db.write() as connection:
            if connection.execute(select(human_task_uis.c.name).where(human_task_uis.c.name == name)).first():
                raise InUse(f"there is already a human task UI {name!r}")
            values = {"name": name, "template": template, "status": "Active", "created_at": now()}
            connection.execute(insert(human_task_uis).values(**values))
            tags.put(connection, resource(name), tags.of_request(request))
            audit_log.record(connection, act="CreateHumanTaskUi", resource=resource(name))
    except IntegrityError:
        raise InUse(f"there is already a human task UI {name!r}") from None
    return settings.arn(resource(name))


def check_text(template: str) -> None:
    """Raise :class:`InputError` where people could not work with a human task UI's template."""
    liquid.check(template)
    reject_errors(check_template(template), field="UiTemplate.Content")


def describe_ui(db: Database, settings: ServiceSettings, name: str) -> HumanTaskUi:
    """One human task UI. Raises :class:`NotFound`."""
    with db.read() as connection:
        return _ui(settings, _find(connection, name))


def list_uis(
    db: Database,
    settings: ServiceSettings,
    wanted: Created,
) -> Page[HumanTaskUi]:
    """A page of human task UIs by their creation."""
    with db.read() as connection:
        page = created_page(connection, select(human_task_uis), human_task_uis, wanted)
    return Page([_ui(settings, row) for row in page.items], page.token)


def delete_ui(db: Database, name: str) -> None:
    """Delete a human task UI. Loops that were started keep its text; new ones cannot be. Raises :class:`NotFound`."""
    with db.write() as connection:
        _find(connection, name, lock=True)
        connection.execute(delete(human_task_uis).where(human_task_uis.c.name == name))
        tags.remove_all(connection, resource(name))
        audit_log.record(connection, act="DeleteHumanTaskUi", resource=resource(name))


def refuse_aws_ui(arn: str, member: str) -> None:
    """Raise :class:`Invalid` for a user interface of AWS's own: none of their task types is offered here yet."""
    found = AWS_UI.fullmatch(arn)
    if found is not None:
        raise Invalid(
            f"{member} is not supported: AWS's own user interface {found[1]} and its task type are not offered here; "
            f"the task types that are offered: {', '.join(sorted(task_types()))}"
        )


def ui_of_arn(connection: Connection, settings: ServiceSettings, arn: str) -> Row[Any]:
    """The UI that an ARN names, locked against its deletion while the transaction lasts. Raises :class:`Invalid`."""
    refuse_aws_ui(arn, "HumanTaskUiArn")
    name = arn.rpartition("/")[2]
    query = select(human_task_uis).where(human_task_uis.c.name == name).with_for_update(read=True)
    row = connection.execute(query).first()
    if row is None or arn != settings.arn(resource(name)):
        raise Invalid(f"HumanTaskUiArn: there is no human task UI {arn!r} here: create it first")
    return row


def resource(name: str) -> str:
    """The last part of its ARN."""
    return f"human-task-ui/{name}"


def _find(connection: Connection, name: str, *, lock: bool = False) -> Row[Any]:
    query = select(human_task_uis).where(human_task_uis.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFound(f"there is no human task UI {name!r}")
    return row


def _ui(settings: ServiceSettings, row: Row[Any]) -> HumanTaskUi:
    return HumanTaskUi(row.name, settings.arn(resource(row.name)), row.status, row.template, row.created_at)
