"""Labeling jobs: create, describe, list, stop."""

from __future__ import annotations

import operator
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from trueground import storage as paths
from trueground.errors import InputError
from trueground.service.engine import algorithms, audit_log, mturk, stream_source, streaming, tags, teams
from trueground.service.engine.errors import InUse, Invalid
from trueground.service.engine.gold import GoldObject, read_gold
from trueground.service.engine.job_options import JobOptions, read_options
from trueground.service.engine.job_request import JobPlan, check_request
from trueground.service.engine.job_rows import already_labeled, count_states, find_job
from trueground.service.engine.manifest import Line, read_lines
from trueground.service.engine.pages import Page, page_of
from trueground.service.engine.part_answered import missing_answers
from trueground.service.engine.preparation import must_be_prepared
from trueground.service.engine.public_request import TEAM as PUBLIC_TEAM
from trueground.service.engine.public_workers import create_public_team
from trueground.service.engine.warnings import too_few_people, warn
from trueground.service.settings import ServiceSettings
from trueground.service.store.bulk import insert_rows
from trueground.service.store.database import Database, now
from trueground.service.store.tables import data_objects, labeling_jobs, workteams
from trueground.storage import Storage

CHUNK = 20_000
"""Data objects stored in one transaction."""
INITIALIZING = "Initializing"
ABANDONED = timedelta(minutes=2)
"""A job that is being created and shows no progress for so long is given up."""
ENDLESS = timedelta(days=3650)
CheckTemplate = Callable[[str, Mapping[str, Any] | None], str | None]
"""What a template becomes with a ``task.input``; ``None`` without one. Raises :class:`InputError` where it cannot."""


@dataclass(frozen=True, slots=True)
class Job:
    """A labeling job with its counts."""

    name: str
    arn: str
    status: str
    failure_reason: str | None
    request: dict[str, Any]
    reference_code: str
    workteam: str
    created_at: datetime
    modified_at: datetime
    objects: int
    counts: Mapping[str, int]
    """Number of data objects by state."""
    tags: Mapping[str, str]
    final_model: str | None = None
    """ARN of the model that automated labeling ended with."""

    @property
    def output_manifest(self) -> str:
        """Where the augmented manifest is once the job has ended."""
        return paths.join(self.request["OutputConfig"]["S3OutputPath"], self.name, "manifests/output/output.manifest")

    @property
    def machine_labeled(self) -> int:
        """Objects that automated labeling labeled."""
        return self.counts.get("machine", 0)

    @property
    def human_labeled(self) -> int:
        """Objects that people labeled in this job."""
        return self.counts.get("answered", 0) + self.counts.get("written", 0)

    @property
    def already_labeled(self) -> int:
        """Objects that came with their label."""
        return self.counts.get("labeled", 0)

    @property
    def failed(self) -> int:
        """Objects that got no label and never will in this job."""
        return self.counts.get("failed", 0)


