"""The portal's pages."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trueground.service.engine import accounts, progress
from trueground.service.engine.errors import NotFound
from trueground.service.portal.session import (
    Manager,
    Who,
    WorkerId,
    end,
    find_identity,
    prefix_of,
    service_of,
    start,
)
from trueground.service.portal.static import asset
from trueground.service.portal.waiting import job_of_task
from trueground.service.security import Identity

router = APIRouter()

STATUS_WORDS = {
    "Initializing": "starting",
    "InProgress": "open",
    "Completed": "done",
    "Failed": "failed",
    "Stopping": "stopping",
    "Stopped": "stopped",
}


@router.get("/")
def home(request: Request, who: Who) -> Response:
    """A worker's list of work; managers are led to the jobs."""
    if who.worker_id is None or who.kind == "manager":
        return RedirectResponse(f"{prefix_of(request)}/jobs", 303)
    jobs = progress.work_for(service_of(request).db, who.worker_id)
    return _page(request, "work_list.html", who, jobs=jobs)


@router.get("/signin")
def sign_in_form(request: Request, next: str = "") -> Response:
    """The form to sign in with."""
    return _page(request, "signin.html", None, next=_own_path(request, next), problem=None, username="")


@router.post("/signin")
def sign_in(
    request: Request,
    username: Annotated[str, Form(max_length=128)],
    password: Annotated[str, Form(max_length=1024)],
    next: Annotated[str, Form()] = "",
) -> Response:
    """Sign in and go on to where the person wanted to go."""
    session = accounts.sign_in(service_of(request).db, username, password)
    target = _own_path(request, next)
    if session is None:
        problem = "Name and password do not fit."
        return _page(request, "signin.html", None, 401, next=target, problem=problem, username=username)
    response = RedirectResponse(target, 303)
    start(response, request, session)
    return response


@router.post("/signout")
def sign_out(request: Request) -> Response:
    """End the session."""
    response = RedirectResponse(f"{prefix_of(request)}/signin", 303)
    end(response, request)
    return response


@router.get("/work/{job}")
def work(request: Request, job: str, who: Who, worker_id: WorkerId) -> Response:
    """The page on which a worker does one task after the other."""
    found = next((item for item in progress.work_for(service_of(request).db, worker_id) if item.name == job), None)
    if found is None:
        return error_page(request, 404, "This job has no work for you: it may be done, or belong to another team.")
    return _page(request, "work.html", who, job=found)


@router.get("/jobs")
def jobs(request: Request, who: Manager) -> Response:
    """All jobs, for managers."""
    return _page(request, "jobs.html", who, jobs=progress.jobs_overview(service_of(request).db))


@router.get("/jobs/{name}")
def job(request: Request, name: str, who: Manager) -> Response:
    """One job: how far it is, who did what, how far they agree."""
    found = progress.job_progress(service_of(request).db, name)
    return _page(request, "job.html", who, job=found)


@router.get("/airflow/task")
def airflow_task(request: Request, who: Manager, dag: str, run: str, task: str, map: str = "-1") -> Response:
    """What a task in Airflow waits for: the labeling job that carries its tags."""
    found = job_of_task(service_of(request).db, dag=dag, run=run, task=task, map_index=map)
    if found is None:
        return _page(request, "no_job.html", who, dag=dag, task=task)
    return _page(request, "job.html", who, job=found)


def error_page(request: Request, status: int, message: str) -> HTMLResponse:
    """A page that says what went wrong and where to go from here."""
    try:
        who = find_identity(request)
    except NotFound:
        who = None
    return _page(request, "error.html", who, status, message=message, status=status)


def _page(request: Request, template: str, who: Identity | None, status_code: int = 200, **values: Any) -> HTMLResponse:
    prefix = prefix_of(request)
    text = (
        _environment()
        .get_template(template)
        .render(
            prefix=prefix,
            asset=lambda name: asset(prefix, name),
            who=who,
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


def _own_path(request: Request, wanted: str) -> str:
    """Where to go after signing in: a path of the portal, never another site."""
    prefix = prefix_of(request)
    plain = all(character.isprintable() for character in wanted) and "\\" not in wanted
    own = wanted.startswith(f"{prefix}/") and not wanted.startswith("//")
    return wanted if plain and own and not wanted.startswith(f"{prefix}/signin") else f"{prefix}/"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("trueground.service.portal"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"age": _age, "status": lambda value: STATUS_WORDS.get(value, value), "seconds": _seconds}
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


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 90 else f"{value / 60:.0f} min"
