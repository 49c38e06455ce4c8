"""Errors as people see them: a page in the browser, JSON below /api."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from trueground.service.engine.errors import Closed, EngineError, Invalid, NotFound, NotYours


class SignInNeeded(Exception):
    """Nobody is signed in."""


class Forbidden(Exception):
    """Somebody is signed in, but may not do this."""


STATUS: dict[type[EngineError], tuple[int, str]] = {
    Closed: (409, "closed"),
    NotFound: (404, "not-found"),
    NotYours: (404, "not-found"),
    Invalid: (400, "invalid"),
}


ErrorPage = Callable[[Request, int, str], Response]
"""Makes the page that shows a status and a message."""


def install(app: FastAPI, error_page: ErrorPage) -> None:
    """Have the app answer these errors."""

    def answer(request: Request, status: int, name: str, message: str) -> Response:
        return _json(status, name, message) if _wants_json(request) else error_page(request, status, message)

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
        return answer(request, status, name, str(error))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        first: dict[str, Any] = error.errors()[0]
        return answer(request, 400, "invalid", f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}")

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            message = "There is nothing at this address." if error.detail == "Not Found" else error.detail
            return answer(request, 404, "not-found", message)
        return answer(request, error.status_code, "http", error.detail)


def _wants_json(request: Request) -> bool:
    path = request.url.path.removeprefix(str(request.scope.get("root_path", "")))
    return path.startswith(("/api/", "/aws"))


def _json(status: int, name: str, message: str) -> JSONResponse:
    return JSONResponse({"error": name, "message": message}, status)
