"""One's own account: joining, the password, sessions, notices."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from trueground.service.engine import accounts, invitations, notices, sessions
from trueground.service.engine.errors import EngineError, Invalid, NotFound
from trueground.service.portal.forms import check_form, form_token
from trueground.service.portal.rendering import page
from trueground.service.portal.session import COOKIE, Who, WorkerId, address_of, end, prefix_of, service_of, start
from trueground.service.security import Identity

router = APIRouter()

Password = Annotated[str, Form(max_length=1024)]
Token = Annotated[str, Form(max_length=2048)]


@router.get("/join/{token}")
def join_form(request: Request, token: str) -> Response:
    """Where an invited person chooses a name and a password."""
    invitation = invitations.find(service_of(request).db, token)
    return page(request, "join.html", None, invitation=invitation, username="", name="", problem=None)


@router.post("/join/{token}")
def join(
    request: Request,
    token: str,
    username: Annotated[str, Form(max_length=128)],
    name: Annotated[str, Form(max_length=200)],
    password: Password,
    again: Password,
) -> Response:
    """Make the account, and sign the person in."""
    db = service_of(request).db
    invitation = invitations.find(db, token)
    try:
        if password != again:
            raise Invalid("the two passwords are not the same")
        worker = invitations.accept(db, token, username, password, name=name)
    except NotFound:
        raise
    except EngineError as error:
        values = {"username": username, "name": name, "problem": str(error)}
        return page(request, "join.html", None, 400, invitation=invitation, **values)
    response = RedirectResponse(f"{prefix_of(request)}/", 303)
    start(response, request, sessions.start(db, worker.id, old_token=request.cookies.get(COOKIE)))
    return response


@router.get("/account")
def account(request: Request, who: Who, worker_id: WorkerId) -> Response:
    """One's own account."""
    return _account_page(request, who, worker_id)


@router.post("/account/password")
def change_password(
    request: Request, who: Who, worker_id: WorkerId, token: Token, old: Password, new: Password, again: Password
) -> Response:
    """Change one's own password; all other sessions end."""
    check_form(request, who, "account", token)
    try:
        if new != again:
            raise Invalid("the two new passwords are not the same")
        db, token_now = service_of(request).db, request.cookies.get(COOKIE)
        accounts.change_own_password(db, who.username, old, new, token=token_now, address=address_of(request))
    except EngineError as error:
        return _account_page(request, who, worker_id, 400, problem=str(error))
    return _account_page(request, who, worker_id, done="The password is changed. You are signed out everywhere else.")


@router.post("/account/signout")
def sign_out_everywhere(request: Request, who: Who, worker_id: WorkerId, token: Token) -> Response:
    """End all of one's sessions, this one too."""
    check_form(request, who, "account", token)
    with service_of(request).db.write() as connection:
        sessions.end_all(connection, worker_id)
    response = RedirectResponse(f"{prefix_of(request)}/signin", 303)
    end(response, request)
    return response


@router.post("/account/notices")
def set_notices(
    request: Request, who: Who, worker_id: WorkerId, token: Token, wanted: Annotated[bool, Form()] = False
) -> Response:
    """Whether one wants notices of new work."""
    check_form(request, who, "account", token)
    notices.set_wanted(service_of(request).db, worker_id, wanted)
    return RedirectResponse(f"{prefix_of(request)}/account", 303)


@router.get("/notices/{token}")
def notices_form(request: Request, token: str) -> Response:
    """Where the link in a letter leads. It only asks: programs that look through mail open links too."""
    worker_id = _worker_of_link(request, token)
    wanted = notices.are_wanted(service_of(request).db, worker_id)
    return page(request, "notices.html", None, wanted=wanted)


@router.post("/notices/{token}")
def stop_notices(request: Request, token: str) -> Response:
    """No more notices. The link is the permission; mail programs post to it too."""
    notices.set_wanted(service_of(request).db, _worker_of_link(request, token), False)
    return page(request, "notices.html", None, wanted=False)


def _worker_of_link(request: Request, token: str) -> str:
    claims = service_of(request).signer.read(notices.PURPOSE, token)
    if claims is None:
        raise NotFound("This link is too old, or not whole.")
    return str(claims["w"])


def _account_page(
    request: Request, who: Identity, worker_id: str, status_code: int = 200, *, problem: str = "", done: str = ""
) -> Response:
    db = service_of(request).db
    values: dict[str, Any] = {
        "person": accounts.get_by_id(db, worker_id),
        "sessions": sessions.count(db, worker_id),
        "has_password": accounts.has_password(db, worker_id),
        "wanted": notices.are_wanted(db, worker_id),
        "token": form_token(request, who, "account"),
        "shortest": accounts.SHORTEST_PASSWORD,
    }
    return page(request, "account.html", who, status_code, problem=problem, done=done, **values)
