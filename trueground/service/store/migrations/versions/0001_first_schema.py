"""The first schema."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# A migration keeps its own copy of what the tables module may change later.
Time = sa.DateTime(timezone=True)

SQLITE_TRIGGERS = [
    f"CREATE TRIGGER answers_no_{verb.lower()} BEFORE {verb} ON answers "
    "BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END"
    for verb in ("UPDATE", "DELETE")
]
POSTGRESQL_TRIGGERS = [
    "CREATE FUNCTION answers_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'answers are append-only'; END $$",
    "CREATE TRIGGER answers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON answers "
    "FOR EACH STATEMENT EXECUTE FUNCTION answers_append_only()",
]


def where(condition: str) -> Any:
    """An index over these rows only."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        "access_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False, comment="encrypted with a key outside the store"),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("revoked_at", Time),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("expires_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "tags",
        sa.Column("resource", sa.Text(), nullable=False, comment="the last part of its ARN: labeling-job/<name>"),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("resource", "key"),
    )
    op.create_index("tags_key_value", "tags", ["key", "value"], unique=False)
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False, comment="16 hex digits: the last part of AWS's workerId"),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), comment="none for an account that another service vouches for"),
        sa.Column("source", sa.Text(), server_default="local", nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, comment="the sub of the worker's identity data"),
        sa.Column("created_at", Time, nullable=False),
        sa.CheckConstraint("role IN ('worker', 'manager')", name="worker_role"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("username"),
    )
    op.create_table(
        "workforces",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("updated_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("csrf_token", sa.Text(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("expires_at", Time, nullable=False),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"], unique=False)
    op.create_table(
        "worker_groups",
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("group_name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("worker_id", "group_name"),
    )
    op.create_table(
        "workteams",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("workforce", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("updated_at", Time, nullable=False),
        sa.ForeignKeyConstraint(
            ["workforce"],
            ["workforces.name"],
        ),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "labeling_jobs",
        sa.Column("id", Key, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("failure_reason", sa.Text()),
        sa.Column("request", sa.JSON(), nullable=False, comment="the CreateLabelingJob request, without its tags"),
        sa.Column("reference_code", sa.Text(), nullable=False),
        sa.Column("workteam", sa.Text(), nullable=False),
        sa.Column("workers_per_object", sa.Integer(), nullable=False),
        sa.Column("lease_seconds", sa.Integer(), nullable=False),
        sa.Column("max_objects_out", sa.Integer()),
        sa.Column("pre_function", sa.Text()),
        sa.Column("post_function", sa.Text()),
        sa.Column("template", sa.Text(), nullable=False, comment="as it was when the job was created"),
        sa.Column("categories", sa.JSON(), nullable=False),
        sa.Column("label_config", sa.JSON(), nullable=False, comment="the label category configuration file"),
        sa.Column("objects", sa.Integer(), nullable=False),
        sa.Column("withheld", sa.Boolean(), nullable=False, comment="a stopping condition keeps objects back"),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("modified_at", Time, nullable=False),
        sa.Column("available_until", Time, nullable=False),
        sa.Column("stop_requested_at", Time),
        sa.Column("ended_at", Time),
        sa.ForeignKeyConstraint(
            ["workteam"],
            ["workteams.name"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_index("labeling_jobs_status", "labeling_jobs", ["status", "created_at"], unique=False)
    op.create_table(
        "workteam_groups",
        sa.Column("workteam", sa.Text(), nullable=False),
        sa.Column("group_name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["workteam"], ["workteams.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("workteam", "group_name"),
    )
    op.create_index("ix_workteam_groups_group_name", "workteam_groups", ["group_name"], unique=False)
    op.create_table(
        "data_objects",
        sa.Column("job_id", Key, nullable=False),
        sa.Column(
            "position", sa.Integer(), nullable=False, comment="its line in the manifest, from 0: the datasetObjectId"
        ),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("free", sa.Integer(), nullable=False, comment="how many more workers may take it now"),
        sa.Column("answers", sa.Integer(), nullable=False),
        sa.Column("returned", sa.Boolean(), nullable=False, comment="a lease of it came back unanswered"),
        sa.Column("failure_reason", sa.Text()),
        sa.CheckConstraint(
            "state IN ('waiting', 'started', 'answered', 'written', 'labeled', 'withheld', 'failed')",
            name="data_object_state",
        ),
        sa.CheckConstraint("free >= 0", name="data_object_free"),
        sa.ForeignKeyConstraint(["job_id"], ["labeling_jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "position"),
    )
    op.create_index("data_objects_free", "data_objects", ["job_id", "position"], unique=False, **where("free > 0"))
    op.create_index(
        "data_objects_returned", "data_objects", ["job_id", "position"], unique=False, **where("free > 0 AND returned")
    )
    op.create_index("data_objects_state", "data_objects", ["job_id", "state", "position"], unique=False)
    op.create_table(
        "job_workers",
        sa.Column("job_id", Key, nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column(
            "cursor",
            sa.Integer(),
            nullable=False,
            comment="up to here the worker was given every object, or it was taken",
        ),
        sa.ForeignKeyConstraint(["job_id"], ["labeling_jobs.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["worker_id"],
            ["workers.id"],
        ),
        sa.PrimaryKeyConstraint("job_id", "worker_id"),
    )
    op.create_table(
        "assignments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job_id", Key, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("leased_at", Time, nullable=False),
        sa.Column("expires_at", Time, nullable=False),
        sa.CheckConstraint("state IN ('leased', 'submitted', 'released', 'expired')", name="assignment_state"),
        sa.ForeignKeyConstraint(
            ["job_id", "position"], ["data_objects.job_id", "data_objects.position"], ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["worker_id"],
            ["workers.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "assignments_leased", "assignments", ["job_id", "expires_at"], unique=False, **where("state = 'leased'")
    )
    op.create_index(
        "assignments_one_per_worker",
        "assignments",
        ["job_id", "position", "worker_id"],
        unique=True,
        **where("state IN ('leased', 'submitted')"),
    )
    op.create_index("assignments_worker", "assignments", ["worker_id", "job_id", "state"], unique=False)
    op.create_table(
        "answers",
        sa.Column("id", Key, nullable=False),
        sa.Column("assignment_id", sa.Text(), nullable=False),
        sa.Column("job_id", Key, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("accepted_at", Time, nullable=False),
        sa.Column("submitted_at", Time, nullable=False),
        sa.ForeignKeyConstraint(
            ["assignment_id"],
            ["assignments.id"],
        ),
        sa.ForeignKeyConstraint(
            ["worker_id"],
            ["workers.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("assignment_id"),
    )
    op.create_index("answers_object", "answers", ["job_id", "position"], unique=False)
    op.create_index("answers_worker", "answers", ["job_id", "worker_id"], unique=False)

    for statement in SQLITE_TRIGGERS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_TRIGGERS:
        op.execute(statement)
