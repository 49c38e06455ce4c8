"""What a service needs before its first request."""

from __future__ import annotations

import configparser
import io

from sqlalchemy import select

from trueground.service.engine import keys, workforces
from trueground.service.security import SecretBox, write_private
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import access_keys

PROFILE = "trueground"


def prepare(db: Database, box: SecretBox, settings: ServiceSettings) -> None:
    """Migrate the store, make the default workforce, and an access key with its AWS credentials file.

    The key is made once: later starts leave the file alone, also where someone removed it on purpose.
    """
    db.migrate()
    workforces.create_default_workforce(db)
    with db.read() as connection:
        if connection.execute(select(access_keys.c.id).limit(1)).first() is not None:
            return
    key_id, secret = keys.create_key(db, box, "made at first start")
    file = configparser.ConfigParser()
    file[PROFILE] = {"aws_access_key_id": key_id, "aws_secret_access_key": secret, "region": settings.region}
    text = io.StringIO()
    file.write(text)
    write_private(settings.credentials_file, text.getvalue().encode())
