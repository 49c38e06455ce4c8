"""The task page that Mechanical Turk shows its workers in a frame.

Nobody is signed in here, and no cookie is used: the addresses are permissions for one task each.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from trueground.service.engine import mturk, public_workers
from trueground.service.engine.public_request import reward
from trueground.service.engine.public_workers import PublicTask
from trueground.service.portal.frames import FRAME_SECONDS
from trueground.service.portal.rendering import page
from trueground.service.portal.session import prefix_of, service_of
from trueground.service.store.database import now

router = APIRouter(prefix="/turk")

NOT_ACCEPTED = "ASSIGNMENT_ID_NOT_AVAILABLE"
PLACE = "turk place"
_ID = re.compile(r"[A-Za-z0-9]{1,64}")


class HandedIn(BaseModel):
    """What a worker answered. ``place`` is what their page was given."""

    place: str = Field(max_length=2048)
    answerContent: dict[str, Any]
    secondsActive: float = Field(0.0, ge=0, le=30 * 86_400)


@router.get("/{token}")
def show(
    request: Request,
    token: str,
    assignmentId: str = NOT_ACCEPTED,
    workerId: str = "",
    hitId: str = "",
    turkSubmitTo: str = "",
) -> Response:
    """The task: to look at for those who have not accepted it, to answer for those who have."""
    service = service_of(request)
    claims = service.signer.read("turk", token)
    if claims is None or service.settings.mturk_endpoint is None:
        raise HTTPException(404, "This task is over.")
    task = public_workers.public_task(service.db, claims["j"], claims["p"])
    if assignmentId == NOT_ACCEPTED:
        return _task_page(request, task, frame={"j": task.job_id, "p": task.position, "w": ""})
    if not _ID.fullmatch(assignmentId) or not _ID.fullmatch(workerId) or (task.hit_id or hitId) != hitId:
        raise HTTPException(400, "Mechanical Turk opens this page with other parameters.")
    submit_to = _submit_to(request, turkSubmitTo)
    worker_id = public_workers.worker_of(service.db, service.secrets, workerId)
    place = public_workers.take(service.db, worker_id, task)
    if place.lease is None:
        return _task_page(request, task, assignment=assignmentId, submit_to=submit_to, handed_in=place.handed_in)
    seconds = (place.lease.expires_at - now()).total_seconds()
    signed = service.signer.sign(PLACE, {"a": place.lease.id, "w": worker_id}, max(1.0, seconds))
    frame = {"a": place.lease.id, "w": worker_id}
    return _task_page(request, task, frame=frame, assignment=assignmentId, submit_to=submit_to, place=signed)


@router.post("/answer", status_code=204)
def hand_in(request: Request, given: HandedIn) -> None:
    """Keep what was handed in; Mechanical Turk is told after that."""
    service = service_of(request)
    claims = service.signer.read(PLACE, given.place)
    if claims is None:
        raise HTTPException(409, "The time for this task is over; this answer was not taken.")
    public_workers.hand_in(service.db, claims["a"], claims["w"], given.answerContent, given.secondsActive)


def _task_page(
    request: Request,
    task: PublicTask,
    *,
    frame: dict[str, Any] | None = None,
    assignment: str | None = None,
    submit_to: str = "",
    place: str = "",
    handed_in: bool = False,
) -> Response:
    service = service_of(request)
    around, targets = mturk.origins(service.settings)
    link = None
    if frame is not None:
        token = service.signer.sign("frame", {**frame, "around": list(around)}, FRAME_SECONDS)
        link = f"{prefix_of(request)}/frame/{token}"
    response = page(
        request,
        "turk.html",
        None,
        human=task.request["HumanTaskConfig"],
        reward=reward(task.request),
        frame=link,
        assignment=assignment,
        submit_to=submit_to,
        place=place,
        handed_in=handed_in,
    )
    response.headers["Content-Security-Policy"] = (
        f"default-src 'self'; frame-ancestors {' '.join(around)}; form-action {' '.join(targets)}; base-uri 'none'; "
        "object-src 'none'"
    )
    # What the address says of the worker is nobody else's business.
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _submit_to(request: Request, wanted: str) -> str:
    """Where Mechanical Turk wants to be told, if that is Mechanical Turk."""
    parts = urlsplit(wanted)
    if f"{parts.scheme}://{parts.netloc}" not in mturk.origins(service_of(request).settings)[1]:
        raise HTTPException(400, "turkSubmitTo is not Mechanical Turk.")
    return f"{parts.scheme}://{parts.netloc}/mturk/externalSubmit"