def create_job(
    db: Database,
    storage: Storage,
    settings: ServiceSettings,
    request: dict[str, Any],
    check_template: CheckTemplate | None = None,
) -> str:
    """Create a labeling job from a request of the right shape; returns its ARN.

    The manifest is read twice: once to check all of it, and once to store it, a chunk at a time so that nobody waits
    for the store. Until all is stored the job is Initializing and nobody gets a task; what an interrupted request left
    of one is removed.

    Raises:
        InUse: there is a job of that name.
        NotFound, Invalid, InputError: the request cannot be honoured; the message says why.
    """
    remove_abandoned(db)
    with db.read() as connection:
        _refuse_taken(connection, request["LabelingJobName"])
    plan = check_request(request, storage, settings)
    public = plan.workteam == PUBLIC_TEAM
    if public:
        create_public_team(db)
    with db.read() as connection:
        kind = teams.kind_of(request["HumanTaskConfig"]["WorkteamArn"])
        team = select(workteams.c.name).where(
            workteams.c.name == plan.workteam, workteams.c.kind == kind, workteams.c.deleted_at.is_(None)
        )
        if connection.execute(team).first() is None:
            raise Invalid(f"there is no work team {plan.workteam!r}: create it first")
        initial_model = algorithms.find_initial_model(
            connection, storage, settings, request, plan.algorithm, plan.categories
        )
    own_tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
    options = read_options(own_tags, plan.workers_per_object, automated=plan.algorithm is not None)
    objects, labeled, warnings = _check_manifest(plan, storage, check_template)
    if plan.algorithm is not None and objects - labeled > algorithms.MOST_OBJECTS:
        raise Invalid(
            f"LabelingJobAlgorithmsConfig cannot be honoured: {objects - labeled} data objects are to be labeled, "
            f"automated labeling takes {algorithms.MOST_OBJECTS} at most"
        )
    known = list(read_gold(plan, options, storage))
    people = _objects_for_people(plan, objects, labeled)
    if public:
        mturk.check_funds(settings, request, people * plan.workers_per_object)
    try:
        with db.write() as connection:
            _refuse_taken(connection, plan.name)
            if not public:
                warnings += too_few_people(connection, plan.workteam, plan.workers_per_object, own_tags)
            job_id = _store(connection, plan, options, request, objects, initial_model, warn(warnings))
            tags.put(connection, resource(plan.name), own_tags)
            audit_log.record(connection, act="CreateLabelingJob", resource=resource(plan.name))
    except IntegrityError:
        # On PostgreSQL two requests can come this far with one name.
        raise InUse(f"there is already a labeling job {plan.name!r}") from None
    # With automated labeling its rounds open them.
    at_once = people if plan.algorithm is None else 0
    try:
        if plan.manifest is None or plan.streaming:
            _begin_stream(db, storage, settings, plan, job_id, known)
        else:
            _store_objects(db, job_id, _rows(job_id, plan, read_lines(storage, plan.manifest), at_once), objects, known)
    except StoredOtherwise:
        _remove(db, job_id, plan.name)
        raise InputError(
            "the manifest changed while it was read", file=plan.manifest, hint="Create the job again."
        ) from None
    except BaseException:
        _remove(db, job_id, plan.name)
        raise
    db.changed.set()
    return settings.arn(resource(plan.name))


def describe_job(db: Database, settings: ServiceSettings, name: str) -> Job:
    """One labeling job. Raises :class:`NotFound`."""
    with db.read() as connection:
        return _job(connection, settings, find_job(connection, name))


def list_jobs(
    db: Database,
    settings: ServiceSettings,
    *,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    modified_after: datetime | None = None,
    modified_before: datetime | None = None,
    name_contains: str | None = None,
    status: str | None = None,
    workteam: str | None = None,
    reference_code_contains: str | None = None,
    sort_by: str = "CreationTime",
    descending: bool = False,
    limit: int = 100,
    token: str | None = None,
) -> Page[Job]:
    """A page of labeling jobs. Raises :class:`Invalid` for a token that is not ours."""
    table = labeling_jobs.c
    query = select(labeling_jobs).where(table.kind == "labeling")
    for column, compare, value in (
        (table.created_at, operator.gt, created_after),
        (table.created_at, operator.lt, created_before),
        (table.modified_at, operator.gt, modified_after),
        (table.modified_at, operator.lt, modified_before),
        (table.status, operator.eq, status),
        (table.workteam, operator.eq, workteam),
    ):
        if value is not None:
            query = query.where(compare(column, value))
    if name_contains is not None:
        query = query.where(func.lower(table.name).contains(name_contains.lower(), autoescape=True))
    if reference_code_contains is not None:
        query = query.where(table.reference_code.contains(reference_code_contains, autoescape=True))
    sorted_by = {"CreationTime": table.created_at, "Name": table.name, "Status": table.status}[sort_by]
    with db.read() as connection:
        page = page_of(connection, query, sorted_by, table.id, descending=descending, limit=limit, token=token)
        return Page([_job(connection, settings, row) for row in page.items], page.token)


def stop_job(db: Database, name: str) -> None:
    """Ask a job to stop: no new tasks; answers to the tasks that people hold are still taken for a short while.

    Raises:
        NotFound: there is no such job.
        Invalid: it has ended already.
    """
    with db.write() as connection:
        job = find_job(connection, name, lock=True)
        if job.status == "Stopping":
            return
        if job.status != "InProgress":
            raise Invalid(f"the labeling job {name!r} is {job.status}; only a job in progress can be stopped")
        connection.execute(
            update(labeling_jobs)
            .where(labeling_jobs.c.id == job.id)
            .values(status="Stopping", stop_requested_at=now(), modified_at=now())
        )
        audit_log.record(connection, act="StopLabelingJob", resource=resource(name))
    db.changed.set()


