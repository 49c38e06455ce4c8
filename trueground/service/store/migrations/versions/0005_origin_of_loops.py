"""Human loops know which task of Airflow started them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("human_loops", sa.Column("origin_run", sa.Text(), comment="DAG and run in Airflow, as JSON"))
    op.add_column("human_loops", sa.Column("origin_task", sa.Text(), comment="its task and map index, as JSON"))
    op.create_index("human_loops_origin", "human_loops", ["origin_run", "job_id"])
