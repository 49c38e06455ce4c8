"""Access keys: what signs the requests of programs."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update

from trueground.service.engine import audit_log
from trueground.service.engine.errors import NotFound
from trueground.service.security import SecretBox
from trueground.service.store.database import Database, now
from trueground.service.store.tables import access_keys

_ID_LETTERS = string.ascii_uppercase + "234567"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key without its secret."""

    id: str
    name: str
    created_at: datetime
    revoked_at: datetime | None


def create_key(db: Database, box: SecretBox, name: str) -> tuple[str, str]:
    """A new pair of access key id and secret access key. The secret is told here and never again."""
    # The shape of AWS's, which some clients check; "TGIA" says that it is not one of AWS's own.
    key_id = "TGIA" + "".join(secrets.choice(_ID_LETTERS) for _ in range(16))
    secret = secrets.token_urlsafe(30)
    with db.write() as connection:
        values = {"id": key_id, "name": name, "secret": box.encrypt(secret), "created_at": now()}
        connection.execute(insert(access_keys).values(**values))
        audit_log.record(connection, act="CreateAccessKey", resource=f"key/{key_id}", detail={"name": name})
    return key_id, secret


def secret_of(db: Database, box: SecretBox, key_id: str) -> str | None:
    """The secret of a key; ``None`` if it is unknown or revoked."""
    query = select(access_keys.c.secret).where(access_keys.c.id == key_id, access_keys.c.revoked_at.is_(None))
    with db.read() as connection:
        found = connection.scalar(query)
    return None if found is None else box.decrypt(found)


def list_keys(db: Database) -> list[AccessKey]:
    """All keys, the oldest first."""
    columns = (access_keys.c.id, access_keys.c.name, access_keys.c.created_at, access_keys.c.revoked_at)
    with db.read() as connection:
        return [AccessKey(*row) for row in connection.execute(select(*columns).order_by(access_keys.c.created_at))]


def revoke_key(db: Database, key_id: str) -> None:
    """End a key for good. Raises :class:`NotFound`."""
    with db.write() as connection:
        changed = connection.execute(
            update(access_keys)
            .where(access_keys.c.id == key_id, access_keys.c.revoked_at.is_(None))
            .values(revoked_at=now())
        )
        if changed.rowcount == 0:
            raise NotFound(f"there is no access key {key_id!r} in use")
        audit_log.record(connection, act="RevokeAccessKey", resource=f"key/{key_id}")
