"""Automated labeling: what a job promises of it, and its rounds. A worker's own leases are found at once. Notices to topics."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    columns: list[Any] = [
        sa.Column("auto_accuracy", sa.Float(), comment="automated: the share of the machine's labels that is right"),
        sa.Column("auto_confidence", sa.Float(), comment="automated: how sure that promise is"),
        sa.Column("initial_model", sa.Text(), comment="URI of the model that automated labeling begins with"),
    ]
    for column in columns:
        op.add_column("labeling_jobs", column)
    op.add_column("workteams", sa.Column("noticed_at", Time, comment="when its topic was last told of new work"))
    # The state of its objects says as much.
    op.drop_column("labeling_jobs", "withheld")
    # A worker's own leases are looked for with each task; those that run out, of which there are few, now and then.
    leased = sa.text("state = 'leased'")
    op.drop_index("assignments_leased", "assignments")
    op.create_index(
        "assignments_leased", "assignments", ["job_id", "worker_id"], sqlite_where=leased, postgresql_where=leased
    )
    op.create_table(
        "label_rounds",
        sa.Column("job_id", Key, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False, comment="whom it asks and what it would label, by position"),
        sa.Column("settlement", sa.JSON(), comment="what became of its proposal"),
        sa.Column("started_at", Time, nullable=False),
        sa.Column("settled_at", Time),
        sa.ForeignKeyConstraint(["job_id"], ["labeling_jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "number"),
    )
