"""The labeling service as one ASGI app: by itself under uvicorn, or mounted below a prefix in another app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool

from trueground.service import aws, portal
from trueground.service.engine import first_start
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
        from trueground.service.portal import liquid

        def link(uri: str) -> str:
            self.storage.check(uri)
            return uri

        liquid.render(template, task_input, crowd_script="", grant_read_access=link)


def create_app(settings: ServiceSettings, *, external_identity: ExternalIdentity | None = None) -> FastAPI:
    """The service's app. Its lifespan migrates the store and runs the finisher.

    Args:
        settings: where everything is.
        external_identity: asked when a request carries no session of ours.
    """
    service = Service.open(settings, external_identity)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(first_start.prepare, service.db, service.secrets, settings)
        service.finisher.start()
        try:
            yield
        finally:
            await run_in_threadpool(service.finisher.stop)
            service.db.close()

    # FastAPI rather than Starlette: Airflow enters the lifespan of mounted FastAPI apps only.
    app = FastAPI(title="Trueground", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        with service.db.read():
            return {"status": "ok"}

    aws.install(app, service)
    # The portal's routes end with pages at "/", so they come last.
    portal.install(app, service)
    return app
