"""The store, for commands that work on it themselves."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trueground.service.security import SecretBox
    from trueground.service.settings import ServiceSettings
    from trueground.service.store.database import Database


def open_store(home: object, store: str | None) -> tuple[Database, SecretBox, ServiceSettings]:
    """The store, ready for use, whether a service runs on it now or never has."""
    # Not at the top: each of these costs a second, which `trueground --help` need not wait for.
    from trueground.service.engine import first_start
    from trueground.service.security import SecretBox
    from trueground.service.settings import ServiceSettings
    from trueground.service.store.database import Database

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
