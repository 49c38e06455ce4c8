"""Signing in with a workforce's own OIDC provider, and out again."""

from __future__ import annotations

from html import escape

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trueground.service.engine import oidc, sessions
from trueground.service.portal.session import COOKIE as SESSION
from trueground.service.portal.session import own_path, prefix_of, service_of, start

router = APIRouter(prefix="/oauth2")

COOKIE = "trueground_oidc"
SECONDS = 600
"""A sign-in must be over by then."""
PURPOSE = "oidc"
LEAVING = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Signing out</title>
<meta http-equiv="refresh" content="0; url={url}"></head>
<body><p>You are signed out here. <a href="{url}">Sign out of your sign-in provider too.</a></p></body></html>
"""


@router.get("/signin/{workforce}")
def sign_in(request: Request, workforce: str, next: str = "") -> Response:
    """Send somebody to their workforce's provider."""
    service = service_of(request)
    url, kept = oidc.begin(service.db, service.secrets, workforce, _callback(request))
    response = RedirectResponse(url, 303)
    response.set_cookie(
        COOKIE,
        service.signer.sign(PURPOSE, {**kept, "next": own_path(request, next)}, SECONDS),
        max_age=SECONDS,
        httponly=True,
        # Sent along when the provider's page leads back here, and with no request that another site makes by itself.
        samesite="lax",
        secure=request.url.scheme == "https",
        path=_path(request),
    )
    response.headers["Cache-Control"] = "no-store"
    return response


@router.get("/idpresponse")
def came_back(request: Request) -> Response:
    """The provider sends people back to here, signed in or not. The address is AWS's."""
    service = service_of(request)
    token = request.cookies.get(COOKIE)
    kept = service.signer.read(PURPOSE, token) if token else None
    worker_id = oidc.finish(service.db, service.secrets, kept, request.query_params, _callback(request))
    assert kept is not None
    # Checked again: the prefix may have changed since.
    response = RedirectResponse(own_path(request, kept["next"]), 303)
    start(response, request, sessions.start(service.db, worker_id, old_token=request.cookies.get(SESSION)))
    response.delete_cookie(COOKIE, path=_path(request))
    response.headers["Cache-Control"] = "no-store"
    return response


def leave(request: Request, worker_id: str | None) -> Response:
    """The answer to signing out: on to the provider, for those who signed in with one."""
    service = service_of(request)
    here = f"{_portal(request)}/signin"
    url = oidc.logout_address(service.db, service.secrets, worker_id, here) if worker_id else None
    if url is None:
        return RedirectResponse(f"{prefix_of(request)}/signin", 303)
    # A page rather than a redirect: a form may not lead to another site here, not even by a redirect.
    headers = {"Content-Security-Policy": "default-src 'none'", "Cache-Control": "no-store"}
    return HTMLResponse(LEAVING.format(url=escape(url)), headers=headers)


def _portal(request: Request) -> str:
    """The portal's address as people reach it."""
    public = service_of(request).settings.public_url
    return public or f"{request.url.scheme}://{request.url.netloc}{prefix_of(request)}"


def _callback(request: Request) -> str:
    return f"{_portal(request)}/oauth2/idpresponse"


def _path(request: Request) -> str:
    return f"{prefix_of(request)}/oauth2"
