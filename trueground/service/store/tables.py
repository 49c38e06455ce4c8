"""The tables. Migrations make them; this is what queries are written against."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    false,
    literal_column,
    text,
)


class UTCDateTime(TypeDecorator[datetime]):
    """A time with its zone, kept in UTC; SQLite has no zones of its own."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without a zone; store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time needs a zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()
# SQLite counts up only in a column that is exactly INTEGER.
_Key = BigInteger().with_variant(Integer(), "sqlite")


def _time(name: str, **options: Any) -> Column[datetime]:
    return Column(name, UTCDateTime, **options)


access_keys = Table(
    "access_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret", Text, nullable=False, comment="encrypted with a key outside the store"),
    _time("created_at", nullable=False),
    _time("revoked_at"),
)

# So that a signed request that changes something counts once, whichever process it comes to.
used_signatures = Table(
    "used_signatures",
    metadata,
    Column("signature_hash", Text, primary_key=True),
    _time("used_at", nullable=False),
    _time("expires_at", nullable=False, index=True),
)

workforces = Table(
    "workforces",
    metadata,
    Column("name", Text, primary_key=True),
    Column("request", JSON, nullable=False),
    Column("client_secret", Text, comment="of its OIDC provider, encrypted with a key outside the store"),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
)

workteams = Table(
    "workteams",
    metadata,
    Column("name", Text, primary_key=True),
    Column(
        "workforce", Text, ForeignKey("workforces.name"), comment="none once the workforce of a deleted team is gone"
    ),
    Column("kind", Text, nullable=False, server_default="private"),
    Column("description", Text, nullable=False),
    Column("request", JSON, nullable=False),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
    _time("deleted_at", comment="kept for the jobs it worked on"),
    _time("noticed_at", comment="when its topic was last told of new work"),
    CheckConstraint("kind IN ('private', 'vendor', 'public')", name="workteam_kind"),
)

workteam_groups = Table(
    "workteam_groups",
    metadata,
    Column("workteam", Text, ForeignKey("workteams.name", ondelete="CASCADE"), primary_key=True),
    Column("group_name", Text, primary_key=True, index=True),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True, comment="16 hex digits: the last part of AWS's workerId"),
    Column("username", Text, nullable=False, unique=True),
    Column("name_key", Text, comment="the user name in one case; none for one that clashes, or is no local name"),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("password_hash", Text, comment="none for an account that another service vouches for"),
    Column("source", Text, nullable=False, server_default="local"),
    Column("subject", Text, nullable=False, comment="the sub of the worker's identity data"),
    Column("issuer", Text, comment="the OIDC provider that vouches for the account"),
    Column("email", Text),
    Column("vendor", Text, ForeignKey("workteams.name"), comment="sees this vendor's work team and nothing else"),
    _time("created_at", nullable=False),
    _time("disabled_at"),
    _time("erased_at"),
    _time("noticed_at", comment="when the last notice of new work went out"),
    _time("notices_off_at", comment="when the person asked for no more notices"),
    CheckConstraint("role IN ('worker', 'reviewer', 'manager', 'admin')", name="worker_role"),
    Index("workers_name_key", "name_key", unique=True),
)