def resource(name: str) -> str:
    """The last part of a job's ARN."""
    return f"labeling-job/{name}"


def _job(connection: Connection, settings: ServiceSettings, row: Row[Any]) -> Job:
    return Job(
        name=row.name,
        arn=settings.arn(resource(row.name)),
        status=row.status,
        failure_reason=row.failure_reason,
        request=row.request,
        reference_code=row.reference_code,
        workteam=row.workteam,
        created_at=row.created_at,
        modified_at=row.modified_at,
        objects=row.objects,
        counts=count_states(connection, row.id),
        tags=tags.get(connection, resource(row.name)),
        final_model=None if row.final_model is None else settings.arn(algorithms.model_resource(row.name)),
    )


def _refuse_taken(connection: Connection, name: str) -> None:
    taken = select(labeling_jobs.c.id).where(labeling_jobs.c.name == name, labeling_jobs.c.kind == "labeling")
    if connection.execute(taken).first() is not None:
        raise InUse(f"there is already a labeling job {name!r}")


def _check_manifest(
    plan: JobPlan, storage: Storage, check_template: CheckTemplate | None
) -> tuple[int, int, list[str]]:
    """How many data objects there are, how many come with their label, and what may not work in the template."""
    objects = labeled = 0
    warnings: list[str] = []
    if plan.manifest is None:
        if check_template is not None:
            warnings = _check_template(plan, None, check_template)
        return 0, 0, warnings

    def check(content: dict[str, Any]) -> None:
        plan.check_object(content)
        if plan.streaming:
            streaming.own_id(content)

    for line in read_lines(storage, plan.manifest, check, streaming=plan.streaming):
        if objects == 0 and check_template is not None:
            warnings = _check_template(plan, line, check_template)
        objects += 1
        labeled += already_labeled(line.content, plan.attribute)
    return objects, labeled, warnings


def _check_template(plan: JobPlan, line: Line | None, check: CheckTemplate) -> list[str]:
    """Better that a template's mistake is told here, once, than to each worker."""
    try:
        page = check(plan.template, None if plan.calls_function or line is None else plan.task_input(line.content))
    except InputError as error:
        raise InputError(error.problem, file=plan.template_uri, line=error.line, hint=error.hint) from None
    return plan.check_page(page)


