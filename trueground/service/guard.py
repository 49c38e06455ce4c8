"""What every request must hold to before any route sees it: an honest Host, a body of bounded size and time, and for
what changes something no other site as its sender.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_SECONDS = 60.0
"""How long a request's body may take to arrive: who sends a byte a minute holds a connection, not a worker."""
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
    """ASGI middleware around the whole service.

    Args:
        app: what answers the requests that pass.
        body_limit: the largest body in bytes.
        larger: paths of the service that may have a larger one, and how large.
    """

    def __init__(self, app: ASGIApp, body_limit: int, larger: Mapping[str, int]) -> None:
        self._app = app
        self._limit = body_limit
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that does not hold to the rules; pass on any other."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        problem = _problem(scope, Headers(scope=scope))
        if problem is not None:
            await PlainTextResponse(problem[1], problem[0], {"Connection": "close"})(scope, receive, send)
            return
        path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")).rstrip("/"))
        limit = max(self._limit, self._larger.get(path, 0))
        await self._app(scope, self._bounded(receive, limit), send)

    def _bounded(self, receive: Receive, limit: int) -> Receive:
        size, whole, end = 0, False, asyncio.get_running_loop().time() + BODY_SECONDS

        async def bounded() -> Message:
            nonlocal size, whole
            if whole:
                # Only the end of the connection is left to wait for, which may take as long as an answer does.
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "The request took too long to arrive.", {"Connection": "close"}) from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > limit:
                raise HTTPException(413, "The request is too large.", {"Connection": "close"})
            return message

        return bounded


def _problem(scope: Scope, headers: Headers) -> tuple[int, str] | None:
    # Addresses in pages and policies are made of the Host; one that holds more than a host would write into them.
    hosts = headers.getlist("host")
    if len(hosts) > 1 or (hosts and _HOST.fullmatch(hosts[0]) is None):
        return 400, "The Host header names no host."
    # Each browser says where a request comes from, and no page can change that. It covers what needs no session yet,
    # such as signing a victim in under the attacker's name. A signed request of the API is no browser's own doing.
    foreign = headers.get("sec-fetch-site") == "cross-site" and scope["method"] not in _SAFE
    if foreign and not headers.get("authorization", "").startswith("AWS4-"):
        return 403, "A page of another site cannot do this."
    return None