worker_groups = Table(
    "worker_groups",
    metadata,
    Column("worker_id", Text, ForeignKey("workers.id", ondelete="CASCADE"), primary_key=True),
    Column("group_name", Text, primary_key=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("worker_id", Text, ForeignKey("workers.id", ondelete="CASCADE"), nullable=False),
    Column("csrf_token", Text, nullable=False),
    _time("created_at", nullable=False),
    _time("expires_at", nullable=False, index=True),
)

# What people take tasks from: a labeling job, or the human loops of one flow definition.
labeling_jobs = Table(
    "labeling_jobs",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("kind", Text, nullable=False, server_default="labeling"),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("failure_reason", Text),
    Column("request", JSON, nullable=False, comment="the CreateLabelingJob request, without its tags"),
    Column("reference_code", Text, nullable=False),
    Column("workteam", Text, ForeignKey("workteams.name"), nullable=False),
    Column("workers_per_object", Integer, nullable=False),
    Column("most_workers", Integer, comment="adaptive: up to here, while an object's label is not sure enough"),
    Column("confidence", Float, comment="adaptive: an object is done when its label is this sure"),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("gold_share", Float, comment="of a worker's tasks that are gold objects"),
    Column("gold_limit", Float, comment="a worker less accurate than this on gold objects is paused"),
    Column("gold_policy", Text, comment="what becomes of a paused worker's answers: weigh, or ask-again"),
    Column("qualification", Integer, comment="gold objects a worker answers before the work itself"),
    Column("streaming", Boolean, nullable=False, server_default=false()),
    Column("iteration", Integer, nullable=False, server_default="1"),
    Column("auto_accuracy", Float, comment="automated: the share of the machine's labels that is right"),
    Column("auto_confidence", Float, comment="automated: how sure that promise is"),
    Column("initial_model", Text, comment="URI of the model that automated labeling begins with"),
    Column("final_model", Text, comment="URI of the model that automated labeling ended with"),
    Column("lease_seconds", Integer, nullable=False),
    Column("max_objects_out", Integer),
    Column("pre_function", Text),
    Column("post_function", Text),
    Column("template", Text, nullable=False, comment="as it was when the job was created"),
    Column("categories", JSON, nullable=False),
    Column("label_config", JSON, nullable=False, comment="the label category configuration file"),
    Column("objects", Integer, nullable=False),
    Column("warnings", JSON, nullable=False, server_default="[]", comment="what may not work, as texts"),
    _time("created_at", nullable=False),
    _time("modified_at", nullable=False),
    _time("available_until", nullable=False),
    _time("stop_requested_at"),
    _time("ended_at"),
    CheckConstraint("kind IN ('labeling', 'review')", name="labeling_job_kind"),
    Index("labeling_jobs_name", "name", "kind", unique=True),
    Index("labeling_jobs_status", "status", "created_at"),
)

tags = Table(
    "tags",
    metadata,
    Column("resource", Text, primary_key=True, comment="the last part of its ARN: labeling-job/<name>"),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Index("tags_key_value", "key", "value"),
)

data_objects = Table(
    "data_objects",
    metadata,
    Column("job_id", _Key, ForeignKey("labeling_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, comment="its line in the manifest, from 0: the datasetObjectId"),
    Column("line", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("free", Integer, nullable=False, comment="how many more workers may take it now"),
    Column("answers", Integer, nullable=False),
    Column("wanted", Integer, nullable=False, server_default="1", comment="how many answers complete it"),
    Column("declines", Integer, nullable=False, server_default="0"),
    Column("returned", Boolean, nullable=False, comment="a lease of it came back unanswered"),
    Column("failure_reason", Text),
    Column("dedup_key", Text, comment="streaming: the object's own id; human loops: the loop's name"),
    Column("task_input", JSON, comment="what a pre-annotation function of the requester's own made of it"),
    Column("label", JSON, comment="machine: its keys in the manifest; gold: the value that is right"),
    Column("iteration", Integer),
    _time("available_until", comment="where not the job's, but the object's own: human loops"),
    # Never more workers than asked for, whatever the code does.
    CheckConstraint("free >= 0", name="data_object_free"),
    CheckConstraint(
        "state IN ('unprepared', 'waiting', 'started', 'answered', 'written', 'labeled', 'machine', 'gold', "
        "'withheld', 'not-required', 'failed')",
        name="data_object_state",
    ),
    Index("data_objects_state", "job_id", "state", "position"),
    Index(
        "data_objects_dedup_key",
        "job_id",
        "dedup_key",
        unique=True,
        sqlite_where=text("dedup_key IS NOT NULL"),
        postgresql_where=text("dedup_key IS NOT NULL"),
    ),
    Index(
        "data_objects_free",
        "job_id",
        "position",
        sqlite_where=text("free > 0"),
        postgresql_where=text("free > 0"),
    ),
    Index(
        "data_objects_returned",
        "job_id",
        "position",
        sqlite_where=text("free > 0 AND returned"),
        postgresql_where=text("free > 0 AND returned"),
    ),
)

# The rounds of a job with automated labeling; the last one is the job's iteration.
label_rounds = Table(
    "label_rounds",
    metadata,
    Column("job_id", _Key, ForeignKey("labeling_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("plan", JSON, nullable=False, comment="whom it asks and what it would label, by position"),
    Column("settlement", JSON, comment="what became of its proposal"),
    _time("started_at", nullable=False),
    _time("settled_at"),
)

job_workers = Table(
    "job_workers",
    metadata,
    Column("job_id", _Key, ForeignKey("labeling_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("worker_id", Text, ForeignKey("workers.id"), primary_key=True),
    Column("cursor", Integer, nullable=False, comment="up to here the worker was given every object, or it was taken"),
    Column("answered", Integer, nullable=False, server_default="0"),
    Column("gold_seen", Integer, nullable=False, server_default="0"),
    Column("gold_right", Integer, nullable=False, server_default="0"),
    _time("last_task_at"),
    _time("paused_at"),
    Column("pause_reason", Text),
)

ASKED = text("state IN ('leased', 'submitted', 'declined', 'discarded')")
"""The assignments that keep a worker from being asked again. The index of an object's assignments holds these only, and
SQLite uses it only for queries that say so in these words."""

assignments = Table(
    "assignments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", _Key, nullable=False),
    Column("position", Integer, nullable=False),
    Column("worker_id", Text, ForeignKey("workers.id"), nullable=False),
    Column("state", Text, nullable=False),
    _time("leased_at", nullable=False),
    _time("expires_at", nullable=False),
    _time("paused_at"),
    Column("remaining_seconds", Float, comment="of its time limit, while it is paused"),
    Column("reason", Text, comment="why it was declined, released or discarded"),
    Column("pages", Text, comment="the browser pages that show it, by spaces"),
    ForeignKeyConstraint(["job_id", "position"], ["data_objects.job_id", "data_objects.position"], ondelete="CASCADE"),
    CheckConstraint(
        "state IN ('leased', 'submitted', 'released', 'expired', 'declined', 'discarded')", name="assignment_state"
    ),
    # Never the same worker twice, whatever the code does.
    Index(
        "assignments_one_per_worker",
        "job_id",
        "position",
        "worker_id",
        unique=True,
        sqlite_where=ASKED,
        postgresql_where=ASKED,
    ),
    Index(
        "assignments_leased",
        "job_id",
        "worker_id",
        sqlite_where=text("state = 'leased'"),
        postgresql_where=text("state = 'leased'"),
    ),
    Index("assignments_worker", "worker_id", "job_id", "state"),
)
IS_LEASED = assignments.c.state == literal_column("'leased'")
"""With the state in the statement itself: SQLite does not see that a bound value fits the index of the leased ones."""

answers = Table(
    "answers",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("assignment_id", Text, ForeignKey("assignments.id"), nullable=False),
    Column(
        "revision", Integer, nullable=False, server_default="0", comment="counts the worker's edits; the last holds"
    ),
    Column("job_id", _Key, nullable=False),
    Column("position", Integer, nullable=False),
    Column("worker_id", Text, ForeignKey("workers.id"), nullable=False),
    Column("content", JSON, nullable=False),
    Column("seconds", Float, nullable=False),
    _time("accepted_at", nullable=False),
    _time("submitted_at", nullable=False),
    Index("answers_assignment", "assignment_id", "revision", unique=True),
    Index("answers_object", "job_id", "position"),
    Index("answers_worker", "job_id", "worker_id"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    _time("expires_at", nullable=False),
)

drafts = Table(
    "drafts",
    metadata,
    Column("assignment_id", Text, ForeignKey("assignments.id", ondelete="CASCADE"), primary_key=True),
    Column("content", JSON, nullable=False),
    Column("seconds", Float, nullable=False),
    _time("saved_at", nullable=False),
)

human_task_uis = Table(
    "human_task_uis",
    metadata,
    Column("name", Text, primary_key=True),
    Column("template", Text, nullable=False),
    Column("status", Text, nullable=False),
    _time("created_at", nullable=False),
)

flow_definitions = Table(
    "flow_definitions",
    metadata,
    Column("name", Text, primary_key=True),
    Column("job_id", _Key, ForeignKey("labeling_jobs.id"), nullable=False, comment="what people take its tasks from"),
    Column("request", JSON, nullable=False, comment="the CreateFlowDefinition request, without its tags"),
    Column("status", Text, nullable=False),
    Column("failure_reason", Text),
    _time("created_at", nullable=False),
)

human_loops = Table(
    "human_loops",
    metadata,
    Column("name", Text, primary_key=True),
    # No foreign key: a loop outlives its flow definition.
    Column("flow_definition", Text, nullable=False),
    Column("job_id", _Key, nullable=False),
    Column("position", Integer, nullable=False),
    Column("input_sha256", Text, nullable=False, comment="of the input's text: the same name may come again with it"),
    Column("data_attributes", JSON),
    Column("status", Text, nullable=False),
    Column("failure_code", Text),
    Column("failure_reason", Text),
    Column("output_uri", Text),
    Column("origin_run", Text, comment="DAG and run in Airflow, as JSON"),
    Column("origin_task", Text, comment="its task and map index, as JSON"),
    _time("created_at", nullable=False),
    _time("stop_requested_at"),
    _time("ended_at"),
    ForeignKeyConstraint(["job_id", "position"], ["data_objects.job_id", "data_objects.position"]),
    CheckConstraint("status IN ('InProgress', 'Failed', 'Completed', 'Stopped', 'Stopping')", name="human_loop_status"),
    Index("human_loops_object", "job_id", "position", unique=True),
    Index("human_loops_flow", "flow_definition", "created_at"),
    Index("human_loops_status", "status"),
    Index("human_loops_origin", "origin_run", "job_id"),
)

# A data object that anybody on Mechanical Turk may take: one HIT there.
public_tasks = Table(
    "public_tasks",
    metadata,
    Column("job_id", _Key, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("request_token", Text, nullable=False, unique=True, comment="sent with each try, so that one HIT is made"),
    Column("hit_id", Text, unique=True),
    Column(
        "state",
        Text,
        nullable=False,
        comment="wanted; open at Mechanical Turk; closing: nobody may begin it any more; over",
    ),
    _time("created_at", nullable=False),
    _time("checked_at", comment="when Mechanical Turk was last asked what was handed in"),
    ForeignKeyConstraint(["job_id", "position"], ["data_objects.job_id", "data_objects.position"], ondelete="CASCADE"),
    CheckConstraint("state IN ('wanted', 'open', 'closing', 'over')", name="public_task_state"),
    Index("public_tasks_state", "state", "job_id"),
)

# What happened, in EventBridge's form, kept until every webhook has it.
events = Table(
    "events",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("resource", Text, nullable=False, comment="the last part of its ARN; a webhook gets its events in order"),
    Column("detail_type", Text, nullable=False),
    Column("body", JSON, nullable=False),
    _time("created_at", nullable=False),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False, comment="signs what is sent; encrypted with a key outside the store"),
    Column("detail_types", JSON, nullable=False, comment="which events it gets; none given means all"),
    _time("created_at", nullable=False),
    _time("disabled_at"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("webhook_id", _Key, ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True),
    Column("event_id", _Key, ForeignKey("events.id", ondelete="CASCADE"), primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    _time("next_at", nullable=False),
    _time("delivered_at"),
    Index(
        "deliveries_due",
        "next_at",
        sqlite_where=text("delivered_at IS NULL"),
        postgresql_where=text("delivered_at IS NULL"),
    ),
)

invitations = Table(
    "invitations",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("email", Text),
    Column("role", Text, nullable=False),
    Column("groups", JSON, nullable=False),
    Column("vendor", Text, ForeignKey("workteams.name", ondelete="CASCADE")),
    Column("invited_by", Text, nullable=False),
    _time("created_at", nullable=False),
    _time("expires_at", nullable=False),
    _time("used_at"),
)

sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("key", Text, primary_key=True, comment="a user name or an address, hashed"),
    Column("failures", Integer, nullable=False),
    _time("since", nullable=False),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", _Key, primary_key=True),
    _time("at", nullable=False),
    Column("actor", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("address", Text),
    Index("audit_log_at", "at"),
)
