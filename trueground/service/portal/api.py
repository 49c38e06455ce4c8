"""The JSON that the portal's pages, and any other client of a worker, use."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from trueground.service.engine import accounts, assignment, progress
from trueground.service.portal.frames import frame_link
from trueground.service.portal.session import (
    CheckedWorkerId,
    Manager,
    Who,
    WorkerId,
    end,
    service_of,
    start,
)
from trueground.service.portal.waiting import job_of_task

router = APIRouter(prefix="/api")


class SignIn(BaseModel):
    """Name and password."""

    username: str = Field(max_length=128)
    password: str = Field(max_length=1024)


class NextTask(BaseModel):
    """Of which job the next task is to be; any where it is left out."""

    job: str | None = Field(None, max_length=63)


class GivenAnswer(BaseModel):
    """What a worker answered, and for how many seconds they were at it."""

    answerContent: dict[str, Any]
    secondsActive: float = Field(0.0, ge=0, le=30 * 86_400)


@router.post("/session")
def sign_in(request: Request, credentials: SignIn) -> Response:
    """Start a session: the cookie is set, and the answer carries the token that changing requests must send."""
    session = accounts.sign_in(service_of(request).db, credentials.username, credentials.password)
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
                "objects": job.objects,
                "answered": job.answered,
            }
            for job in jobs
        ]
    }


@router.post("/work/next")
def next_task(
    request: Request, worker_id: CheckedWorkerId, wanted: Annotated[NextTask | None, Body()] = None
) -> dict[str, Any]:
    """Lease the next task; ``{"assignment": null}`` where nothing is left for this worker now."""
    db = service_of(request).db
    lease = assignment.next_assignment(db, worker_id, wanted.job if wanted else None)
    if lease is None:
        return {"assignment": None}
    view = progress.task_view(db, lease.id, worker_id)
    return {
        "assignment": {
            "id": lease.id,
            "job": view.job_name,
            "objectId": view.object_id,
            "expiresAt": lease.expires_at.isoformat(),
            "taskInput": view.task_input,
            "frameUrl": frame_link(request, lease.id, worker_id),
        }
    }


@router.post("/assignments/{assignment_id}/answer")
def submit(request: Request, assignment_id: str, worker_id: CheckedWorkerId, given: GivenAnswer) -> dict[str, Any]:
    """Keep an answer. When this returns, the answer is on disk; sent again, it changes nothing."""
    result = assignment.submit_answer(
        service_of(request).db, assignment_id, worker_id, given.answerContent, given.secondsActive
    )
    return {"accepted": True, "repeated": result.repeated, "answeredByMe": result.answered_by_me}


@router.post("/assignments/{assignment_id}/release", status_code=204)
def release(request: Request, assignment_id: str, worker_id: CheckedWorkerId) -> None:
    """Give a task back unanswered."""
    assignment.release(service_of(request).db, assignment_id, worker_id)


@router.get("/jobs")
def jobs(request: Request, who: Manager) -> dict[str, Any]:
    """All jobs, for managers."""
    return {"jobs": [asdict(job) for job in progress.jobs_overview(service_of(request).db)]}


@router.get("/jobs/{name}")
def job(request: Request, name: str, who: Manager) -> dict[str, Any]:
    """One job with who did what, for managers."""
    return asdict(progress.job_progress(service_of(request).db, name))


@router.get("/airflow/task")
def airflow_task(request: Request, who: Manager, dag: str, run: str, task: str, map: str = "-1") -> dict[str, Any]:
    """What a task in Airflow waits for, for managers; ``{"job": null}`` where it has started no labeling job."""
    found = job_of_task(service_of(request).db, dag=dag, run=run, task=task, map_index=map)
    return {"job": asdict(found) if found else None}
