"""The store, for commands that work on it themselves."""

from __future__ import annotations

import getpass
import os
from enum import StrEnum

from trueground.service.engine import first_start
from trueground.service.security import SecretBox
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database


class RoleName(StrEnum):
    """What an account may do."""

    worker = "worker"
    reviewer = "reviewer"
    manager = "manager"
    admin = "admin"


def open_store(home: object, store: str | None) -> tuple[Database, SecretBox, ServiceSettings]:
    """The store, ready for use, whether a service runs on it now or never has."""
    settings = ServiceSettings.from_environment(home=home, store_url=store)
    db, box = Database(settings.database_url), SecretBox.load(settings.home)
    first_start.prepare(db, box, settings)
    return db, box, settings


def user() -> str:
    """Who runs the command on this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
