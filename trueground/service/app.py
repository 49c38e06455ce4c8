"""The labeling service as one ASGI app: by itself under uvicorn, or mounted below a prefix in another app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from trueground.service import aws, portal
from trueground.service.context import ExternalIdentity, Service
from trueground.service.engine import first_start
from trueground.service.guard import Guard
from trueground.service.settings import ServiceSettings


def create_app(settings: ServiceSettings, *, external_identity: ExternalIdentity | None = None) -> FastAPI:
    """The service's app. Its lifespan migrates the store and runs the background threads.

    Args:
        settings: where everything is.
        external_identity: asked when a request carries no session of ours.
    """
    service = Service.open(settings, external_identity)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(first_start.prepare, service.db, service.secrets, settings)
        for part in service.background:
            part.start()
        try:
            yield
        finally:
            for part in service.background:
                await run_in_threadpool(part.stop)
            service.db.close()

    # FastAPI rather than Starlette: Airflow enters the lifespan of mounted FastAPI apps only.
    app = FastAPI(title="Trueground", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service
    app.add_middleware(portal.ShortWay)
    # Added later, so around it.
    app.add_middleware(Guard, body_limit=settings.body_limit, larger=aws.LARGER_BODIES)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        with service.db.read():
            return {"status": "ok"}

    aws.install(app, service)
    # The portal's routes end with pages at "/", so they come last.
    portal.install(app, service)
    return app
