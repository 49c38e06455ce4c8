"""An S3 server that fails when a test says so, and otherwise works."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from tests.moto_server import MotoServer

Fault = str | tuple[int, str, str]
"""``slow`` (no answer before the client gives up), ``cut`` (half a body), or status, code and message."""


@dataclass(frozen=True)
class FaultyS3(MotoServer):
    """Where it listens, and what is wrong with it."""

    release: threading.Event = field(default_factory=threading.Event)
    faults: list[Iterator[Fault]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def options(self) -> dict[str, Any]:
        """As :class:`MotoServer` has it, but quick to give up."""
        retries = {"mode": "standard", "total_max_attempts": 3}
        return {**super().options, "config_kwargs": {"read_timeout": 0.5, "retries": retries}}

    def fail(self, *faults: Fault, forever: bool = False) -> None:
        """What the next requests meet; ``forever``: all of them meet the first."""
        self.requests.clear()
        self.faults[:] = [repeat(faults[0]) if forever else iter(faults)]

    def heal(self) -> None:
        """From now on it works."""
        self.faults.clear()


@contextmanager
def serve_faulty_s3(bucket: str) -> Iterator[FaultyS3]:
    """Run the server, with this one bucket in it, until the block ends."""
    from moto.backends import get_backend
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    get_backend("s3").reset()
    moto = DomainDispatcherApplication(create_backend_app)
    server: FaultyS3

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        server.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        fault = next(server.faults[0], None) if server.faults else None
        if fault is None:
            return moto(environ, start_response)
        if fault == "slow":
            server.release.wait(60)
            fault = (503, "SlowDown", "too late")
        if fault == "cut":
            start_response("200 OK", [("Content-Length", "1000"), ("ETag", '"x"')])
            return [b"half"]
        assert isinstance(fault, tuple)
        status, code, message = fault
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        start_response(f"{status} {code}", [("Content-Type", "application/xml")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    running = make_server("127.0.0.1", 0, app, True, request_handler=MotoRequestHandler)
    server = FaultyS3(f"http://127.0.0.1:{running.server_port}")
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    server.client().create_bucket(Bucket=bucket)
    try:
        yield server
    finally:
        server.release.set()
        running.shutdown()
        running.server_close()
        thread.join()
