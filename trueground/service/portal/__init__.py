"""Where people label: pages, the JSON they use, and the sandboxed frames in which templates run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

from trueground.service.portal.queue import ShortWay

if TYPE_CHECKING:
    from trueground.service.context import Service

__all__ = ["ShortWay", "install"]


def install(app: FastAPI, service: Service) -> None:
    """Add the portal's routes and error pages to the service's app."""
    from trueground.service.portal import (
        account,
        api,
        as_worker,
        errors,
        frames,
        media,
        oidc,
        pages,
        people,
        queue,
        reviews,
        static,
        task_api,
        turk,
    )

    errors.install(app, pages.error_page)
    # The most frequent first: a request is compared with one route after the other.
    for part in (queue, api, task_api, frames, media, oidc, turk, account, as_worker, people, reviews, pages):
        app.include_router(part.router)
    static.install(app)
