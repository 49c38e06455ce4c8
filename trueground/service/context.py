"""What the wire and the portal of a running service share; of each other they know nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from trueground.service import liquid
from trueground.service.engine.finisher import Finisher
from trueground.service.security import Identity, SecretBox, Signer
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.storage import Storage

ExternalIdentity = Callable[[Request], Identity | None]
"""Who another service says is asking, such as Airflow's auth manager; ``None`` if nobody it knows."""


@dataclass(frozen=True)
class Service:
    """What the parts of a running service share; ``app.state.service``."""

    settings: ServiceSettings
    db: Database
    storage: Storage
    secrets: SecretBox
    signer: Signer
    finisher: Finisher
    external_identity: ExternalIdentity | None = None

    @classmethod
    def open(cls, settings: ServiceSettings, external_identity: ExternalIdentity | None = None) -> Service:
        """Put the parts together. Touches the secret key, but neither the store nor the network."""
        db = Database(settings.database_url)
        secrets = SecretBox.load(settings.home)
        storage = settings.storage()
        finisher = Finisher(db, storage, settings)
        return cls(settings, db, storage, secrets, secrets.signer(), finisher, external_identity)

    def check_template(self, template: str, task_input: Mapping[str, Any]) -> None:
        """Render a template as its frame would. Raises :class:`InputError` where that fails."""

        def link(uri: str) -> str:
            self.storage.check(uri)
            return uri

        liquid.render(template, task_input, crowd_script="", grant_read_access=link)
