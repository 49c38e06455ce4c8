"""A server that speaks AWS Lambda's Invoke operation, for tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


class LambdaServer:
    """Calls ``handlers[name](event)``; an exception becomes Lambda's FunctionError.

    ``busy``: that many requests are answered with TooManyRequestsException first.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.handlers: dict[str, Callable[[Any], Any]] = {}
        self.busy = 0
        self.requests: list[tuple[str, str]] = []
        """Path and Authorization header of each request."""

    def answer(self, path: str, body: bytes) -> tuple[int, dict[str, str], Any]:
        if self.busy > 0:
            self.busy -= 1
            return 429, {"X-Amzn-ErrorType": "TooManyRequestsException"}, {"message": "Rate exceeded"}
        arn = unquote(path.removeprefix("/2015-03-31/functions/").removesuffix("/invocations"))
        name = arn.split(":")[6]
        if name not in self.handlers:
            return 404, {"X-Amzn-ErrorType": "ResourceNotFoundException"}, {"Message": f"Function not found: {arn}"}
        try:
            return 200, {}, self.handlers[name](json.loads(body))
        except Exception as error:
            told = {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": []}
            return 200, {"X-Amz-Function-Error": "Unhandled"}, told


@contextmanager
def serve_lambda() -> Iterator[LambdaServer]:
    """On a free port, in threads."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.requests.append((unquote(self.path), self.headers["Authorization"]))
            status, headers, content = server.answer(self.path, body)
            text = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(text))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = LambdaServer(f"http://127.0.0.1:{http.server_address[1]}")
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
