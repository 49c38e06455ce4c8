"""The two requests that people make all day: the next task, and an answer.

Together they bound how many people one machine can serve, so they do without what makes other routes convenient: no
thread of their own, no session looked up that was seen a moment ago, no model built between the store and the wire,
and (:class:`ShortWay`) no search for their route.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine
from itertools import takewhile
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from trueground.service.engine import answering, assignment, gold, leasing, sessions
from trueground.service.engine.functions import task_input
from trueground.service.engine.memory import memory_of
from trueground.service.portal.frames import frame_link
from trueground.service.portal.session import COOKIE, checked_worker, identity, prefix_of, service_of, worker

router = APIRouter(prefix="/api")
Model = TypeVar("Model", bound=BaseModel)


PageId = Annotated[str, Field(pattern=r"^[0-9a-zA-Z-]{8,64}$")]
"""What a browser page is known by: anything random that it makes when it is loaded."""


class NextTask(BaseModel):
    """Of which job the next task is to be, any where it is left out; and which tasks the worker's pages have already.

    ``page`` is the page that asks. With it, a task of ``holding`` never comes again.
    """

    job: str | None = Field(None, max_length=63)
    holding: list[str] | None = Field(None, max_length=20)
    page: PageId | None = None


class GivenAnswer(BaseModel):
    """What a worker answered, and for how many seconds they were at it."""

    answerContent: dict[str, Any]
    secondsActive: float = Field(0.0, ge=0, le=30 * 86_400)


def _body(model: type[BaseModel], *, required: bool) -> dict[str, Any]:
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": required, "content": content}}


@router.post("/work/next", openapi_extra=_body(NextTask, required=False))
async def next_task(request: Request) -> Response:
    """Lease the next task; ``{"assignment": null}`` where nothing is left for this worker now."""
    worker_id = await _worker(request)
    body = await request.body()
    wanted = _read(NextTask, body if body.strip() not in (b"", b"null") else b"{}")
    db = service_of(request).db
    operation = leasing.next_task(db, worker_id, wanted.job, wanted.holding, wanted.page)
    lease = await db.batches.run_async(operation)
    return _answer({"assignment": None if lease is None else _task(request, lease)})


@router.post("/assignments/{assignment_id}/answer", openapi_extra=_body(GivenAnswer, required=True))
async def submit(request: Request, assignment_id: str) -> Response:
    """Keep an answer. When this returns, the answer is on disk; sent again, it changes nothing.

    Another answer to a task that was answered is a conflict (409); the stored one comes with it.
    """
    worker_id = await _worker(request)
    given = _read(GivenAnswer, await request.body())
    db = service_of(request).db
    operation = answering.submit(db, assignment_id, worker_id, given.answerContent, given.secondsActive)
    result = await db.batches.run_async(operation)
    return _answer({"accepted": True, "repeated": result.repeated, "answeredByMe": result.answered_by_me})


class ShortWay:
    """ASGI middleware that answers the two requests before the app looks for a route; all others pass.

    The routes stand in the app as well, for its description of itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        request = Request(scope, receive) if scope["type"] == "http" and scope["method"] == "POST" else None
        answer = _short(request) if request is not None else None
        if request is None or answer is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await answer
        except Exception as error:
            # What nobody foresaw is for the app's own last resort.
            foreseen = takewhile(lambda kind: kind is not Exception, type(error).__mro__)
            handlers = request.app.exception_handlers
            handler = next((handlers[kind] for kind in foreseen if kind in handlers), None)
            if handler is None:
                raise
            response = handler(request, error)
        await response(scope, receive, send)


def _short(request: Request) -> Coroutine[Any, Any, Response] | None:
    path = str(request.scope["path"]).removeprefix(prefix_of(request))
    if path == "/api/work/next":
        return next_task(request)
    assignment_id = path.removeprefix("/api/assignments/").removesuffix("/answer")
    if path == f"/api/assignments/{assignment_id}/answer" and assignment_id and "/" not in assignment_id:
        return submit(request, assignment_id)
    return None


def _task(request: Request, lease: assignment.Assignment) -> dict[str, Any]:
    facts = memory_of(service_of(request).db).facts(lease.job_id)
    made = lease.task_input
    return {
        "id": lease.id,
        "job": lease.job_name,
        "objectId": gold.shown_id(facts, lease.position),
        "expiresAt": lease.expires_at.isoformat(),
        "taskInput": (
            task_input(facts.pre_function, json.loads(lease.line or "{}"), facts.categories)
            if made is None
            else json.loads(made)
        ),
        "frameUrl": frame_link(request, lease.id, lease.worker_id),
        "again": lease.again,
        "openElsewhere": lease.again and bool(lease.pages),
    }


async def _worker(request: Request) -> str:
    """The worker who sends a request from the portal's own page; as the dependency of other routes finds them."""
    token = request.cookies.get(COOKIE)
    if token and sessions.is_remembered(service_of(request).db, token):
        return _checked(request)
    return await run_in_threadpool(_checked, request)


def _checked(request: Request) -> str:
    return checked_worker(request, worker(identity(request)))


def _read(model: type[Model], body: bytes) -> Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError([{**found, "loc": ("body", *found["loc"])} for found in error.errors()]) from None


def _answer(content: dict[str, Any]) -> Response:
    return Response(json.dumps(content, separators=(",", ":")), media_type="application/json")
