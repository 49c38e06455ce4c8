"""Task frames.

A template is a stranger's HTML. It runs in a frame whose origin is opaque (CSP ``sandbox``): no cookie, no access to
the portal's page, no request but those of :mod:`.frame_policy`. It hands its answer to the
page around it by ``postMessage``, and that page submits it.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from trueground.errors import InputError
from trueground.service import liquid
from trueground.service.engine import progress, teams, visibility
from trueground.service.portal.frame_policy import frame_policy, named_images
from trueground.service.portal.media import media_link
from trueground.service.portal.named_files import NamedFiles
from trueground.service.portal.session import address_of, check_range, prefix_of, service_of
from trueground.service.portal.static import asset

router = APIRouter()

FRAME_SECONDS = 900
"""The page loads a frame at once, so its link need not live longer."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Task</title><link rel="stylesheet" href="{style}"><script src="{script}"></script></head>
<body>{body}</body></html>
"""


def frame_link(request: Request, assignment_id: str, worker_id: str) -> str:
    """The address of an assignment's frame; it is a permission by itself and runs out."""
    token = service_of(request).signer.sign("frame", {"a": assignment_id, "w": worker_id}, FRAME_SECONDS)
    return f"{prefix_of(request)}/frame/{token}"


@router.get("/frame/{token}")
def frame(request: Request, token: str) -> Response:
    """The rendered template of one assignment."""
    service = service_of(request)
    claims = service.signer.read("frame", token)
    if claims is None:
        raise HTTPException(404, "The link to this task has run out. Load the page again.")
    check_range(request, claims["w"])
    if "a" in claims:
        visibility.check_link(service.db, claims["a"], claims["w"])
        view = progress.task_view(service.db, claims["a"], claims["w"])
    else:
        view = progress.preview(service.db, claims["j"], claims["p"])
    prefix = prefix_of(request)
    address = address_of(request) if teams.binds_addresses(service.db, view.workteam) else None
    named = NamedFiles(service.storage, view.task_input, view.template, view.label_config)

    def grant_read_access(uri: str) -> str:
        named.check(uri)
        return media_link(request, uri, claims.get("a"), claims["w"], view.expires_at, address)

    script = asset(prefix, "crowd-html-elements.js")
    try:
        body = liquid.render(view.template, view.task_input, crowd_script=script, grant_read_access=grant_read_access)
    except InputError as error:
        raise HTTPException(422, str(error)) from error
    page = PAGE.format(style=asset(prefix, "crowd.css"), script=script, body=body)
    return HTMLResponse(page, headers=_frame_headers(request, prefix, body, claims.get("around", [])))


def _frame_headers(request: Request, prefix: str, page: str, around: list[str]) -> dict[str, str]:
    """``around``: origins that may show our page, which shows this frame."""
    return {
        "Content-Security-Policy": frame_policy(f"{request.url.netloc}{prefix}", named_images(page), around),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
