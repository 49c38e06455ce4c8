"""Human loops, gold objects, edits, pauses and declines; roles, vendors, invitations; events and webhooks."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# A migration keeps its own copy of what the tables module may change later.
Time = sa.DateTime(timezone=True)

SQLITE_TRIGGERS = [
    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
    f"BEGIN SELECT RAISE(ABORT, '{what} append-only'); END"
    for table, what in (("answers", "answers are"), ("audit_log", "the audit log is"))
    for verb in ("UPDATE", "DELETE")
]
POSTGRESQL_TRIGGERS = [
    "CREATE FUNCTION audit_log_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$",
    "CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_log_append_only()",
]


def where(condition: str) -> Any:
    """An index over these rows only."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def on_sqlite() -> bool:
    """Whether tables must be copied to change their constraints."""
    return bool(op.get_bind().dialect.name == "sqlite")


def altered(table: str) -> Any:
    """Change a table: by altering it, on SQLite by a copy."""
    return op.batch_alter_table(
        table,
        # Unnamed constraints get the names that PostgreSQL gave them.
        naming_convention={"uq": "%(table_name)s_%(column_0_name)s_key"},
    )


def upgrade() -> None:
    if on_sqlite():
        for verb in ("update", "delete"):
            op.execute(f"DROP TRIGGER answers_no_{verb}")
    _change_people()
    _change_jobs()
    _change_assignments()
    _make_tables()
    for statement in SQLITE_TRIGGERS if on_sqlite() else POSTGRESQL_TRIGGERS:
        op.execute(statement)


def _change_people() -> None:
    op.add_column("workforces", sa.Column("client_secret", sa.Text(), comment="of its OIDC provider, encrypted with a key outside the store"))
    with altered("workteams") as table:
        table.add_column(sa.Column("kind", sa.Text(), nullable=False, server_default="private"))
        table.add_column(sa.Column("deleted_at", Time, comment="kept for the jobs it worked on"))
        table.alter_column(
            "workforce",
            existing_type=sa.Text(),
            nullable=True,
            comment="none once the workforce of a deleted team is gone",
        )
        table.create_check_constraint("workteam_kind", "kind IN ('private', 'vendor', 'public')")
    with altered("workers") as table:
        table.drop_constraint("worker_role", type_="check")
        table.create_check_constraint("worker_role", "role IN ('worker', 'reviewer', 'manager', 'admin')")
        table.add_column(sa.Column("issuer", sa.Text(), comment="the OIDC provider that vouches for the account"))
        table.add_column(sa.Column("email", sa.Text()))
        table.add_column(sa.Column("vendor", sa.Text(), comment="sees this vendor's work team and nothing else"))
        for name in ("disabled_at", "erased_at"):
            table.add_column(sa.Column(name, Time))
        table.add_column(sa.Column("noticed_at", Time, comment="when the last notice of new work went out"))
        table.add_column(sa.Column("notices_off_at", Time, comment="when the person asked for no more notices"))
        table.create_foreign_key("workers_vendor_fkey", "workteams", ["vendor"], ["name"])