def _objects_for_people(plan: JobPlan, objects: int, labeled: int) -> int:
    """How many of the unlabeled objects are asked about. Objects go out in the manifest's order, so a stopping
    condition holds exactly if no more than these are ever given to people.
    """
    limits = [objects - labeled]
    if plan.streaming:
        # As on AWS: nobody knows how many there will be.
        return limits[0]
    if plan.max_human is not None:
        limits.append(plan.max_human)
    if plan.max_percentage is not None:
        limits.append(max(0, objects * plan.max_percentage // 100 - labeled))
    return min(limits)


class StoredOtherwise(Exception):
    """Another number of data objects was stored than was counted before."""


def _store(
    connection: Connection,
    plan: JobPlan,
    options: JobOptions,
    request: dict[str, Any],
    objects: int,
    initial_model: str | None,
    warnings: list[str],
) -> int:
    """The job's row, without its objects; returns its number."""
    created = now()
    job_id: int = connection.execute(
        insert(labeling_jobs)
        .values(
            name=plan.name,
            status=INITIALIZING,
            request={key: value for key, value in request.items() if key != "Tags"},
            reference_code=secrets.token_hex(16),
            workteam=plan.workteam,
            workers_per_object=plan.workers_per_object,
            lease_seconds=plan.lease_seconds,
            max_objects_out=plan.max_objects_out,
            pre_function=plan.pre_function,
            post_function=plan.post_function,
            template=plan.template,
            categories=plan.categories,
            label_config=plan.label_config,
            streaming=plan.streaming,
            objects=0 if plan.streaming else objects,
            # The rounds of automated labeling begin in the background.
            iteration=1 if plan.algorithm is None else 0,
            initial_model=initial_model,
            warnings=warnings,
            created_at=created,
            modified_at=created,
            # The objects of a streaming job each have their own time.
            available_until=created + (ENDLESS if plan.streaming else timedelta(seconds=plan.availability_seconds)),
            **options.columns(),
        )
        .returning(labeling_jobs.c.id)
    ).scalar_one()
    return job_id


def _store_objects(
    db: Database, job_id: int, rows: Iterator[tuple[Any, ...]], objects: int, known: list[GoldObject]
) -> None:
    """Store a job's data objects and open it. Raises :class:`StoredOtherwise`."""
    stored, whole = 0, False
    gold_rows = _gold_rows(job_id, objects, known)
    while not whole:
        chunk = list(islice(rows, CHUNK))
        stored += len(chunk)
        whole = len(chunk) < CHUNK
        if stored > objects or (whole and stored < objects):
            raise StoredOtherwise
        with db.write(routine=not whole) as connection:
            insert_rows(connection, data_objects, _COLUMNS, chunk)
            values: dict[str, Any] = {"modified_at": now()}
            if whole:
                insert_rows(connection, data_objects, (*_COLUMNS, "label"), gold_rows)
                values["status"] = "InProgress"
            connection.execute(update(labeling_jobs).where(labeling_jobs.c.id == job_id).values(**values))


def _gold_rows(job_id: int, first: int, known: list[GoldObject]) -> list[tuple[Any, ...]]:
    return [
        (job_id, first + number, gold.line, "gold", 0, 0, 1, False, gold.label) for number, gold in enumerate(known)
    ]


def _begin_stream(
    db: Database, storage: Storage, settings: ServiceSettings, plan: JobPlan, job_id: int, known: list[GoldObject]
) -> None:
    """Take in the manifest that a streaming job may begin with, listen to its topic, and open it."""
    with db.read() as connection:
        job = connection.execute(select(labeling_jobs).where(labeling_jobs.c.id == job_id)).one()
    lines = iter(()) if plan.manifest is None else read_lines(storage, plan.manifest, streaming=True)
    while chunk := list(islice(lines, CHUNK)):
        with db.write(routine=True) as connection:
            streaming.append(connection, job, streaming.manifest_rows(job, settings, chunk))
    if plan.input_topic is not None:
        stream_source.connect(settings, plan.name, plan.input_topic)
    with db.write() as connection:
        mine = labeling_jobs.c.id == job_id
        objects = connection.scalar(select(labeling_jobs.c.objects).where(mine)) or 0
        insert_rows(connection, data_objects, (*_COLUMNS, "label"), _gold_rows(job_id, objects, known))
        connection.execute(update(labeling_jobs).where(mine).values(status="InProgress", modified_at=now()))


def _remove(db: Database, job_id: int, name: str) -> None:
    """Take away what is there of a job that never opened."""
    with db.write() as connection:
        mine = (labeling_jobs.c.id == job_id) & (labeling_jobs.c.status == INITIALIZING)
        if connection.execute(delete(labeling_jobs).where(mine)).rowcount:
            tags.remove(connection, resource(name), list(tags.get(connection, resource(name))))


def remove_abandoned(db: Database) -> None:
    """Remove jobs whose creation was cut off: the client was never told that they exist, and will ask again."""
    query = select(labeling_jobs.c.id, labeling_jobs.c.name).where(
        labeling_jobs.c.status == INITIALIZING, labeling_jobs.c.modified_at < now() - ABANDONED
    )
    with db.read() as connection:
        found = connection.execute(query).all()
    for row in found:
        _remove(db, row.id, row.name)


_COLUMNS = ("job_id", "position", "line", "state", "free", "answers", "wanted", "returned")


def _rows(job_id: int, plan: JobPlan, lines: Iterator[Line], people: int) -> Iterator[tuple[Any, ...]]:
    """The values of ``_COLUMNS`` for each line."""
    for position, line in enumerate(lines):
        if already_labeled(line.content, plan.attribute):
            state = "labeled"
        elif people > 0:
            state = "unprepared" if must_be_prepared(plan.calls_function, line.content) else "waiting"
            people -= 1
        else:
            state = "withheld"
        # Of what an earlier job could not finish, only the rest is asked for.
        missing = missing_answers(line.content, plan.attribute) or plan.workers_per_object
        wanted = min(plan.workers_per_object, missing)
        yield job_id, position, line.text, state, wanted if state == "waiting" else 0, 0, wanted, False
