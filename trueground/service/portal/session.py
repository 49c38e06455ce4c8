"""Who is asking, for every route of the portal."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request, Response

from trueground.service.engine import accounts
from trueground.service.portal.errors import Forbidden, SignInNeeded
from trueground.service.security import Identity

if TYPE_CHECKING:
    from trueground.service.context import Service

COOKIE = "trueground_session"
CSRF_HEADER = "X-CSRF-Token"


def service_of(request: Request) -> Service:
    """The running service."""
    return cast("Service", request.app.state.service)


def prefix_of(request: Request) -> str:
    """The path below which the portal is mounted, without a closing slash; empty where it stands by itself."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def find_identity(request: Request) -> Identity | None:
    """Who is signed in, here or through the service around us; ``None`` for a stranger."""
    service = service_of(request)
    token = request.cookies.get(COOKIE)
    found = accounts.session_of(service.db, token) if token else None
    if found is not None:
        request.state.csrf_token = found[1]
        return found[0]
    return service.external_identity(request) if service.external_identity else None


def identity(request: Request) -> Identity:
    """Who is signed in. Raises :class:`SignInNeeded`."""
    found = find_identity(request)
    if found is None:
        raise SignInNeeded
    return found


def manager(request: Request, who: Annotated[Identity, Depends(identity)]) -> Identity:
    """A manager. Raises :class:`Forbidden` for others."""
    if who.kind != "manager":
        # Someone who manages in Airflow may have signed in here as a worker as well.
        external = service_of(request).external_identity
        outside = external(request) if external else None
        if outside is None or outside.kind != "manager":
            raise Forbidden("this page is for managers")
        return outside
    return who


def worker(who: Annotated[Identity, Depends(identity)]) -> str:
    """The worker id of who is signed in. Raises :class:`SignInNeeded` for someone without an account of their own."""
    if who.worker_id is None:
        raise SignInNeeded
    return who.worker_id


def checked_worker(request: Request, worker_id: Annotated[str, Depends(worker)]) -> str:
    """The worker of a request that changes something: the page's own script must have sent it."""
    if not hmac.compare_digest(request.headers.get(CSRF_HEADER, "").encode(), request.state.csrf_token.encode()):
        raise Forbidden("the request does not come from the portal's own page; load the page again")
    return worker_id


def start(response: Response, request: Request, session: accounts.Session) -> None:
    """Set the cookie of a fresh session: no script reads it, and no other site's form sends it."""
    response.set_cookie(
        COOKIE,
        session.token,
        max_age=session.seconds,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
        path=prefix_of(request) or "/",
    )


def end(response: Response, request: Request) -> None:
    """End the request's session, if it has one, and take its cookie away."""
    if token := request.cookies.get(COOKIE):
        accounts.sign_out(service_of(request).db, token)
    response.delete_cookie(COOKIE, path=prefix_of(request) or "/")


Who = Annotated[Identity, Depends(identity)]
Manager = Annotated[Identity, Depends(manager)]
WorkerId = Annotated[str, Depends(worker)]
CheckedWorkerId = Annotated[str, Depends(checked_worker)]
