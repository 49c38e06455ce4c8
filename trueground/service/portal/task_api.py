"""The JSON of a task's life besides taking and answering it: drafts, pauses, declining, one's own last answers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from trueground.service.engine import answering, gold, own_work, progress, visibility
from trueground.service.engine.assignment import Assignment
from trueground.service.engine.memory import memory_of
from trueground.service.portal.frames import frame_link
from trueground.service.portal.queue import GivenAnswer, PageId
from trueground.service.portal.session import CheckedWorkerId, WorkerId, service_of

router = APIRouter(prefix="/api")

JobName = Annotated[str, Query(max_length=63)]


class OnPage(BaseModel):
    """The browser page on which a task is shown from now on."""

    page: PageId | None = None


class ChangedAnswer(GivenAnswer):
    """Another answer, and which revision of the one before the worker saw; without it, it replaces any."""

    revision: int | None = Field(None, ge=0, lt=2**31)


class Reason(BaseModel):
    """Why a worker does not answer a task."""

    # A null character is none that PostgreSQL keeps.
    reason: str = Field(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")


@router.post("/assignments/{assignment_id}/decline", status_code=204)
def decline(request: Request, assignment_id: str, worker_id: CheckedWorkerId, why: Reason) -> None:
    """Say why one cannot answer a task; it is not given to this worker again."""
    answering.decline(service_of(request).db, assignment_id, worker_id, why.reason)


@router.put("/assignments/{assignment_id}/draft", status_code=204)
def save_draft(request: Request, assignment_id: str, worker_id: CheckedWorkerId, draft: GivenAnswer) -> None:
    """Keep what a worker has filled in so far."""
    own_work.save_draft(service_of(request).db, assignment_id, worker_id, draft.answerContent, draft.secondsActive)


@router.get("/assignments/{assignment_id}/draft")
def draft_of(request: Request, assignment_id: str, worker_id: WorkerId) -> dict[str, Any]:
    """What was kept; ``{"draft": null}`` where nothing was."""
    return {"draft": _draft(request, assignment_id, worker_id)}


@router.post("/assignments/{assignment_id}/pause", status_code=204)
def pause(request: Request, assignment_id: str, worker_id: CheckedWorkerId) -> None:
    """Keep a task for later; its clock stands still."""
    own_work.pause(service_of(request).db, assignment_id, worker_id)


@router.post("/assignments/{assignment_id}/resume")
def resume(
    request: Request, assignment_id: str, worker_id: CheckedWorkerId, where: OnPage | None = None
) -> dict[str, Any]:
    """Take up a paused task again, with its draft."""
    visibility.check_link(service_of(request).db, assignment_id, worker_id)
    lease = own_work.resume(service_of(request).db, assignment_id, worker_id, where.page if where else None)
    return {"assignment": _open_task(request, lease, worker_id)}


@router.get("/work/held")
def held(request: Request, worker_id: WorkerId, job: JobName) -> dict[str, Any]:
    """The tasks of a job that this worker holds now, the oldest first: what a page that was left had on it."""
    leases = own_work.held_assignments(service_of(request).db, worker_id, job)
    return {"assignments": [_open_task(request, lease, worker_id) for lease in leases]}


@router.get("/work/paused")
def paused(request: Request, worker_id: WorkerId) -> dict[str, Any]:
    """The tasks that this worker keeps for later."""
    leases = own_work.paused_assignments(service_of(request).db, worker_id)
    return {
        "assignments": [
            {
                "id": lease.id,
                "job": lease.job_name,
                "objectId": _object_id(request, lease),
                "keptUntil": lease.expires_at.isoformat(),
            }
            for lease in leases
        ]
    }


@router.get("/work/answers")
def answers(request: Request, worker_id: WorkerId, job: JobName) -> dict[str, Any]:
    """This worker's last answers in a job, the newest first, each with the frame that shows its task."""
    given = own_work.recent_answers(service_of(request).db, worker_id, job)
    return {
        "answers": [
            {
                "assignmentId": answer.assignment_id,
                "objectId": answer.object_id,
                "answerContent": answer.content,
                "secondsActive": answer.seconds,
                "submittedAt": answer.submitted_at.isoformat(),
                "editable": answer.editable,
                "revision": answer.revision,
                "frameUrl": frame_link(request, answer.assignment_id, worker_id),
            }
            for answer in given
        ]
    }


@router.put("/assignments/{assignment_id}/answer")
def edit(request: Request, assignment_id: str, worker_id: CheckedWorkerId, given: ChangedAnswer) -> dict[str, Any]:
    """Put another answer in the place of one's own, until the answers are put together.

    Where the answer was changed meanwhile, in another tab, that is a conflict (409).
    """
    db = service_of(request).db
    own_work.edit_answer(db, assignment_id, worker_id, given.answerContent, given.secondsActive, given.revision)
    return {"accepted": True}


def _open_task(request: Request, lease: Assignment, worker_id: str) -> dict[str, Any]:
    view = progress.task_view(service_of(request).db, lease.id, worker_id)
    return {
        "id": lease.id,
        "job": view.job_name,
        "objectId": _object_id(request, lease),
        "expiresAt": lease.expires_at.isoformat(),
        "taskInput": view.task_input,
        "frameUrl": frame_link(request, lease.id, worker_id),
        "draft": _draft(request, lease.id, worker_id),
    }


def _draft(request: Request, assignment_id: str, worker_id: str) -> dict[str, Any] | None:
    draft = own_work.draft_of(service_of(request).db, assignment_id, worker_id)
    if draft is None:
        return None
    return {
        "answerContent": draft.content,
        "secondsActive": draft.seconds,
        "savedAt": draft.saved_at.isoformat(),
    }


def _object_id(request: Request, lease: Assignment) -> str:
    return gold.shown_id(memory_of(service_of(request).db).facts(lease.job_id), lease.position)
