"""A real S3 server on this machine, empty at each start, for the tests that keep files there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3

__all__ = ["S3Server", "serve_s3"]


@dataclass(frozen=True)
class S3Server:
    """Where the server listens."""

    url: str

    @property
    def options(self) -> dict[str, Any]:
        """What our ``Storage`` needs to reach it."""
        return {"key": "x", "secret": "x", "endpoint_url": self.url, "client_kwargs": {"region_name": "us-east-1"}}

    def client(self) -> Any:
        """boto3's client for it."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )


@contextmanager
def serve_s3(bucket: str) -> Iterator[S3Server]:
    """Run the server with this one bucket in it until the block ends."""
    # Slow to import; most tests of a module that uses this need no server.
    from moto.backends import get_backend
    from moto.server import ThreadedMotoServer

    # moto's files live as long as the process: without this, those of the last test would be found again.
    get_backend("s3").reset()
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    running = S3Server(f"http://{host}:{port}")
    running.client().create_bucket(Bucket=bucket)
    try:
        yield running
    finally:
        server.stop()
