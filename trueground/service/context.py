"""What the wire and the portal of a running service share; of each other they know nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from trueground.service import liquid
from trueground.service.engine.auto_labeling import AutoLabeling
from trueground.service.engine.background import Background
from trueground.service.engine.finisher import Finisher
from trueground.service.engine.ip_ranges import IpRanges
from trueground.service.engine.job_request import GRANTED
from trueground.service.engine.loop_ends import LoopEnds
from trueground.service.engine.mturk import PublicWork
from trueground.service.engine.notices import Notices
from trueground.service.engine.once import Once
from trueground.service.engine.preparation import Preparer
from trueground.service.engine.stream_source import StreamSource
from trueground.service.engine.webhooks import Deliverer
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
    once: Once
    ranges: IpRanges
    background: Sequence[Background]
    external_identity: ExternalIdentity | None = None

    @classmethod
    def open(cls, settings: ServiceSettings, external_identity: ExternalIdentity | None = None) -> Service:
        """Put the parts together. Touches the secret key, but neither the store nor the network."""
        db = Database(settings.database_url)
        secrets = SecretBox.load(settings.home)
        storage = settings.storage()
        signer = secrets.signer()
        background: list[Background] = [
            Finisher(db, storage, settings),
            Preparer(db, storage, settings),
            AutoLabeling(db, storage, settings),
            StreamSource(db, storage, settings),
            LoopEnds(db, storage, settings),
            Notices(db, settings, signer),
            Deliverer(db, settings, secrets),
        ]
        if settings.mturk_endpoint is not None:
            background.append(PublicWork(db, settings, secrets))
        return cls(settings, db, storage, secrets, signer, Once(db), IpRanges(db), background, external_identity)

    def media_path(
        self, uri: str, seconds: float, *, worker_id: str | None, assignment_id: str | None, address: str | None = None
    ) -> str:
        """A file's path below the service's address, for so long: for a worker's task, or for whoever asked for it.

        ``address``: the only one that it opens from.
        """
        claims = {"u": uri, "w": worker_id, "a": assignment_id}
        if address is not None:
            claims["from"] = address
        return f"/media/{self.signer.sign('media', claims, seconds)}"

    def check_template(self, template: str, task_input: Mapping[str, Any] | None) -> str | None:
        """What a template becomes in its frame; only parsed, ``None``, where there is no ``task_input`` yet.

        Raises:
            InputError: that fails.
        """
        if task_input is None:
            liquid.check(template)
            return None

        def link(uri: str) -> str:
            self.storage.check(uri)
            return GRANTED + uri

        return liquid.render(template, task_input, crowd_script="", grant_read_access=link)
