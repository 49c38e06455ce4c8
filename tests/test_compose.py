"""The compose set-up, read and checked piece by piece: no Docker is needed, so it runs everywhere."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docker-compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
AIRFLOW = {name: service for name, service in SERVICES.items() if name.startswith("airflow-")}
ONE_SHOT = {"airflow-init", "labeling-init"}
SHARED = {
    "AIRFLOW__CORE__EXECUTOR",
    "AIRFLOW__CORE__AUTH_MANAGER",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__API__BASE_URL",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__API_AUTH__JWT_ISSUER",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC",
    "AIRFLOW__CELERY__BROKER_URL",
    "AIRFLOW__CELERY__RESULT_BACKEND",
    "AIRFLOW_CONN_TRUEGROUND",
}
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::([-?])([^}]*))?\}")
SECRET_NAME = re.compile(r"PASSWORD|SECRET|FERNET|ACCESS_KEY|JWT_SECRET", re.I)


def make_env(file: Path) -> dict[str, str]:
    subprocess.run(["sh", ROOT / "docker/make-env.sh", file], check=True, capture_output=True)
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return make_env(tmp_path_factory.mktemp("env") / ".env")


def filled(text: str, values: dict[str, str]) -> str:
    """The text as Compose would fill it in."""

    def value(match: re.Match[str]) -> str:
        name, kind, default = match.groups()
        return values[name] if name in values or kind != "-" else default

    return VARIABLE.sub(value, text).replace("$$", "$")


def test_every_part_of_the_house_has_its_service() -> None:
    assert SERVICES.keys() == {
        "postgres", "redis", "seaweedfs", "labeling", "labeling-init", "airflow-init", "airflow-apiserver",
        "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer", "airflow-worker",
    }  # fmt: skip


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_to_a_full_version(name: str) -> None:
    image = SERVICES[name]["image"]
    assert re.fullmatch(r"[\w./-]+:\d+\.\d+(\.\d+)?(-[a-z]+)?", image), image
    if image.startswith("trueground:"):
        version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)
        assert version is not None and image == f"trueground:{version.group(1)}"


def test_the_dockerfile_builds_on_a_pinned_image_from_the_lock_file_and_runs_without_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert bases and all(re.fullmatch(r"python:3\.1[123]\.\d+-slim-\w+", base) for base in bases)
    installs = [line for line in lines if "uv pip install" in line]
    assert installs and all("-c requirements.txt" in line for line in installs)
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users and users[-1] not in ("root", "0")


def test_the_dockerfile_copies_only_what_exists_and_is_not_ignored() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [source for line in lines if line.startswith("COPY ") for source in line.split()[1:-1]]
    assert {"trueground", "dags", "plugins", "include", "docker", "requirements.txt"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source
    assert ignored[0] == "*"


def test_the_lock_file_pins_what_the_cluster_extra_adds() -> None:
    pinned = {line.split("==")[0] for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line}
    assert {"celery", "psycopg", "psycopg2-binary", "redis", "apache-airflow-providers-fab"} <= pinned


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONE_SHOT))
def test_what_runs_for_long_has_a_health_check_and_is_restarted(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries"} <= check.keys()
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(ONE_SHOT))
def test_what_only_prepares_is_not_restarted(name: str) -> None:
    assert SERVICES[name]["restart"] == "no"


def test_dependencies_wait_for_the_right_state() -> None:
    for name, service in SERVICES.items():
        for other, rule in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert rule["condition"] == expected, f"{name} → {other}"
    for name in AIRFLOW.keys() - ONE_SHOT:
        assert {"postgres", "redis", "airflow-init"} <= AIRFLOW[name]["depends_on"].keys(), name


@pytest.mark.parametrize("setting", sorted(SHARED))
def test_a_shared_setting_is_the_same_in_every_airflow_component(setting: str) -> None:
    assert len({AIRFLOW[name]["environment"][setting] for name in AIRFLOW}) == 1


def test_the_worker_lets_its_tasks_finish_when_it_is_stopped() -> None:
    assert SERVICES["airflow-worker"]["environment"]["DUMB_INIT_SETSID"] == "0"


def test_tasks_do_not_see_the_labeling_services_own_secrets() -> None:
    for name in AIRFLOW.keys() - {"airflow-apiserver"}:
        assert not {"TRUEGROUND_STORE", "TRUEGROUND_SECRET_KEY"} & AIRFLOW[name]["environment"].keys(), name


def test_the_execution_api_is_that_of_the_api_server() -> None:
    url = AIRFLOW["airflow-worker"]["environment"]["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
    assert url == "http://airflow-apiserver:8080/execution/"


def test_airflow_knows_every_setting_by_its_name() -> None:
    from airflow.configuration import retrieve_configuration_description

    known = retrieve_configuration_description(include_airflow=True, include_providers=True)
    names = {name for service in AIRFLOW.values() for name in service["environment"] if name.startswith("AIRFLOW__")}
    for name in names:
        _, section, option = name.lower().split("__")
        assert option in known[section]["options"], name


def test_no_secret_stands_in_the_repository() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if SECRET_NAME.search(key):
                assert re.fullmatch(r"\$\{\w+(:\?[^}]+)?\}", value), f"{name}: {key}"
    # A password inside a URL or a JSON value must come from the env file as well.
    assert not re.search(r"://\w*:(?!\$\{)[^/@\s]+@", TEXT)
    assert not re.search(r'"(password|secretKey|accessKey|login)":\s*"(?!\$\{)', TEXT)
    assert ".env" in (ROOT / ".gitignore").read_text().split()


def test_the_env_file_holds_every_variable_and_nothing_else(secrets: dict[str, str]) -> None:
    used = {name: kind for name, kind, _ in VARIABLE.findall(TEXT) if kind != "-"}
    assert used.keys() == secrets.keys()


def test_a_missing_env_file_is_met_with_what_to_do() -> None:
    guarded = {name for name, kind, hint in VARIABLE.findall(TEXT) if kind == "?" and "make-env.sh" in hint}
    assert guarded == {name for name, kind, _ in VARIABLE.findall(TEXT) if kind != "-"}


def test_secrets_are_strong_and_all_different(secrets: dict[str, str], tmp_path: Path) -> None:
    from cryptography.fernet import Fernet

    other = make_env(tmp_path / ".env")
    assert len({*secrets.values(), *other.values()}) == 2 * len(secrets)
    assert len(secrets["AIRFLOW_JWT_SECRET"].encode()) >= 64
    for name in ("AIRFLOW_FERNET_KEY", "TRUEGROUND_SECRET_KEY"):
        assert Fernet(secrets[name].encode()).decrypt(Fernet(secrets[name].encode()).encrypt(b"x")) == b"x"
        assert len(base64.urlsafe_b64decode(secrets[name])) == 32
    assert all(len(value) >= 20 for value in secrets.values())


def test_making_the_env_file_again_changes_nothing_and_adds_what_is_missing(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# mine\nREDIS_PASSWORD=chosen-by-me\nAIRFLOW_JWT_SECRET=\nAIRFLOW_PORT=9090")  # no end of line
    subprocess.run(["sh", ROOT / "docker/make-env.sh", file], check=True, capture_output=True)
    first = file.read_text()
    assert "REDIS_PASSWORD=chosen-by-me\n" in first and "AIRFLOW_PORT=9090\n" in first
    assert first.count("REDIS_PASSWORD=") == 1 and re.search(r"^AIRFLOW_JWT_SECRET=.{64,}$", first, re.M)
    subprocess.run(["sh", ROOT / "docker/make-env.sh", file], check=True, capture_output=True)
    assert file.read_text() == first


def test_only_its_owner_may_read_the_env_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.touch(mode=0o644)
    make_env(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_connection_leads_to_the_labeling_service_and_to_s3(
    secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.models import Connection
    from airflow.providers.amazon.aws.utils.connection_wrapper import AwsConnectionWrapper

    text = filled(AIRFLOW["airflow-worker"]["environment"]["AIRFLOW_CONN_TRUEGROUND"], secrets)
    monkeypatch.setenv("AIRFLOW_CONN_TRUEGROUND", text)
    wrapper = AwsConnectionWrapper(Connection(conn_id="trueground", uri=None, **_fields(json.loads(text))))
    assert wrapper.aws_access_key_id == secrets["AWS_ACCESS_KEY_ID"]
    for client in ("sagemaker", "sagemaker-a2i-runtime"):
        assert wrapper.get_service_endpoint_url(service_name=client) == "http://labeling:8000/aws"
    assert wrapper.get_service_endpoint_url(service_name="s3") == "http://seaweedfs:8333"
    assert wrapper.get_service_endpoint_url(service_name="sts") is None


def _fields(connection: dict[str, Any]) -> dict[str, Any]:
    return {key: json.dumps(value) if key == "extra" else value for key, value in connection.items()}


def test_the_s3_server_takes_the_keys_of_the_connection(secrets: dict[str, str]) -> None:
    identities = json.loads(filled(COMPOSE["configs"]["s3-identities"]["content"], secrets))["identities"]
    assert identities[0]["credentials"] == [
        {"accessKey": secrets["AWS_ACCESS_KEY_ID"], "secretKey": secrets["AWS_SECRET_ACCESS_KEY"]}
    ]
    assert "-s3.config=" + SERVICES["seaweedfs"]["configs"][0]["target"] in SERVICES["seaweedfs"]["command"]


def test_ports_are_open_to_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 2 and all(port.startswith("127.0.0.1:") for port in ports)


def test_mounted_volumes_are_declared_and_mounted_files_exist() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], mount


@pytest.mark.airflow
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(AIRFLOW.keys() - ONE_SHOT))
def test_the_command_exists_in_airflow(name: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [*SERVICES[name]["command"], "--help"]
    done = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "sage: " in done.stdout, done.stderr


def test_the_shell_scripts_parse() -> None:
    for script in (ROOT / "docker").glob("*.sh"):
        assert os.access(script, os.X_OK), script
        subprocess.run([shutil.which("sh") or "sh", "-n", script], check=True)


def test_the_services_that_only_prepare_run_scripts_that_exist() -> None:
    for name in ONE_SHOT:
        command = SERVICES[name]["command"]
        assert command[0] in ("sh", "python") and (ROOT / command[1]).is_file()
