"""Pages about people: who there is, invitations, one's own account, who is paused in a job, the audit log."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, BackgroundTasks, Form, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import RedirectResponse, Response

from trueground.service.engine import accounts, audit_log, erasure, holders, invitations, pauses
from trueground.service.engine.actors import acting
from trueground.service.engine.errors import EngineError, Invalid, NotFound
from trueground.service.portal.forms import check_form, check_sent_by_page, form_token
from trueground.service.portal.invite_links import deliver, link_of
from trueground.service.portal.rendering import page
from trueground.service.portal.session import (
    Admin,
    Inviter,
    JobManager,
    actor_of,
    prefix_of,
    service_of,
)
from trueground.service.rights import ROLES, Role, may_give
from trueground.service.security import Identity

router = APIRouter()

Text = Annotated[str, Form(max_length=1024)]
Token = Annotated[str, Form(max_length=2048)]


class Invite(BaseModel):
    """Whom to invite."""

    role: Role = "worker"
    groups: list[str] = Field(default_factory=list, max_length=50)
    email: str | None = Field(None, max_length=254)
    vendor: str | None = Field(None, max_length=63)


class Pause(BaseModel):
    """Whether a worker gets no more tasks of a job, and why."""

    paused: bool
    reason: str = Field("", max_length=pauses.LONGEST_REASON)


@router.get("/people")
def people(request: Request, who: Inviter) -> Response:
    """Everybody with an account, and the open invitations."""
    return _people_page(request, who)


@router.get("/api/people")
def people_json(request: Request, who: Inviter) -> dict[str, Any]:
    """The same as JSON."""
    db = service_of(request).db
    return {
        "people": [asdict(worker) for worker in accounts.list_workers(db, vendor=who.vendor)],
        "invitations": [asdict(found) for found in invitations.list_open(db, vendor=who.vendor)],
    }


@router.post("/people/invitations")
def invite(
    request: Request,
    who: Inviter,
    token: Token,
    role: Annotated[str, Form()] = "worker",
    groups: Annotated[list[str] | None, Form()] = None,
    email: Annotated[str, Form(max_length=254)] = "",
) -> Response:
    """Invite somebody, and show their link once."""
    check_form(request, who, "people", token)
    try:
        with acting(actor_of(request, who)):
            secret, made = invitations.invite(
                service_of(request).db, who, role=cast(Role, role), groups=groups or (), email=email.strip() or None
            )
    except EngineError as error:
        return _people_page(request, who, 400, problem=str(error))
    told = deliver(service_of(request), made, link_of(request, secret))
    return _people_page(request, who, link=link_of(request, secret), invited=made, told=told)


@router.post("/api/people/invitations")
def invite_json(request: Request, who: Inviter, wanted: Invite) -> dict[str, Any]:
    """Invite somebody; the link is told here and never again."""
    check_sent_by_page(request)
    with acting(actor_of(request, who)):
        secret, made = invitations.invite(service_of(request).db, who, **wanted.model_dump())
    told = deliver(service_of(request), made, link_of(request, secret))
    return {"link": link_of(request, secret), "invitation": asdict(made), "sent": told is not None and told.sent}


@router.post("/people/invitations/{invitation}/withdraw")
def withdraw(request: Request, invitation: str, who: Inviter, token: Token) -> Response:
    """End an open invitation."""
    check_form(request, who, "people", token)
    with acting(actor_of(request, who)):
        invitations.withdraw(service_of(request).db, invitation, vendor=who.vendor)
    return _to(request, "/people")


@router.get("/people/{worker_id}")
def person(request: Request, worker_id: str, who: Admin) -> Response:
    """One account, and what an admin can do with it."""
    found = accounts.get_by_id(service_of(request).db, worker_id)
    token = form_token(request, who, f"person {worker_id}")
    roles = [role for role in ROLES if found.vendor is None or role != "admin"]
    own = worker_id == who.worker_id
    held = holders.held_by(service_of(request).db, worker_id)
    return page(request, "person.html", who, person=found, roles=roles, token=token, own=own, held=held)


@router.post("/people/{worker_id}")
def change_person(
    request: Request,
    worker_id: str,
    who: Admin,
    background: BackgroundTasks,
    act: Annotated[Literal["role", "disable", "enable", "password", "erase"], Form()],
    token: Token,
    value: Text = "",
) -> Response:
    """Change, close, open or erase an account."""
    check_form(request, who, f"person {worker_id}", token)
    service = service_of(request)
    found = accounts.get_by_id(service.db, worker_id)
    if worker_id == who.worker_id and act != "password":
        raise Invalid("nobody can take their own account from themselves: another admin can")
    with acting(actor_of(request, who)):
        if act == "role":
            accounts.set_role(service.db, found.username, cast(Role, value))
        elif act == "disable":
            accounts.disable(service.db, found.username)
        elif act == "enable":
            accounts.enable(service.db, found.username)
        elif act == "password":
            accounts.check_password(value)
            accounts.set_password(service.db, found.username, value)
        else:
            if value != found.username:
                raise Invalid("to erase an account, type its user name as it stands")
            erasure.erase(service.db, found.username)
            # After the answer: there may be many files. Erasing once more goes on where it was cut short.
            background.add_task(erasure.rewrite_files, service.db, service.storage, worker_id)
    return RedirectResponse(f"{prefix_of(request)}/people/{worker_id}", 303, background=background)


@router.get("/jobs/{name}/people")
def job_people(request: Request, name: str, who: JobManager) -> Response:
    """Who may work on a job, and who is paused."""
    members = pauses.members(service_of(request).db, name)
    token = form_token(request, who, f"pause {name}")
    return page(request, "job_people.html", who, job=name, members=members, token=token)


@router.get("/api/jobs/{name}/people")
def job_people_json(request: Request, name: str, who: JobManager) -> dict[str, Any]:
    """The same as JSON."""
    return {"people": [asdict(member) for member in pauses.members(service_of(request).db, name)]}


@router.post("/jobs/{name}/people/{worker_id}")
def pause(
    request: Request,
    name: str,
    worker_id: str,
    who: JobManager,
    token: Token,
    reason: Text = "",
    resume: Annotated[bool, Form()] = False,
) -> Response:
    """Pause a worker in a job, or let them back in."""
    check_form(request, who, f"pause {name}", token)
    _pause(request, who, name, worker_id, Pause(paused=not resume, reason=reason[: pauses.LONGEST_REASON]))
    return _to(request, f"/jobs/{name}/people")


@router.put("/api/jobs/{name}/people/{worker_id}", status_code=204)
def pause_json(request: Request, name: str, worker_id: str, who: JobManager, wanted: Pause) -> None:
    """The same as JSON."""
    check_sent_by_page(request)
    _pause(request, who, name, worker_id, wanted)


@router.get("/audit")
def audit(
    request: Request,
    who: Admin,
    actor: Annotated[str, Query(max_length=200)] = "",
    act: Annotated[str, Query(max_length=100)] = "",
    resource: Annotated[str, Query(max_length=200)] = "",
    day: Annotated[str, Query(max_length=10)] = "",
    token: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    """What managers, admins and programs did."""
    db = service_of(request).db
    after, before = _of_day(day)
    found = audit_log.entries(
        db, actor=actor, act=act, resource=resource, after=after, before=before, token=token or None
    )
    values: dict[str, Any] = {"actor": actor, "act": act, "resource": resource, "day": day, "acts": audit_log.acts(db)}
    return page(request, "audit.html", who, entries=found.items, next=found.token, **values)


@router.get("/api/audit")
def audit_json(
    request: Request,
    who: Admin,
    actor: Annotated[str, Query(max_length=200)] = "",
    act: Annotated[str, Query(max_length=100)] = "",
    resource: Annotated[str, Query(max_length=200)] = "",
    day: Annotated[str, Query(max_length=10)] = "",
    token: Annotated[str, Query(max_length=500)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """The same as JSON. ``day``: one day, in UTC, as ``2026-11-24``."""
    after, before = _of_day(day)
    found = audit_log.entries(
        service_of(request).db,
        actor=actor,
        act=act,
        resource=resource,
        after=after,
        before=before,
        limit=limit,
        token=token or None,
    )
    return {"entries": [asdict(entry) for entry in found.items], "next": found.token}


def _people_page(request: Request, who: Identity, status_code: int = 200, **values: Any) -> Response:
    db = service_of(request).db
    return page(
        request,
        "people.html",
        who,
        status_code,
        **{
            "people": accounts.list_workers(db, vendor=who.vendor),
            "held": holders.held_counts(db),
            "invitations": invitations.list_open(db, vendor=who.vendor),
            "roles": [role for role in may_give(who.kind) if who.vendor is None or role != "admin"],
            "groups": [] if who.vendor else invitations.groups_to_choose(db),
            "token": form_token(request, who, "people"),
            "problem": None,
            "link": None,
            **values,
        },
    )


def _pause(request: Request, who: Identity, name: str, worker_id: str, wanted: Pause) -> None:
    db = service_of(request).db
    if not who.may("pause workers"):
        raise NotFound("There is nothing at this address.")
    with acting(actor_of(request, who)):
        if wanted.paused:
            pauses.pause(db, name, worker_id, wanted.reason)
        else:
            pauses.resume(db, name, worker_id)


def _of_day(day: str) -> tuple[datetime | None, datetime | None]:
    """The first moment of a day, and of the next."""
    if not day:
        return None, None
    try:
        start = datetime.fromisoformat(f"{day}T00:00:00+00:00")
        return start, start + timedelta(days=1)
    except (ValueError, OverflowError):
        raise Invalid(f"{day!r} is no day: write it as 2026-11-24") from None


def _to(request: Request, path: str) -> Response:
    return RedirectResponse(f"{prefix_of(request)}{path}", 303)
