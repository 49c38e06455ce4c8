"""The set-up of `make demo` and `make up`, short of starting Airflow."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

import pytest

from demo.airflow import LocalAirflow
from demo.digits import read_truth, write_digits
from demo.processes import free_port


@pytest.fixture
def local(tmp_path: Path) -> LocalAirflow:
    return LocalAirflow(tmp_path / "airflow", tmp_path / "trueground", tmp_path / "data", port=23000)


def test_a_taken_port_is_met_with_the_next_free_one() -> None:
    first = free_port(24000)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        taken.listen()
        assert free_port(first) > first


def test_the_connection_carries_the_key_that_the_service_made(local: LocalAirflow) -> None:
    connection = json.loads(local.environment["AIRFLOW_CONN_TRUEGROUND"])
    assert connection["login"] == local.keys()["aws_access_key_id"]
    endpoint = connection["extra"]["service_config"]["sagemaker"]["endpoint_url"]
    assert endpoint == f"http://localhost:{local.port}/trueground/aws"


def test_secrets_are_long_private_and_stay_the_same(local: LocalAirflow, tmp_path: Path) -> None:
    again = LocalAirflow(tmp_path / "airflow", tmp_path / "trueground", tmp_path / "data", port=23000)
    for name in ("AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY"):
        assert len(local.environment[name]) >= 64
        assert local.environment[name] == again.environment[name]
    assert local.environment["AIRFLOW__API_AUTH__JWT_SECRET"] != local.environment["AIRFLOW__API__SECRET_KEY"]
    assert again.password == local.password
    for file in ("passwords.json", "jwt.secret", "api.secret"):
        assert stat.S_IMODE((local.home / file).stat().st_mode) == 0o600


def test_settings_of_the_machine_do_not_leak_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    local = LocalAirflow(tmp_path / "airflow", tmp_path / "trueground", tmp_path / "data", port=23000)
    assert local.environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert not {"AWS_PROFILE", "PYTHONDONTWRITEBYTECODE"} & local.environment.keys()


def test_the_truth_names_every_picture_and_pictures_are_written_once(tmp_path: Path) -> None:
    images, truth = tmp_path / "images", tmp_path / "truth.csv"
    assert write_digits(images, truth, limit=12) == 12
    times = {file: file.stat().st_mtime_ns for file in images.iterdir()}
    write_digits(images, truth, limit=12)
    assert {file: file.stat().st_mtime_ns for file in images.iterdir()} == times
    assert sorted(read_truth(truth)) == sorted(file.name for file in images.iterdir())
