"""Jobs and human loops of the public workforce at Amazon Mechanical Turk: one HIT for each data object, which opens our
task page.

All steps may be repeated, also after a crash in any of them: a HIT is asked for with a token that is stored first, so
Mechanical Turk makes it once; an assignment is approved only after its answer is stored. Nothing is ever rejected.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import Row, and_, exists, func, or_, select, update

from trueground.service.engine import tags
from trueground.service.engine.aws_client import aws_client
from trueground.service.engine.background import Background
from trueground.service.engine.errors import Invalid
from trueground.service.engine.public_request import (
    NO_ADULT_CONTENT,
    TEAM,
    classifiers,
    loop_classifiers,
    price,
    reward,
)
from trueground.service.engine.public_workers import PublicTask, confirm, worker_of
from trueground.service.security import SecretBox
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, insert_or_ignore, now
from trueground.service.store.tables import (
    IS_LEASED,
    assignments,
    data_objects,
    drafts,
    human_loops,
    labeling_jobs,
    public_tasks,
)

log = logging.getLogger(__name__)

REGION = "us-east-1"
"""Mechanical Turk has no other."""
QUESTION = (
    '<ExternalQuestion xmlns="http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2006-07-14/'
    'ExternalQuestion.xsd"><ExternalURL>{url}</ExternalURL><FrameHeight>0</FrameHeight></ExternalQuestion>'
)
ADULT_CONTENT = {
    # Worker_Adult: those who said that they want to see such content.
    "QualificationTypeId": "00000000000000000060",
    "Comparator": "EqualTo",
    "IntegerValues": [1],
    "ActionsGuarded": "DiscoverPreviewAndAccept",
}
APPROVAL_SECONDS = 30 * 86_400
"""After this long Mechanical Turk pays by itself: its longest, for we pay as soon as the answer is stored."""
OPEN_AT_MOST = 1000
"""HITs of one job at a time, where the job does not say."""
BATCH = 100
CHECK_SECONDS = 300
"""How often a HIT is looked at of which nobody handed anything in here."""
_until = func.coalesce(data_objects.c.available_until, labeling_jobs.c.available_until)
"""A human loop has its own end, where a job's objects have the job's."""
GRACE_SECONDS = 3600
"""How much longer than its lease a task's page can be opened."""


def client(settings: ServiceSettings) -> Any:
    """A client of Mechanical Turk, with the AWS credentials of the service's environment."""
    return aws_client("mturk", REGION, settings.mturk_endpoint)


def check_funds(settings: ServiceSettings, request: dict[str, Any], answers: int) -> None:
    """Raises :class:`Invalid` where the account cannot pay for so many answers: no work stops half-way for that.

    ``request``: of a labeling job, or what stands for it of a flow definition.
    """
    needed = price(request) * answers
    try:
        balance = Decimal(client(settings).get_account_balance()["AvailableBalance"])
    except (ClientError, BotoCoreError) as error:
        raise Invalid(f"Mechanical Turk cannot be asked for the public workforce: {error}") from error
    if balance < needed:
        raise Invalid(
            f"PublicWorkforceTaskPrice: {answers} answers cost {needed:.2f} dollars, and the account "
            f"at Mechanical Turk has {balance:.2f}"
        )


def task_url(settings: ServiceSettings, box: SecretBox, task: Row[Any]) -> str:
    """The address that Mechanical Turk opens for a data object."""
    seconds = (task.available_until - now()).total_seconds() + task.lease_seconds + GRACE_SECONDS
    token = box.signer().sign("turk", {"j": task.job_id, "p": task.position}, seconds)
    return f"{settings.public_url}/turk/{token}"


