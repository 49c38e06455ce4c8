"""The compose file's own commands, settings and health checks, run as processes of this machine instead of containers.

PostgreSQL and Redis are started for it where they are installed; S3 is moto's server. Only host names and ports differ
from what containers get.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from moto.server import ThreadedMotoServer

ROOT = Path(__file__).resolve().parents[1]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
LONG_LIVED = ["labeling", "airflow-apiserver", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"]
LONG_LIVED += ["airflow-worker"]

DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def hello():
    @task
    def say():
        return "hello from a worker"
    say()

hello()
"""

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.timeout(400)]


def program(name: str) -> str:
    """Where a server's program is; the test that needs it is skipped, and says so, where it is not installed."""
    folders = [*map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), os.environ["PATH"]]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install postgresql redis-server)")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(done: Callable[[], Any], seconds: float, what: str) -> Any:
    """Ask until there is an answer."""
    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            if result := done():
                return result
        except Exception as error:
            last = error
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {seconds:.0f} s ({last!r})")


class Stack:
    """The services of the compose file as processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.ports = {
            name: free_port() for name in ("postgres", "redis", "api", "labeling", "log", "trigger", "health")
        }
        self.s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        subprocess.run(["sh", ROOT / "docker/make-env.sh", folder / ".env"], check=True, capture_output=True)
        self.secrets = dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines())
        self.secrets |= {"AIRFLOW_PORT": str(self.ports["api"])}

    def local(self, text: str) -> str:
        """The text with variables filled in and containers' names and ports replaced."""
        for name, value in self.secrets.items():
            text = text.replace(f"${{{name}}}", value).replace(f"${{{name}:?run docker/make-env.sh first}}", value)
        text = text.replace("${AIRFLOW_PORT:-8080}", self.secrets["AIRFLOW_PORT"]).replace("$$", "$")
        for there, here in {
            "@postgres/": f"@127.0.0.1:{self.ports['postgres']}/",
            "@redis:6379": f"@127.0.0.1:{self.ports['redis']}",
            "seaweedfs:8333": f"127.0.0.1:{self.s3.get_host_and_port()[1]}",
            "labeling:8000": f"127.0.0.1:{self.ports['labeling']}",
            "127.0.0.1:8000": f"127.0.0.1:{self.ports['labeling']}",
            "airflow-apiserver:8080": f"127.0.0.1:{self.ports['api']}",
            "127.0.0.1:8080": f"127.0.0.1:{self.ports['api']}",
            "127.0.0.1:8974": f"127.0.0.1:{self.ports['health']}",
        }.items():
            text = text.replace(there, here)
        return text

    def environment(self, name: str) -> dict[str, str]:
        # Nothing that the tests or the user set for Airflow may reach it: only the compose file speaks.
        outer = {
            key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "AWS", "TRUEGROUND"))
        }
        given = {key: self.local(str(value)) for key, value in SERVICES[name].get("environment", {}).items()}
        return {
            **outer,
            **given,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOSTNAME": socket.gethostname(),
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "TRUEGROUND_HOME": str(self.folder / "trueground"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.folder / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__API__PORT": str(self.ports["api"]),
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "1",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self.ports["log"]),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(self.ports["trigger"]),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(self.ports["health"]),
        }

    def command(self, name: str) -> list[str]:
        words = [self.local(word) for word in SERVICES[name]["command"]]
        return [str(self.ports["labeling"]) if word == "8000" else word for word in words]

    def spawn(self, command: list[str], log: str, **options: Any) -> subprocess.Popen[bytes]:
        with (self.folder / f"{log}.log").open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **options
            )
        self.processes.append(process)
        return process

    def start(self) -> None:
        """Start everything in the order that depends_on demands."""
        self._postgres()
        redis = [program("redis-server"), "--port", str(self.ports["redis"]), "--bind", "127.0.0.1", "--save", ""]
        self.spawn([*redis, "--requirepass", self.secrets["REDIS_PASSWORD"]], "redis", env=os.environ)
        self.s3.start()
        (self.folder / "dags").mkdir()
        (self.folder / "dags" / "hello.py").write_text(DAG)
        for name in ("airflow-init", "labeling-init"):
            for _ in range(2):  # the second time as at a later start
                done = subprocess.run(
                    self.command(name), cwd=ROOT, env=self.environment(name), capture_output=True, text=True
                )
                assert done.returncode == 0, f"{name}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        for name in LONG_LIVED:
            self.spawn(self.command(name), name, env=self.environment(name))

    def _postgres(self) -> None:
        data, port = self.folder / "postgres", str(self.ports["postgres"])
        data.mkdir()
        options: dict[str, Any] = {}
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            user = pwd.getpwnam("postgres")
            options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(data, user.pw_uid, user.pw_gid)
            self.folder.chmod(0o711)
        setup = [program("initdb"), "-D", str(data / "d"), "-U", "airflow", "-A", "trust"]
        subprocess.run(setup, check=True, capture_output=True, cwd=data, **options)
        server = [program("postgres"), "-D", str(data / "d"), "-p", port, "-k", str(data)]
        self.spawn([*server, "-c", "listen_addresses=127.0.0.1"], "postgresql", **options)
        tool = {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": port, "PGUSER": "airflow", "PGDATABASE": "postgres"}
        until(lambda: subprocess.run([program("pg_isready"), "-q"], env=tool).returncode == 0, 30, "PostgreSQL")
        subprocess.run([program("createdb"), "airflow"], env=tool, check=True)
        tool |= {
            "PATH": f"{Path(program('psql')).parent}{os.pathsep}{os.environ['PATH']}",
            "POSTGRES_USER": "airflow",
            "PGDATABASE": "airflow",
            "LABELING_DB_PASSWORD": self.secrets["LABELING_DB_PASSWORD"],
        }
        subprocess.run(["sh", ROOT / "docker/create-labeling-database.sh"], env=tool, check=True, capture_output=True)

    def healthy(self, name: str) -> bool:
        """What the service's own health check says."""
        kind, *test = (self.local(word) for word in SERVICES[name]["healthcheck"]["test"])
        command = test if kind == "CMD" else ["sh", "-c", test[0]]
        return subprocess.run(command, env=self.environment(name), capture_output=True).returncode == 0

    def stop(self) -> None:
        """Stop all that was started, politely first."""
        for kind in (signal.SIGTERM, signal.SIGKILL):
            for process in reversed(self.processes):
                try:
                    os.killpg(process.pid, kind)
                except ProcessLookupError:
                    continue
            end = time.monotonic() + 15
            for process in self.processes:
                try:
                    process.wait(max(0.1, end - time.monotonic()))
                except subprocess.TimeoutExpired:
                    continue
        self.s3.stop()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    for needed in ("initdb", "redis-server", "curl"):
        program(needed)
    # Not pytest's own folder: PostgreSQL's user could not reach into it.
    with tempfile.TemporaryDirectory(prefix="trueground-stack-") as folder:
        stack = Stack(Path(folder))
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()


def call(stack: Stack, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    url = f"http://127.0.0.1:{stack.ports['api']}{path}"
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=20) as answer:
        return json.load(answer)


@pytest.mark.parametrize("name", LONG_LIVED)
def test_the_health_check_of_a_running_service_passes(stack: Stack, name: str) -> None:
    try:
        until(lambda: stack.healthy(name), 120, f"{name} healthy")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{stack.log(name)}") from None


def test_a_task_runs_on_a_celery_worker(stack: Stack) -> None:
    credentials = {"username": "admin", "password": stack.secrets["AIRFLOW_ADMIN_PASSWORD"]}
    token = until(lambda: call(stack, "POST", "/auth/token", credentials), 60, "sign-in")["access_token"]
    until(lambda: call(stack, "PATCH", "/api/v2/dags/hello", {"is_paused": False}, token), 90, "the DAG is known")
    run = call(stack, "POST", "/api/v2/dags/hello/dagRuns", {"logical_date": None}, token)["dag_run_id"]

    def over() -> str | None:
        state: str = call(stack, "GET", f"/api/v2/dags/hello/dagRuns/{run}", token=token)["state"]
        return state if state in ("success", "failed") else None

    assert until(over, 120, "the run ends") == "success", stack.log("airflow-worker")


def test_the_connection_reaches_the_labeling_service_and_s3(stack: Stack) -> None:
    # As an operator does it: through the connection that the worker's environment defines.
    code = """
from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
sagemaker = AwsBaseHook(aws_conn_id="trueground", client_type="sagemaker").conn
s3 = AwsBaseHook(aws_conn_id="trueground", client_type="s3").conn
print(sorted(team["WorkteamName"] for team in sagemaker.list_workteams()["Workteams"]))
print([bucket["Name"] for bucket in s3.list_buckets()["Buckets"]])
"""
    environment = stack.environment("airflow-worker")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-2:] == ["['annotators', 'reviewers']", "['trueground']"], done.stderr[-3000:]


def test_the_portal_in_airflow_and_the_labeling_service_share_one_store(stack: Stack) -> None:
    body = {"username": "manager", "password": stack.secrets["TRUEGROUND_MANAGER_PASSWORD"]}
    for base in (f"http://127.0.0.1:{stack.ports['labeling']}", f"http://127.0.0.1:{stack.ports['api']}/trueground"):
        request = urllib.request.Request(
            f"{base}/api/session", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert json.load(answer)["worker"]["role"] == "admin", base
