"""Servers on this machine that speak AWS's S3, SNS and SQS, empty at each start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3

__all__ = ["MotoServer", "serve_moto", "serve_s3"]


@dataclass(frozen=True)
class MotoServer:
    """Where the server listens."""

    url: str

    @property
    def options(self) -> dict[str, Any]:
        """What our ``Storage`` needs to reach it."""
        return {"key": "x", "secret": "x", "endpoint_url": self.url, "client_kwargs": {"region_name": "us-east-1"}}

    def client(self, service: Any = "s3") -> Any:
        """boto3's client for it."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )


@contextmanager
def serve_moto(*services: str) -> Iterator[MotoServer]:
    """Run the server until the block ends."""
    # Slow to import; most tests of a module that uses this need no server.
    from moto.backends import get_backend
    from moto.server import ThreadedMotoServer

    # What moto holds lives as long as the process: without this, that of the last test would be found again.
    for service in services:
        get_backend(service).reset()  # type: ignore[call-overload]
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield MotoServer(f"http://{host}:{port}")
    finally:
        server.stop()


@contextmanager
def serve_s3(bucket: str) -> Iterator[MotoServer]:
    """Run an S3 server with this one bucket in it until the block ends."""
    with serve_moto("s3") as server:
        server.client().create_bucket(Bucket=bucket)
        yield server
