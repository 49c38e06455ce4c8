"""Which pages show a task; warnings of a job; account names that differ only in case are one name."""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("assignments", sa.Column("pages", sa.Text(), comment="the browser pages that show it, by spaces"))
    op.add_column(
        "labeling_jobs",
        sa.Column("warnings", sa.JSON(), nullable=False, server_default="[]", comment="what may not work, as texts"),
    )
    op.add_column(
        "workers",
        sa.Column(
            "name_key", sa.Text(), comment="the user name in one case; none for one that clashes, or is no local name"
        ),
    )
    _fill_name_keys(op.get_bind())
    op.create_index("workers_name_key", "workers", ["name_key"], unique=True)


def _fill_name_keys(connection: sa.Connection) -> None:
    # Of accounts whose names differ only in case, the oldest gets the key. The others keep their names, and are found
    # by their exact spelling: nobody has to learn a new name.
    rows = connection.execute(
        sa.text("SELECT id, username, erased_at FROM workers ORDER BY created_at, id")
    ).all()
    taken = set()
    for row in rows:
        key = unicodedata.normalize("NFKC", row.username).casefold()
        if row.erased_at is None and ":" not in row.username and key not in taken:
            taken.add(key)
            connection.execute(
                sa.text("UPDATE workers SET name_key = :key WHERE id = :id"), {"key": key, "id": row.id}
            )
