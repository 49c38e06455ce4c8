"""The labeling service by itself, as a process of this machine that ends with the program that started it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import httpx

from demo.processes import StartError, access_key, end_with_parent
from trueground.service.engine import first_start
from trueground.service.security import SecretBox
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database

START_LIMIT = 120.0
"""Seconds until it must answer."""


class LocalService:
    """``trueground serve`` on a free port.

    Args:
        home: the labeling service's own folder.
        data_root: the folder of the data.
    """

    def __init__(self, home: Path, data_root: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        data_root.mkdir(parents=True, exist_ok=True)
        self.settings = ServiceSettings(home=home, data_root=data_root)
        self.log = home / "service.log"
        self.url = ""

    @contextmanager
    def running(self) -> Iterator[LocalService]:
        """Started inside the block, stopped after it. Raises :class:`~demo.airflow.StartError`."""
        folders = ["--home", str(self.settings.home), "--data-root", str(self.settings.data_root)]
        with self.log.open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "trueground.cli", "serve", "--port", "0", *folders],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=end_with_parent if sys.platform == "linux" else None,
            )
        try:
            self._wait(process)
            yield self
        finally:
            process.terminate()
            process.wait(30)

    def open_store(self) -> Database:
        """The service's store, ready for use."""
        db = Database(self.settings.database_url)
        first_start.prepare(db, SecretBox.load(self.settings.home), self.settings)
        return db

    def client(self, api: str = "sagemaker") -> Any:
        """A boto3 client that speaks to it, with its first key."""
        key = access_key(self.settings.credentials_file)
        return boto3.client(
            api,
            endpoint_url=self.url,
            region_name=self.settings.region,
            aws_access_key_id=key["aws_access_key_id"],
            aws_secret_access_key=key["aws_secret_access_key"],
        )

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_LIMIT
        while process.poll() is None and time.monotonic() < deadline:
            line = self.log.read_text().partition("\n")[0]
            if line.startswith("Trueground labeling service at "):
                self.url = line.split()[-1]
                with suppress(httpx.HTTPError):
                    if httpx.get(f"{self.url}/healthz", timeout=5).status_code == 200:
                        return
            time.sleep(0.2)
        raise StartError(f"the labeling service did not start:\n{self.log.read_text()[-2000:]}")
