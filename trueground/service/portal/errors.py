"""Errors as people see them: a page in the browser, JSON below /api."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from trueground.service.engine.errors import (
    Answered,
    Closed,
    EngineError,
    Invalid,
    NotFound,
    NotYours,
    ProviderFailed,
    Refused,
    SignInRefused,
    TooManyTries,
)


class SignInNeeded(Exception):
    """Nobody is signed in."""


class Forbidden(Exception):
    """Somebody is signed in, but may not do this."""


STATUS: dict[type[EngineError], tuple[int, str]] = {
    Closed: (409, "closed"),
    NotFound: (404, "not-found"),
    NotYours: (404, "not-found"),
    Invalid: (400, "invalid"),
    Refused: (403, "forbidden"),
    TooManyTries: (429, "too-many-tries"),
    SignInRefused: (403, "sign-in-refused"),
    ProviderFailed: (502, "provider-failed"),
}


HTTP_ERRORS = {
    (404, "Not Found"): ("not-found", "There is nothing at this address."),
    (405, "Method Not Allowed"): ("method", "This address cannot be used in this way."),
}
"""Starlette's own words, and ours for them."""

ErrorPage = Callable[[Request, int, str], Response]
"""Makes the page that shows a status and a message."""


def install(app: FastAPI, error_page: ErrorPage) -> None:
    """Have the app answer these errors."""

    def answer(request: Request, status: int, name: str, message: str) -> Response:
        return _json(status, name, message) if _wants_json(request) else error_page(request, status, message)

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> Response:
        # What it was is in the log, which has the traceback; it may hold what strangers must not see.
        response = answer(request, 500, "failed", "The service failed. Its log says why; nothing handed in is lost.")
        # The server cuts the connection after a failure: the client must not send its next request into it.
        response.headers["Connection"] = "close"
        return response

    @app.exception_handler(SignInNeeded)
    def sign_in_needed(request: Request, error: SignInNeeded) -> Response:
        if _wants_json(request):
            return _json(401, "sign-in-needed", "Sign in first.")
        prefix = str(request.scope.get("root_path", "")).rstrip("/")
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{prefix}/signin?next={quote(here, safe='')}", 303)

    @app.exception_handler(Forbidden)
    def forbidden(request: Request, error: Forbidden) -> Response:
        return answer(request, 403, "forbidden", str(error))

    @app.exception_handler(EngineError)
    def engine(request: Request, error: EngineError) -> Response:
        status, name = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), (400, "refused"))
        if isinstance(error, Closed):
            name = error.reason
        if isinstance(error, Answered) and _wants_json(request):
            return JSONResponse({"error": name, "message": str(error), "stored": _stored(error)}, status)
        response = answer(request, status, name, str(error))
        if isinstance(error, TooManyTries):
            response.headers["Retry-After"] = str(error.seconds)
        return response

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        first: dict[str, Any] = error.errors()[0]
        return answer(request, 400, "invalid", f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}")

    @app.exception_handler(DataError)
    def not_for_the_store(request: Request, error: DataError) -> Response:
        # PostgreSQL knows no null characters, wherever in a request they stand.
        return answer(request, 400, "invalid", "The request holds what no text can, such as a null character.")

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        name, message = HTTP_ERRORS.get((error.status_code, error.detail), ("http", error.detail))
        response = answer(request, error.status_code, "not-found" if error.status_code == 404 else name, message)
        response.headers.update(error.headers or {})
        return response


def _stored(error: Answered) -> dict[str, Any]:
    return {
        "answerContent": error.content,
        "submittedAt": error.submitted_at.isoformat(),
        "editable": error.editable,
    }


def _wants_json(request: Request) -> bool:
    path = request.url.path.removeprefix(str(request.scope.get("root_path", "")))
    return path.startswith(("/api/", "/aws"))


def _json(status: int, name: str, message: str) -> JSONResponse:
    return JSONResponse({"error": name, "message": message}, status)
