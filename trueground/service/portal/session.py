"""Who is asking, for every route of the portal."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request, Response

from trueground.service.addresses import client_address
from trueground.service.engine import sessions, vendors
from trueground.service.engine.actors import Actor
from trueground.service.engine.errors import NotFound
from trueground.service.portal.errors import Forbidden, SignInNeeded
from trueground.service.rights import Right
from trueground.service.security import Identity

if TYPE_CHECKING:
    from trueground.service.context import Service

COOKIE = "trueground_session"
CSRF_HEADER = "X-CSRF-Token"
BROWSER_COOKIE = "trueground_browser"
BROWSER_SECONDS = 180 * 86_400
"""How long a browser is known to be one that a person has signed in with."""


def service_of(request: Request) -> Service:
    """The running service."""
    return cast("Service", request.app.state.service)


def prefix_of(request: Request) -> str:
    """The path below which the portal is mounted, without a closing slash; empty where it stands by itself."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def own_path(request: Request, wanted: str) -> str:
    """Where to go after signing in: a path of the portal, never another site."""
    prefix = prefix_of(request)
    plain = all(character.isprintable() for character in wanted) and "\\" not in wanted
    own = wanted.startswith(f"{prefix}/") and not wanted.startswith("//")
    # Not back to where one signs in, over and over.
    again = wanted.startswith((f"{prefix}/signin", f"{prefix}/oauth2"))
    return wanted if plain and own and not again else f"{prefix}/"


def find_identity(request: Request) -> Identity | None:
    """Who is signed in, here or through the service around us; ``None`` for a stranger."""
    service = service_of(request)
    token = request.cookies.get(COOKIE)
    found = sessions.session_of(service.db, token) if token else None
    if found is not None:
        request.state.csrf_token = found[1]
        return found[0]
    return service.external_identity(request) if service.external_identity else None


def identity(request: Request) -> Identity:
    """Who is signed in. Raises :class:`SignInNeeded`."""
    found = find_identity(request)
    if found is None:
        raise SignInNeeded
    if found.worker_id is not None:
        check_range(request, found.worker_id)
    return found


def check_range(request: Request, worker_id: str) -> None:
    """Raise :class:`Refused` where the worker may not work from the request's address."""
    service_of(request).ranges.check(worker_id, lambda: address_of(request))


def someone_who_may(right: Right) -> Callable[..., Identity]:
    """A dependency: who is signed in, if they have this right. It raises :class:`Forbidden` for others."""

    def allowed(request: Request, who: Annotated[Identity, Depends(identity)]) -> Identity:
        if who.may(right):
            return who
        # Someone who manages in Airflow may have signed in here as a worker as well.
        external = service_of(request).external_identity
        outside = external(request) if external else None
        if outside is None or not outside.may(right):
            raise Forbidden(_REFUSED[right])
        return outside

    return allowed


_REFUSED: dict[Right, str] = {
    "see jobs": "this page is for managers",
    "invite": "this page is for managers",
    "pause workers": "this page is for managers",
    "stop jobs": "this page is for managers",
    "administer": "this page is for admins",
}


def of_the_house(who: Annotated[Identity, Depends(someone_who_may("see jobs"))]) -> Identity:
    """A manager who is nobody's vendor. For others there is nothing here: they are not to know what is."""
    if who.vendor is not None:
        raise NotFound("There is nothing at this address.")
    return who


def manager_of_job(
    request: Request, name: str, who: Annotated[Identity, Depends(someone_who_may("see jobs"))]
) -> Identity:
    """A manager who may see the labeling job ``name``. Raises :class:`NotFound` for a vendor's, if it is not theirs."""
    if who.vendor is not None:
        vendors.check_job(service_of(request).db, who.vendor, name)
    return who


def stopper_of_job(name: str, who: Annotated[Identity, Depends(someone_who_may("stop jobs"))]) -> Identity:
    """A manager of the house, who may stop labeling jobs. Raises :class:`NotFound` for a vendor's."""
    return of_the_house(who)


def manager_of_review(
    request: Request, name: str, who: Annotated[Identity, Depends(someone_who_may("see jobs"))]
) -> Identity:
    """The same for the human loops of the flow definition ``name``."""
    if who.vendor is not None:
        vendors.check_job(service_of(request).db, who.vendor, name, kind="review")
    return who


def actor_of(request: Request, who: Identity) -> Actor:
    """Who stands in the audit log for what this request does."""
    name = f"worker/{who.worker_id}" if who.worker_id else f"{who.source}/{who.username}"
    return Actor(name, address_of(request))


def address_of(request: Request) -> str:
    """Where the request comes from."""
    return client_address(request, service_of(request).settings.trusted_proxies)


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


def sign_in(request: Request, username: str, password: str) -> sessions.Session | None:
    """A session for a name and a password. Raises :class:`TooManyTries`, :class:`Refused`."""
    session = sessions.sign_in(
        service_of(request).db,
        username,
        password,
        address=address_of(request),
        browser=_known_browser(request, username),
        old_token=request.cookies.get(COOKIE),
    )
    if session is not None and session.identity.worker_id is not None:
        check_range(request, session.identity.worker_id)
    return session


def start(response: Response, request: Request, session: sessions.Session) -> None:
    """Set the cookie of a fresh session: no script reads it, and no other site's form sends it."""
    _set_cookie(response, request, COOKIE, session.token, session.seconds)
    claims = {"u": session.identity.username, "n": secrets.token_hex(8)}
    token = service_of(request).signer.sign("browser", claims, BROWSER_SECONDS)
    _set_cookie(response, request, BROWSER_COOKIE, token, BROWSER_SECONDS)


def end(response: Response, request: Request) -> None:
    """End the request's session, if it has one, and take its cookie away."""
    if token := request.cookies.get(COOKIE):
        sessions.sign_out(service_of(request).db, token)
    response.delete_cookie(COOKIE, path=prefix_of(request) or "/")


def _known_browser(request: Request, username: str) -> str | None:
    """The id of a browser that this person has signed in with before."""
    token = request.cookies.get(BROWSER_COOKIE, "")
    claims = service_of(request).signer.read("browser", token) if token else None
    return str(claims["n"]) if claims is not None and claims["u"].casefold() == username.casefold() else None


def _set_cookie(response: Response, request: Request, name: str, value: str, seconds: int) -> None:
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
        path=prefix_of(request) or "/",
    )


Who = Annotated[Identity, Depends(identity)]
Manager = Annotated[Identity, Depends(someone_who_may("see jobs"))]
HouseManager = Annotated[Identity, Depends(of_the_house)]
JobManager = Annotated[Identity, Depends(manager_of_job)]
ReviewManager = Annotated[Identity, Depends(manager_of_review)]
JobStopper = Annotated[Identity, Depends(stopper_of_job)]
Inviter = Annotated[Identity, Depends(someone_who_may("invite"))]
Admin = Annotated[Identity, Depends(someone_who_may("administer"))]
WorkerId = Annotated[str, Depends(worker)]
CheckedWorkerId = Annotated[str, Depends(checked_worker)]