def _change_jobs() -> None:
    with altered("labeling_jobs") as table:
        table.add_column(sa.Column("kind", sa.Text(), nullable=False, server_default="labeling"))
        table.create_check_constraint("labeling_job_kind", "kind IN ('labeling', 'review')")
        table.add_column(sa.Column("most_workers", sa.Integer(), comment="adaptive: up to here, while an object's label is not sure enough"))
        table.add_column(sa.Column("confidence", sa.Float(), comment="adaptive: an object is done when its label is this sure"))
        table.add_column(sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("gold_share", sa.Float(), comment="of a worker's tasks that are gold objects"))
        table.add_column(sa.Column("gold_limit", sa.Float(), comment="a worker less accurate than this on gold objects is paused"))
        table.add_column(sa.Column("gold_policy", sa.Text(), comment="what becomes of a paused worker's answers: weigh, or ask-again"))
        table.add_column(sa.Column("qualification", sa.Integer(), comment="gold objects a worker answers before the work itself"))
        table.add_column(sa.Column("streaming", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("iteration", sa.Integer(), nullable=False, server_default="1"))
        table.add_column(sa.Column("final_model", sa.Text(), comment="URI of the model that automated labeling ended with"))
        table.drop_constraint("labeling_jobs_name_key", type_="unique")
    op.create_index("labeling_jobs_name", "labeling_jobs", ["name", "kind"], unique=True)
    with altered("data_objects") as table:
        table.drop_constraint("data_object_state", type_="check")
        table.create_check_constraint(
            "data_object_state",
            "state IN ('unprepared', 'waiting', 'started', 'answered', 'written', 'labeled', 'machine', 'gold', "
            "'withheld', 'not-required', 'failed')",
        )
        table.add_column(sa.Column("wanted", sa.Integer(), nullable=False, server_default="1", comment="how many answers complete it"))
        table.add_column(sa.Column("declines", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("dedup_key", sa.Text(), comment="streaming: the object's own id; human loops: the loop's name"))
        table.add_column(sa.Column("task_input", sa.JSON(), comment="what a pre-annotation function of the requester's own made of it"))
        table.add_column(sa.Column("label", sa.JSON(), comment="machine: its keys in the manifest; gold: the value that is right"))
        table.add_column(sa.Column("iteration", sa.Integer()))
        table.add_column(sa.Column("available_until", Time, comment="where not the job's, but the object's own: human loops"))
    op.create_index(
        "data_objects_dedup_key", "data_objects", ["job_id", "dedup_key"], unique=True, **where("dedup_key IS NOT NULL")
    )
    op.execute(
        "UPDATE data_objects SET wanted = "
        "(SELECT workers_per_object FROM labeling_jobs WHERE labeling_jobs.id = data_objects.job_id)"
    )
    with altered("job_workers") as table:
        for name in ("answered", "gold_seen", "gold_right"):
            table.add_column(sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
        for name in ("last_task_at", "paused_at"):
            table.add_column(sa.Column(name, Time))
        table.add_column(sa.Column("pause_reason", sa.Text()))
    op.execute(
        "UPDATE job_workers SET answered = (SELECT count(*) FROM answers "
        "WHERE answers.job_id = job_workers.job_id AND answers.worker_id = job_workers.worker_id)"
    )


def _change_assignments() -> None:
    op.drop_index("assignments_one_per_worker", "assignments")
    with altered("assignments") as table:
        table.drop_constraint("assignment_state", type_="check")
        table.create_check_constraint(
            "assignment_state",
            "state IN ('leased', 'submitted', 'released', 'expired', 'declined', 'discarded')",
        )
        table.add_column(sa.Column("paused_at", Time))
        table.add_column(sa.Column("remaining_seconds", sa.Float(), comment="of its time limit, while it is paused"))
        table.add_column(sa.Column("reason", sa.Text(), comment="why it was declined, released or discarded"))
    op.create_index(
        "assignments_one_per_worker",
        "assignments",
        ["job_id", "position", "worker_id"],
        unique=True,
        **where("state IN ('leased', 'submitted', 'declined', 'discarded')"),
    )
    with altered("answers") as table:
        table.add_column(sa.Column("revision", sa.Integer(), nullable=False, server_default="0", comment="counts the worker's edits; the last holds"))
        table.drop_constraint("answers_assignment_id_key", type_="unique")
    op.create_index("answers_assignment", "answers", ["assignment_id", "revision"], unique=True)


def _make_tables() -> None:
    op.create_table(
        "used_signatures",
        sa.Column("signature_hash", sa.Text(), nullable=False),
        sa.Column("used_at", Time, nullable=False),
        sa.Column("expires_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("signature_hash"),
    )
    op.create_index("ix_used_signatures_expires_at", "used_signatures", ["expires_at"], unique=False)
    op.create_table(
        "drafts",
        sa.Column("assignment_id", sa.Text(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("saved_at", Time, nullable=False),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignments.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("assignment_id"),
    )
    op.create_table(
        "human_task_uis",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "flow_definitions",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("job_id", Key, nullable=False, comment="what people take its tasks from"),
        sa.Column("request", sa.JSON(), nullable=False, comment="the CreateFlowDefinition request, without its tags"),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("failure_reason", sa.Text()),
        sa.Column("created_at", Time, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["labeling_jobs.id"]),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "human_loops",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("flow_definition", sa.Text(), nullable=False),
        sa.Column("job_id", Key, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("input_sha256", sa.Text(), nullable=False, comment="of the input's text: the same name may come again with it"),
        sa.Column("data_attributes", sa.JSON()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("failure_code", sa.Text()),
        sa.Column("failure_reason", sa.Text()),
        sa.Column("output_uri", sa.Text()),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("stop_requested_at", Time),
        sa.Column("ended_at", Time),
        sa.ForeignKeyConstraint(["job_id", "position"], ["data_objects.job_id", "data_objects.position"]),
        sa.CheckConstraint(
            "status IN ('InProgress', 'Failed', 'Completed', 'Stopped', 'Stopping')", name="human_loop_status"
        ),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("human_loops_object", "human_loops", ["job_id", "position"], unique=True)
    op.create_index("human_loops_flow", "human_loops", ["flow_definition", "created_at"], unique=False)
    op.create_index("human_loops_status", "human_loops", ["status"], unique=False)
    op.create_table(
        "public_tasks",
        sa.Column("job_id", Key, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("request_token", sa.Text(), nullable=False, comment="sent with each try, so that one HIT is made"),
        sa.Column("hit_id", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False, comment="wanted; open at Mechanical Turk; closing: nobody may begin it any more; over"),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("checked_at", Time, comment="when Mechanical Turk was last asked what was handed in"),
        sa.ForeignKeyConstraint(
            ["job_id", "position"], ["data_objects.job_id", "data_objects.position"], ondelete="CASCADE"
        ),
        sa.CheckConstraint("state IN ('wanted', 'open', 'closing', 'over')", name="public_task_state"),
        sa.PrimaryKeyConstraint("job_id", "position"),
        sa.UniqueConstraint("hit_id"),
        sa.UniqueConstraint("request_token"),
    )
    op.create_index("public_tasks_state", "public_tasks", ["state", "job_id"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", Key, nullable=False),
        sa.Column("resource", sa.Text(), nullable=False, comment="the last part of its ARN; a webhook gets its events in order"),
        sa.Column("detail_type", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "webhooks",
        sa.Column("id", Key, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False, comment="signs what is sent; encrypted with a key outside the store"),
        sa.Column("detail_types", sa.JSON(), nullable=False, comment="which events it gets; none given means all"),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("disabled_at", Time),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "deliveries",
        sa.Column("webhook_id", Key, nullable=False),
        sa.Column("event_id", Key, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("next_at", Time, nullable=False),
        sa.Column("delivered_at", Time),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhooks.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("webhook_id", "event_id"),
    )
    op.create_index("deliveries_due", "deliveries", ["next_at"], unique=False, **where("delivered_at IS NULL"))
    op.create_table(
        "invitations",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("email", sa.Text()),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        sa.Column("vendor", sa.Text()),
        sa.Column("invited_by", sa.Text(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("expires_at", Time, nullable=False),
        sa.Column("used_at", Time),
        sa.ForeignKeyConstraint(["vendor"], ["workteams.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_table(
        "sign_in_failures",
        sa.Column("key", sa.Text(), nullable=False, comment="a user name or an address, hashed"),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("since", Time, nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", Key, nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("address", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_log_at", "audit_log", ["at"], unique=False)