def origins(settings: ServiceSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who may show our task page in a frame, and where it may send what was handed in."""
    host = urlsplit(settings.mturk_endpoint or "").hostname or ""
    if host == f"mturk-requester.{REGION}.amazonaws.com":
        return ("https://worker.mturk.com", "https://www.mturk.com"), ("https://www.mturk.com",)
    if host == f"mturk-requester-sandbox.{REGION}.amazonaws.com":
        return ("https://workersandbox.mturk.com",), ("https://workersandbox.mturk.com",)
    # Something that speaks the same API, which is its own workers' site.
    own = "{0.scheme}://{0.netloc}".format(urlsplit(settings.mturk_endpoint or ""))
    return (own,), (own,)


class PublicWork(Background):
    """Keeps Mechanical Turk and the store in step."""

    name: ClassVar[str] = "public-work"

    def __init__(self, db: Database, settings: ServiceSettings, box: SecretBox) -> None:
        super().__init__(db, settings.poll_interval * 10)
        self._settings, self._box = settings, box
        self._client: Any = None
        self._hits: dict[str, str] | None = None

    def tick(self) -> None:
        """Ask for HITs that are missing, take in what was handed in, and end what is over."""
        self._hits = None
        self._want()
        for step, tasks in ((self._create, self._wanted), (self._expire, self._ended), (self._collect, self._due)):
            for task in tasks():
                if self._stopping.is_set() or not self.keep_lease():
                    return
                try:
                    step(task)
                except (ClientError, BotoCoreError) as error:
                    log.error("Mechanical Turk refused for object %s of %s: %s", task.position, task.name, error)

    @property
    def _turk(self) -> Any:
        # Made in the thread that uses it, once the service runs.
        if self._client is None:
            self._client = client(self._settings)
        return self._client

    def _want(self) -> None:
        """Store which objects are to have a HIT, before any is asked for."""
        jobs = select(labeling_jobs).where(
            labeling_jobs.c.workteam == TEAM,
            labeling_jobs.c.status == "InProgress",
            labeling_jobs.c.available_until > _soon(),
        )
        with self._db.read() as connection:
            found = connection.execute(jobs).all()
        for job in found:
            with self._db.write() as connection:
                live = select(public_tasks.c.position).where(
                    public_tasks.c.job_id == job.id, public_tasks.c.state.in_(("wanted", "open"))
                )
                room = (job.max_objects_out or OPEN_AT_MOST) - len(connection.execute(live).all())
                if room <= 0:
                    continue
                there = exists(
                    select(public_tasks.c.position).where(
                        public_tasks.c.job_id == data_objects.c.job_id,
                        public_tasks.c.position == data_objects.c.position,
                    )
                )
                missing = (
                    select(data_objects.c.position)
                    .where(
                        data_objects.c.job_id == job.id,
                        data_objects.c.state == "waiting",
                        data_objects.c.available_until.is_(None) | (data_objects.c.available_until > _soon()),
                        ~there,
                    )
                    .order_by(data_objects.c.position)
                    .limit(min(room, BATCH))
                )
                for position in connection.scalars(missing).all():
                    token = self._box.pseudonym("mturk request", f"{job.id} {position} {job.reference_code}")[:64]
                    values = {"job_id": job.id, "position": position, "request_token": token, "state": "wanted"}
                    connection.execute(insert_or_ignore(connection, public_tasks, {**values, "created_at": now()}))

    def _wanted(self) -> list[Row[Any]]:
        query = _tasks().where(
            public_tasks.c.state == "wanted",
            labeling_jobs.c.status == "InProgress",
            _until > _soon(),
        )
        return self._rows(query.order_by(public_tasks.c.job_id, public_tasks.c.position).limit(BATCH))

    def _ended(self) -> list[Row[Any]]:
        """Tasks that nobody is to begin any more."""
        over = or_(
            labeling_jobs.c.status != "InProgress",
            labeling_jobs.c.ended_at.is_not(None),
            data_objects.c.state.not_in(("unprepared", "waiting", "started")),
            # A human loop that was stopped, or whose time is over.
            data_objects.c.available_until <= now(),
        )
        return self._rows(_tasks().where(public_tasks.c.state.in_(("wanted", "open")), over).limit(BATCH))

    def _due(self) -> list[Row[Any]]:
        """Tasks of which something was handed in here, and now and then the others."""
        handed_in = exists(
            select(drafts.c.assignment_id)
            .join(assignments, assignments.c.id == drafts.c.assignment_id)
            .where(
                assignments.c.job_id == public_tasks.c.job_id,
                assignments.c.position == public_tasks.c.position,
                IS_LEASED,
            )
        )
        checked = public_tasks.c.checked_at
        due = or_(handed_in, checked.is_(None), checked < now() - timedelta(seconds=CHECK_SECONDS))
        query = _tasks().where(public_tasks.c.state.in_(("open", "closing")), due)
        return self._rows(query.order_by(checked).limit(BATCH))

    def _rows(self, query: Any) -> list[Row[Any]]:
        with self._db.read() as connection:
            return list(connection.execute(query).all())

    def _create(self, task: Row[Any]) -> None:
        """Ask for the HIT. Asked again with the same token, Mechanical Turk says which one it made already."""
        human = task.request["HumanTaskConfig"]
        try:
            hit_id = self._turk.create_hit(
                UniqueRequestToken=task.request_token,
                RequesterAnnotation=task.request_token,
                MaxAssignments=task.wanted,
                AutoApprovalDelayInSeconds=APPROVAL_SECONDS,
                LifetimeInSeconds=max(30, int((task.available_until - now()).total_seconds())),
                AssignmentDurationInSeconds=task.lease_seconds,
                Reward=reward(task.request),
                Title=human["TaskTitle"],
                Description=human["TaskDescription"],
                Keywords=", ".join(human.get("TaskKeywords", [])),
                Question=QUESTION.format(url=escape(task_url(self._settings, self._box, task))),
                **self._qualifications(task),
            )["HIT"]["HITId"]
        except ClientError as error:
            hit_id = self._made_before(task, error)
        self._note(task, hit_id=hit_id, state="open")

    def _qualifications(self, task: Row[Any]) -> dict[str, Any]:
        with self._db.read() as connection:
            if task.kind == "review":
                of_loop = (human_loops.c.job_id == task.job_id) & (human_loops.c.position == task.position)
                said = loop_classifiers(connection.scalar(select(human_loops.c.data_attributes).where(of_loop)))
            else:
                known = tags.get(connection, f"labeling-job/{task.name}")
                own = [{"Key": key, "Value": value} for key, value in known.items()]
                said = classifiers({**task.request, "Tags": own})
        return {} if NO_ADULT_CONTENT in said else {"QualificationRequirements": [ADULT_CONTENT]}

    def _made_before(self, task: Row[Any], error: ClientError) -> str:
        """The HIT of an earlier try whose answer was lost. Raises the error where it says something else."""
        said = error.response.get("Error", {}).get("Message", "")
        code = str(error.response.get("TurkErrorCode", ""))
        if not re.search(r"hit ?already ?exists|already exists", f"{code} {said}", re.IGNORECASE):
            raise error
        found = self._hit_of(task)
        if found is None:
            raise error
        return found

    def _hit_of(self, task: Row[Any]) -> str | None:
        """The HIT that was made with a task's token, as Mechanical Turk remembers it."""
        if self._hits is None:
            pages = self._turk.get_paginator("list_hits").paginate(PaginationConfig={"PageSize": 100})
            hits = (hit for page in pages for hit in page["HITs"])
            self._hits = {str(hit.get("RequesterAnnotation")): str(hit["HITId"]) for hit in hits}
        return self._hits.get(task.request_token)

    def _expire(self, task: Row[Any]) -> None:
        """Let nobody begin it any more; who has begun may finish."""
        # It may have been made, and the answer that told us lost.
        hit_id = task.hit_id or self._hit_of(task)
        if hit_id is None:
            self._note(task, state="over")
            return
        self._turk.update_expiration_for_hit(HITId=hit_id, ExpireAt=datetime(2015, 1, 1, tzinfo=UTC))
        self._note(task, hit_id=hit_id, state="closing", checked_at=None)

    def _collect(self, task: Row[Any]) -> None:
        """Take in what was handed in, approve it, and see whether more can come."""
        found = PublicTask(task.job_id, task.position, task.request, task.hit_id)
        pages = self._turk.get_paginator("list_assignments_for_hit").paginate(
            HITId=task.hit_id, AssignmentStatuses=["Submitted"]
        )
        for handed_in in [entry for page in pages for entry in page["Assignments"]]:
            worker_id = worker_of(self._db, self._box, handed_in["WorkerId"])
            if confirm(self._db, found, worker_id):
                self._turk.approve_assignment(AssignmentId=handed_in["AssignmentId"])
            else:
                log.warning(
                    "assignment %s at Mechanical Turk has no answer here; it is neither approved nor rejected",
                    handed_in["AssignmentId"],
                )
        changes: dict[str, Any] = {"checked_at": now()}
        if task.state == "closing":
            hit = self._turk.get_hit(HITId=task.hit_id)["HIT"]
            if hit["HITStatus"] in ("Reviewable", "Reviewing", "Disposed"):
                changes["state"] = "over"
        self._note(task, **changes)

    def _note(self, task: Row[Any], **values: Any) -> None:
        with self._db.write() as connection:
            connection.execute(
                update(public_tasks)
                .where(public_tasks.c.job_id == task.job_id, public_tasks.c.position == task.position)
                .values(**values)
            )


def _soon() -> datetime:
    """A HIT lives half a minute at least."""
    return now() + timedelta(seconds=30)


def _tasks() -> Any:
    return (
        select(
            public_tasks,
            labeling_jobs.c.kind,
            labeling_jobs.c.name,
            labeling_jobs.c.request,
            labeling_jobs.c.lease_seconds,
            data_objects.c.wanted,
            _until.label("available_until"),
        )
        .join(labeling_jobs, labeling_jobs.c.id == public_tasks.c.job_id)
        .join(
            data_objects,
            and_(data_objects.c.job_id == public_tasks.c.job_id, data_objects.c.position == public_tasks.c.position),
        )
    )
