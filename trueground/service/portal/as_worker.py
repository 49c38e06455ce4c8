"""Work as a worker: whoever is signed in to Airflow labels under an account of their own, without signing in again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from trueground.service.engine import accounts, invitations, sessions
from trueground.service.engine.accounts import Worker
from trueground.service.engine.actors import acting
from trueground.service.portal.errors import Forbidden
from trueground.service.portal.forms import WORK, check_form, form_token
from trueground.service.portal.rendering import page
from trueground.service.portal.session import COOKIE, actor_of, prefix_of, service_of, start
from trueground.service.security import AIRFLOW_PREFIX, Identity

router = APIRouter(prefix="/as-worker")


@router.get("")
def choose_teams(request: Request) -> Response:
    """Which teams to work in, with those already joined ticked."""
    who, db = _from_airflow(request), service_of(request).db
    return page(
        request,
        "as_worker.html",
        who,
        token=form_token(request, who, WORK),
        groups=invitations.groups_to_choose(db),
        joined=set(_account(request, who).groups),
        # Who tries it alone needs to be in every team: a run does not start for a team that nobody is in.
        alone=not any(worker.groups for worker in accounts.list_workers(db)),
    )


@router.post("")
def begin(
    request: Request, token: Annotated[str, Form()], groups: Annotated[list[str] | None, Form()] = None
) -> Response:
    """Start a session as the worker, who joins these groups; the first time the groups are asked for."""
    who = _from_airflow(request)
    check_form(request, who, WORK, token)
    db, account = service_of(request).db, _account(request, who)
    with acting(actor_of(request, who)):
        for group in sorted(set(groups or ()) & set(invitations.groups_to_choose(db))):
            accounts.add_to_group(db, account.username, group)
    if not accounts.get_worker(db, account.username).groups:
        return RedirectResponse(f"{prefix_of(request)}/as-worker", 303)
    response = RedirectResponse(f"{prefix_of(request)}/", 303)
    start(response, request, sessions.start(db, account.id, old_token=request.cookies.get(COOKIE)))
    return response


def _from_airflow(request: Request) -> Identity:
    """Who is signed in to the service around us. Raises :class:`Forbidden` where there is none, or nobody is."""
    external = service_of(request).external_identity
    found = external(request) if external else None
    if found is None:
        raise Forbidden("this page is for users of Airflow who manage labeling")
    return found


def _account(request: Request, who: Identity) -> Worker:
    """The account that this person works with, made the first time. No local account can have its name."""
    db = service_of(request).db
    with acting(actor_of(request, who)):
        # Reviewers get all tasks that workers get; a manager is to be kept from none.
        made = accounts.external_worker(db, f"{AIRFLOW_PREFIX}{who.username}", name=who.name, role="reviewer")
    return accounts.get_worker(db, made.username)
