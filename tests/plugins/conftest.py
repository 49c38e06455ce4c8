"""The labeling service, running, and the Airflow connection to it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.running import RunningService, _running_service
from trueground.service.settings import ServiceSettings


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    (tmp_path / "data").mkdir()
    settings = ServiceSettings(home=tmp_path / "home", data_root=(tmp_path / "data").resolve(), poll_interval=0.1)
    with _running_service(settings) as service:
        yield service


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, str]], None]:
    """Make the Airflow connection `trueground` point at an address."""

    def connect(url: str, keys: dict[str, str]) -> None:
        endpoint = {"endpoint_url": url}
        connection = {
            "conn_type": "aws",
            "login": keys["aws_access_key_id"],
            "password": keys["aws_secret_access_key"],
            "extra": {
                "region_name": "us-east-1",
                "service_config": {"sagemaker": endpoint, "sagemaker-a2i-runtime": endpoint},
                "config_kwargs": {"retries": {"total_max_attempts": 1}},
            },
        }
        monkeypatch.setitem(os.environ, "AIRFLOW_CONN_TRUEGROUND", json.dumps(connection))

    return connect


@pytest.fixture
def nothing_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a project needs is not looked for: for tests of a step alone, without a service and without teams."""
    for module in ("base", "forms"):
        monkeypatch.setattr(f"operators.{module}.refuse_incomplete", lambda *_: None)


async def first_event(trigger: Any) -> dict[str, Any]:
    async for event in trigger.run():
        payload: dict[str, Any] = event.payload
        return payload
    raise AssertionError("the trigger ended without an event")
