"""Human loops on the pages of managers: what is reviewed, how far it is, and who is at it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from trueground.service.engine import holders, reviews
from trueground.service.engine.reviews import Review
from trueground.service.portal import charts
from trueground.service.portal.airflow_links import run_link
from trueground.service.portal.rendering import page
from trueground.service.portal.session import Manager, ReviewManager, service_of
from trueground.service.security import Identity

router = APIRouter()


@router.get("/reviews/{name}")
def review(request: Request, name: str, who: ReviewManager) -> Response:
    """The human loops of one flow definition."""
    return reviews_page(request, who, [reviews.review(service_of(request).db, name)])


@router.get("/api/reviews")
def overview_json(request: Request, who: Manager) -> dict[str, Any]:
    """All reviews, for managers."""
    return {"reviews": [asdict(one) for one in reviews.reviews_overview(service_of(request).db, workteam=who.vendor)]}


@router.get("/api/reviews/{name}")
def review_json(request: Request, name: str, who: ReviewManager) -> dict[str, Any]:
    """One flow definition's human loops with who did what, for managers."""
    return as_json(reviews.review(service_of(request).db, name))


def as_json(found: Review) -> dict[str, Any]:
    """How far a review is, a close look at it, and the runs of Airflow that it belongs to."""
    return {
        **asdict(found.progress),
        "insight": asdict(found.insight),
        "runs": [asdict(origin) for origin in found.runs],
    }


def reviews_page(request: Request, who: Identity, found: list[Review]) -> Response:
    """The page of some reviews: those of one flow definition, or of a task in Airflow."""
    db = service_of(request).db
    views = [
        {
            "job": one.progress,
            "insight": one.insight,
            "curve": charts.curve(one.insight.steps, one.progress.answers_wanted),
            "held": holders.held_in(db, one.progress.name, "review"),
            "runs": [run_link(request, origin) for origin in one.runs],
        }
        for one in found
    ]
    is_open = any(one.progress.status == "InProgress" for one in found)
    return page(request, "reviews.html", who, views=views, is_open=is_open)
