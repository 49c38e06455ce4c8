"""The portal's pages."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trueground.service.engine import holders, job_insight, own_work, progress, reviews, statistics
from trueground.service.engine.actors import acting
from trueground.service.engine.errors import TooManyTries
from trueground.service.engine.jobs import stop_job
from trueground.service.engine.oidc import oidc_workforces
from trueground.service.engine.origins import Origin, of_tags
from trueground.service.engine.progress import JobProgress
from trueground.service.portal import charts, oidc
from trueground.service.portal.airflow_links import run_link
from trueground.service.portal.forms import check_form, form_token
from trueground.service.portal.rendering import page
from trueground.service.portal.reviews import reviews_page
from trueground.service.portal.session import (
    HouseManager,
    JobManager,
    JobStopper,
    Manager,
    Who,
    WorkerId,
    actor_of,
    end,
    find_identity,
    own_path,
    prefix_of,
    service_of,
    start,
)
from trueground.service.portal.session import sign_in as begin
from trueground.service.portal.waiting import job_of_task
from trueground.service.security import Identity

router = APIRouter()


@router.get("/")
def home(request: Request, who: Who) -> Response:
    """A worker's list of work; managers are led to the jobs."""
    if who.worker_id is None or who.may("see jobs"):
        return RedirectResponse(f"{prefix_of(request)}/jobs", 303)
    db = service_of(request).db
    jobs = progress.work_for(db, who.worker_id)
    paused = own_work.paused_assignments(db, who.worker_id)
    return page(request, "work_list.html", who, jobs=jobs, paused=paused, titles={job.name: job.title for job in jobs})


@router.get("/signin")
def sign_in_form(request: Request, next: str = "") -> Response:
    """The form to sign in with, and the ways to sign in elsewhere."""
    return _sign_in_page(request, next=own_path(request, next), problem=None, username="")


@router.post("/signin")
def sign_in(
    request: Request,
    username: Annotated[str, Form(max_length=128)],
    password: Annotated[str, Form(max_length=1024)],
    next: Annotated[str, Form()] = "",
) -> Response:
    """Sign in and go on to where the person wanted to go."""
    target = own_path(request, next)
    values = {"next": target, "username": username}
    try:
        session = begin(request, username, password)
    except TooManyTries as early:
        response: Response = _sign_in_page(request, 429, problem=str(early), **values)
        response.headers["Retry-After"] = str(early.seconds)
        return response
    if session is None:
        return _sign_in_page(request, 401, problem="Name and password do not fit.", **values)
    response = RedirectResponse(target, 303)
    start(response, request, session)
    return response


@router.post("/signout")
def sign_out(request: Request) -> Response:
    """End the session, and the one with the provider that the person signed in with."""
    who = find_identity(request)
    if who is not None and who.works_from_airflow:
        response: Response = RedirectResponse(f"{prefix_of(request)}/jobs", 303)
    else:
        response = oidc.leave(request, who.worker_id if who else None)
    end(response, request)
    return response


@router.get("/work/{job}")
def work(request: Request, job: str, who: Who, worker_id: WorkerId) -> Response:
    """The page on which a worker does one task after the other."""
    found = next((item for item in progress.work_for(service_of(request).db, worker_id) if item.name == job), None)
    if found is None:
        return error_page(request, 404, "This job has no work for you: it may be done, or belong to another team.")
    return page(request, "work.html", who, job=found)


@router.get("/jobs")
def jobs(request: Request, who: Manager) -> Response:
    """All jobs and reviews, for managers."""
    db = service_of(request).db
    found = reviews.reviews_overview(db, workteam=who.vendor)
    return page(request, "jobs.html", who, jobs=progress.jobs_overview(db, workteam=who.vendor), reviews=found)


@router.get("/jobs/{name}")
def job(request: Request, name: str, who: JobManager) -> Response:
    """One job: how far it is, who did what, how far they agree."""
    return _job_page(request, who, progress.job_progress(service_of(request).db, name))


@router.post("/jobs/{name}/priority")
def change_priority(
    request: Request, name: str, who: HouseManager, priority: Annotated[int, Form()], token: Annotated[str, Form()]
) -> Response:
    """Have a job's tasks done earlier or later than those of other jobs."""
    check_form(request, who, f"priority {name}", token)
    job_insight.set_priority(service_of(request).db, name, priority, actor_of(request, who))
    return RedirectResponse(f"{prefix_of(request)}/jobs/{name}", 303)


@router.get("/jobs/{name}/stop")
def ask_to_stop(request: Request, name: str, who: JobStopper) -> Response:
    """What would be lost if the job were stopped now, and the question whether it shall be."""
    found = progress.job_progress(service_of(request).db, name)
    return page(request, "stop.html", who, job=found, token=form_token(request, who, f"stop {name}"))


@router.post("/jobs/{name}/stop")
def stop(request: Request, name: str, who: JobStopper, token: Annotated[str, Form()]) -> Response:
    """Stop a job. One that is over already stays as it is."""
    check_form(request, who, f"stop {name}", token)
    db = service_of(request).db
    if progress.job_progress(db, name).status == "InProgress":
        with acting(actor_of(request, who)):
            stop_job(db, name)
    return RedirectResponse(f"{prefix_of(request)}/jobs/{name}", 303)


@router.get("/statistics")
def own_statistics(request: Request, who: Who, worker_id: WorkerId) -> Response:
    """What a worker has done so far."""
    found = statistics.own_statistics(service_of(request).db, worker_id)
    return page(request, "statistics.html", who, own=found, bars=charts.bars(found.days))


@router.get("/airflow/task")
def airflow_task(request: Request, who: HouseManager, dag: str, run: str, task: str, map: str = "-1") -> Response:
    """What a task in Airflow waits for: the labeling job that carries its tags, or the human loops it started."""
    db = service_of(request).db
    found = job_of_task(db, dag=dag, run=run, task=task, map_index=map)
    if found is not None:
        return _job_page(request, who, found)
    if loops := reviews.reviews_of_task(db, Origin(dag, run, task, map)):
        return reviews_page(request, who, loops)
    return page(request, "no_job.html", who, dag=dag, task=task)


def _job_page(request: Request, who: Identity, job: JobProgress) -> Response:
    db = service_of(request).db
    insight = job_insight.job_insight(db, job.name)
    return page(
        request,
        "job.html",
        who,
        job=job,
        insight=insight,
        held=holders.held_in(db, job.name),
        run=run_link(request, of_tags(job.tags)),
        curve=charts.curve(insight.steps, job.answers_wanted),
        token=form_token(request, who, f"priority {job.name}"),
    )


def _sign_in_page(request: Request, status_code: int = 200, **values: Any) -> HTMLResponse:
    return page(request, "signin.html", None, status_code, providers=oidc_workforces(service_of(request).db), **values)


def error_page(request: Request, status: int, message: str) -> HTMLResponse:
    """A page that says what went wrong and where to go from here."""
    try:
        who = find_identity(request)
    except Exception:
        # The store may be what failed; the page about it must come all the same.
        who = None
    # Inside the work page a task's frame needs no bar and no way back of its own.
    inside = request.url.path.removeprefix(prefix_of(request)).startswith("/frame/")
    template = "frame_error.html" if inside else "error.html"
    return page(request, template, who, status, message=message, status=status)
