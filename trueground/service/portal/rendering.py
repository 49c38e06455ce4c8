"""How the portal's pages are made of their templates."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from trueground.service.portal.forms import WORK, form_token
from trueground.service.portal.frame_policy import SANDBOX
from trueground.service.portal.session import prefix_of
from trueground.service.portal.static import asset
from trueground.service.security import Identity

STATUS_WORDS = {
    "Initializing": "starting",
    "InProgress": "open",
    "Completed": "done",
    "Failed": "failed",
    "Stopping": "stopping",
    "Stopped": "stopped",
    "Waiting": "none yet",
}


def page(request: Request, template: str, who: Identity | None, status_code: int = 200, **values: Any) -> HTMLResponse:
    """A page of the portal, with the headers that all of them have. ``who``: shown in the bar above it."""
    prefix = prefix_of(request)
    text = (
        _environment()
        .get_template(template)
        .render(
            prefix=prefix,
            asset=lambda name: asset(prefix, name),
            who=who,
            work_token=form_token(request, who, WORK) if who and who.source == "airflow" else None,
            csrf_token=getattr(request.state, "csrf_token", ""),
            path=request.url.path.removeprefix(prefix),
            **values,
        )
    )
    headers = {
        "Content-Security-Policy": "default-src 'self'; frame-ancestors 'self'; form-action 'self'; base-uri 'none'; "
        "object-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(text, status_code, headers)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("trueground.service.portal"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "age": _age,
        "moment": lambda moment: f"{moment:%d %b %Y %H:%M}",
        "status": lambda value: STATUS_WORDS.get(value, value),
        "seconds": _seconds,
        "duration": _duration,
        "until": _until,
    }
    environment.filters |= filters
    environment.globals["sandbox"] = SANDBOX
    return environment


def _age(moment: datetime | None) -> str:
    if moment is None:
        return "–"
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _until(moment: datetime) -> str:
    """How long until then, and when that is."""
    seconds = (moment - datetime.now(UTC)).total_seconds()
    clock = f"{moment:%H:%M}" if seconds < 86_400 else f"{moment:%d %b %Y %H:%M}"
    return f"{clock} UTC, " + ("now" if seconds <= 0 else f"in {_duration(seconds)}")


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 90 else f"{value / 60:.0f} min"


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
