"""Where people label: pages, the JSON they use, and the sandboxed frames in which templates run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

if TYPE_CHECKING:
    from trueground.service.context import Service


def install(app: FastAPI, service: Service) -> None:
    """Add the portal's routes and error pages to the service's app."""
    from trueground.service.portal import api, errors, frames, pages, static

    errors.install(app, pages.error_page)
    for router in (api.router, frames.router, pages.router):
        app.include_router(router)
    static.install(app)
