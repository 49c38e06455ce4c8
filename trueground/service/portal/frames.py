"""Task frames and the files they show.

A template is a stranger's HTML. It runs in a frame whose origin is opaque (CSP ``sandbox``): no cookie, no access to
the portal's page, no request but for our own scripts and the media it was given links for. It hands its answer to the
page around it by ``postMessage``, and that page submits it.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from typing import IO

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response, StreamingResponse

from trueground.errors import InputError
from trueground.service import liquid
from trueground.service.engine import progress
from trueground.service.portal.session import prefix_of, service_of
from trueground.service.portal.static import asset

router = APIRouter()

FRAME_SECONDS = 8 * 3600
MEDIA_SECONDS = 3600
CHUNK = 256 * 1024
SHOWABLE = ("image/", "video/", "audio/", "text/plain")
"""What a media link may deliver; anything else is sent as a download without meaning to the browser."""

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
    view = progress.task_view(service.db, claims["a"], claims["w"])
    prefix = prefix_of(request)

    def grant_read_access(uri: str) -> str:
        service.storage.check(uri)
        return f"{prefix}/media/{service.signer.sign('media', {'u': uri}, MEDIA_SECONDS)}"

    script = asset(prefix, "crowd-html-elements.js")
    try:
        body = liquid.render(view.template, view.task_input, crowd_script=script, grant_read_access=grant_read_access)
    except InputError as error:
        raise HTTPException(422, str(error)) from error
    page = PAGE.format(style=asset(prefix, "crowd.css"), script=script, body=body)
    return HTMLResponse(page, headers=_frame_headers(request, prefix))


@router.get("/media/{token}")
def media(request: Request, token: str) -> Response:
    """A file that a template was given a link to."""
    service = service_of(request)
    claims = service.signer.read("media", token)
    if claims is None:
        raise HTTPException(404, "The link to this file has run out.")
    try:
        size = service.storage.size(claims["u"])
        handle = service.storage.open(claims["u"])
    except (OSError, InputError):
        raise HTTPException(404, "The file is not there.") from None
    kind = mimetypes.guess_type(claims["u"])[0] or ""
    # SVG is a document that runs scripts, not a picture.
    if not kind.startswith(SHOWABLE) or kind == "image/svg+xml":
        kind = "application/octet-stream"
    headers = {
        "Content-Length": str(size),
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": f"private, max-age={MEDIA_SECONDS}",
        # Templates draw pictures on canvases; the frame's opaque origin needs this to read them back.
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    return StreamingResponse(_chunks(handle), media_type=kind, headers=headers)


def _chunks(handle: IO[bytes]) -> Iterator[bytes]:
    with handle:
        while chunk := handle.read(CHUNK):
            yield chunk


def _frame_headers(request: Request, prefix: str) -> dict[str, str]:
    # The host without a scheme, because a proxy may have taken TLS away; not 'self', which an opaque origin is not.
    here = f"{request.url.netloc}{prefix}"
    policy = {
        "sandbox": "allow-scripts allow-forms",
        "default-src": "'none'",
        "script-src": f"{here}/static/ 'unsafe-inline'",
        "style-src": f"{here}/static/ 'unsafe-inline'",
        "img-src": f"{here}/media/ {here}/static/ data: blob:",
        "media-src": f"{here}/media/ data: blob:",
        "font-src": f"{here}/static/ data:",
        "connect-src": "'none'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'self'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
