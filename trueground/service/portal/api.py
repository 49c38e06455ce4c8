"""The JSON that the portal's pages, and any other client of a worker, use."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from trueground.service.engine import job_insight, leasing, progress, reviews, statistics
from trueground.service.engine.origins import Origin
from trueground.service.portal.forms import check_sent_by_page
from trueground.service.portal.queue import PageId
from trueground.service.portal.reviews import as_json
from trueground.service.portal.session import (
    CheckedWorkerId,
    HouseManager,
    JobManager,
    Manager,
    Who,
    WorkerId,
    actor_of,
    end,
    service_of,
    start,
)
from trueground.service.portal.session import sign_in as begin
from trueground.service.portal.waiting import job_of_task

router = APIRouter(prefix="/api")


class SignIn(BaseModel):
    """Name and password."""

    username: str = Field(max_length=128)
    password: str = Field(max_length=1024)


class Priority(BaseModel):
    """A job's place among others; higher comes first."""

    priority: int


class LeftPage(BaseModel):
    """The browser page that no longer shows a task. ``keep``: the worker will come back for it."""

    page: PageId | None = None
    keep: bool = False


@router.post("/session")
def sign_in(request: Request, credentials: SignIn) -> Response:
    """Start a session: the cookie is set, and the answer carries the token that changing requests must send."""
    session = begin(request, credentials.username, credentials.password)
    if session is None:
        return JSONResponse({"error": "wrong", "message": "Name and password do not fit."}, 401)
    who = session.identity
    response = JSONResponse(
        {"worker": {"username": who.username, "name": who.name, "role": who.kind}, "csrfToken": session.csrf_token}
    )
    start(response, request, session)
    return response


@router.get("/session")
def current_session(request: Request, who: Who) -> dict[str, Any]:
    """Who is signed in."""
    return {
        "worker": {"username": who.username, "name": who.name, "role": who.kind},
        "csrfToken": getattr(request.state, "csrf_token", None),
    }


@router.delete("/session")
def sign_out(request: Request) -> Response:
    """End the session. Without the CSRF token on purpose: being signed out by a stranger harms nobody."""
    response = Response(status_code=204)
    end(response, request)
    return response


@router.get("/work")
def work(request: Request, worker_id: WorkerId) -> dict[str, Any]:
    """The jobs this worker can take tasks from."""
    jobs = progress.work_for(service_of(request).db, worker_id)
    return {
        "jobs": [
            {
                "name": job.name,
                "title": job.title,
                "description": job.description,
                "keywords": list(job.keywords),
                "available": job.available,
                "answeredByMe": job.answered_by_me,
                "held": job.held,
                "objects": job.objects,
                "answered": job.answered,
                "kind": job.kind,
                "priority": job.priority,
                "paused": job.paused,
                "qualification": list(job.qualification) if job.qualification else None,
            }
            for job in jobs
        ]
    }


@router.post("/assignments/{assignment_id}/release", status_code=204)
def release(request: Request, assignment_id: str, worker_id: CheckedWorkerId, left: LeftPage | None = None) -> None:
    """Give a task back unanswered; or, of a page that is left, only if no other page of the worker shows it."""
    db = service_of(request).db
    if left is None or left.page is None:
        leasing.release(db, assignment_id, worker_id)
    else:
        leasing.leave(db, assignment_id, worker_id, left.page, keep=left.keep)


@router.get("/jobs")
def jobs(request: Request, who: Manager) -> dict[str, Any]:
    """All jobs, for managers."""
    return {"jobs": [asdict(job) for job in progress.jobs_overview(service_of(request).db, workteam=who.vendor)]}


@router.get("/jobs/{name}")
def job(request: Request, name: str, who: JobManager) -> dict[str, Any]:
    """One job with who did what, and a close look at it, for managers."""
    db = service_of(request).db
    return {**asdict(progress.job_progress(db, name)), "insight": asdict(job_insight.job_insight(db, name))}


@router.put("/jobs/{name}/priority", status_code=204)
def change_priority(request: Request, name: str, who: HouseManager, wanted: Priority) -> None:
    """Have a job's tasks done earlier or later than those of other jobs."""
    check_sent_by_page(request)
    job_insight.set_priority(service_of(request).db, name, wanted.priority, actor_of(request, who))


@router.get("/statistics")
def own_statistics(request: Request, worker_id: WorkerId) -> dict[str, Any]:
    """What the worker has done so far."""
    return asdict(statistics.own_statistics(service_of(request).db, worker_id))


@router.get("/airflow/task")
def airflow_task(request: Request, who: HouseManager, dag: str, run: str, task: str, map: str = "-1") -> dict[str, Any]:
    """What a task in Airflow waits for, for managers; ``{"job": null}`` where it has started no labeling job.

    ``reviews``, where there are some: the human loops that it started, or, where it started nothing, those of its run.
    """
    db = service_of(request).db
    found = job_of_task(db, dag=dag, run=run, task=task, map_index=map)
    loops = [] if found else reviews.reviews_of_task(db, Origin(dag, run, task, map))
    answer: dict[str, Any] = {"job": asdict(found) if found else None}
    return {**answer, "reviews": [as_json(one) for one in loops]} if loops else answer
