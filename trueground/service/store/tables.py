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

workforces = Table(
    "workforces",
    metadata,
    Column("name", Text, primary_key=True),
    Column("request", JSON, nullable=False),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
)

workteams = Table(
    "workteams",
    metadata,
    Column("name", Text, primary_key=True),
    Column("workforce", Text, ForeignKey("workforces.name"), nullable=False),
    Column("description", Text, nullable=False),
    Column("request", JSON, nullable=False),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
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
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("password_hash", Text, comment="none for an account that another service vouches for"),
    Column("source", Text, nullable=False, server_default="local"),
    Column("subject", Text, nullable=False, comment="the sub of the worker's identity data"),
    _time("created_at", nullable=False),
    CheckConstraint("role IN ('worker', 'manager')", name="worker_role"),
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

labeling_jobs = Table(
    "labeling_jobs",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("status", Text, nullable=False),
    Column("failure_reason", Text),
    Column("request", JSON, nullable=False, comment="the CreateLabelingJob request, without its tags"),
    Column("reference_code", Text, nullable=False),
    Column("workteam", Text, ForeignKey("workteams.name"), nullable=False),
    Column("workers_per_object", Integer, nullable=False),
    Column("lease_seconds", Integer, nullable=False),
    Column("max_objects_out", Integer),
    Column("pre_function", Text),
    Column("post_function", Text),
    Column("template", Text, nullable=False, comment="as it was when the job was created"),
    Column("categories", JSON, nullable=False),
    Column("label_config", JSON, nullable=False, comment="the label category configuration file"),
    Column("objects", Integer, nullable=False),
    Column("withheld", Boolean, nullable=False, comment="a stopping condition keeps objects back"),
    _time("created_at", nullable=False),
    _time("modified_at", nullable=False),
    _time("available_until", nullable=False),
    _time("stop_requested_at"),
    _time("ended_at"),
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
    Column("returned", Boolean, nullable=False, comment="a lease of it came back unanswered"),
    Column("failure_reason", Text),
    # Never more workers than asked for, whatever the code does.
    CheckConstraint("free >= 0", name="data_object_free"),
    CheckConstraint(
        "state IN ('waiting', 'started', 'answered', 'written', 'labeled', 'withheld', 'failed')",
        name="data_object_state",
    ),
    Index("data_objects_state", "job_id", "state", "position"),
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

job_workers = Table(
    "job_workers",
    metadata,
    Column("job_id", _Key, ForeignKey("labeling_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("worker_id", Text, ForeignKey("workers.id"), primary_key=True),
    Column("cursor", Integer, nullable=False, comment="up to here the worker was given every object, or it was taken"),
)

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
    ForeignKeyConstraint(["job_id", "position"], ["data_objects.job_id", "data_objects.position"], ondelete="CASCADE"),
    CheckConstraint("state IN ('leased', 'submitted', 'released', 'expired')", name="assignment_state"),
    # Never the same worker twice, whatever the code does.
    Index(
        "assignments_one_per_worker",
        "job_id",
        "position",
        "worker_id",
        unique=True,
        sqlite_where=text("state IN ('leased', 'submitted')"),
        postgresql_where=text("state IN ('leased', 'submitted')"),
    ),
    Index(
        "assignments_leased",
        "job_id",
        "expires_at",
        sqlite_where=text("state = 'leased'"),
        postgresql_where=text("state = 'leased'"),
    ),
    Index("assignments_worker", "worker_id", "job_id", "state"),
)

answers = Table(
    "answers",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("assignment_id", Text, ForeignKey("assignments.id"), nullable=False, unique=True),
    Column("job_id", _Key, nullable=False),
    Column("position", Integer, nullable=False),
    Column("worker_id", Text, ForeignKey("workers.id"), nullable=False),
    Column("content", JSON, nullable=False),
    Column("seconds", Float, nullable=False),
    _time("accepted_at", nullable=False),
    _time("submitted_at", nullable=False),
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
