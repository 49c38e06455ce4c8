"""Airflow's components as processes of this machine: started together, watched, and all stopped again.

`airflow standalone` would do, but what it starts survives it; here every component is a process group of its own that
ends with the program that started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from demo.processes import StartError, access_key, end_with_parent, free_port, only_one, signal_group
from trueground.service.engine import first_start
from trueground.service.security import SecretBox
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database

ROOT = Path(__file__).resolve().parents[1]
COMPONENTS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer"],
}
START_LIMIT = 300.0
"""Seconds until a component must be healthy: a cold machine compiles thousands of modules first."""
STOP_LIMIT = 30.0
PREFIX = "/trueground"


class LocalAirflow:
    """Airflow with the labeling service mounted in its api-server.

    Args:
        home: AIRFLOW_HOME; made where it is missing.
        trueground_home: the labeling service's own folder.
        data_root: the folder of the data.
        port: the first port to try.
        extra_environment: settings that override, for tests.
    """

    def __init__(
        self,
        home: Path,
        trueground_home: Path,
        data_root: Path,
        port: int = 8080,
        extra_environment: dict[str, str] | None = None,
    ) -> None:
        self.home, self.trueground_home, self.data_root = home, trueground_home, data_root
        for folder in (home, trueground_home, data_root):
            folder.mkdir(parents=True, exist_ok=True)
        # Before anything else: the store's first start makes the key that Airflow's connection carries.
        self.open_store().close()
        self.port = free_port(port)
        self.user = "admin"
        self.password = self._password()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {**self._environment(), **(extra_environment or {})}
        self._token: str | None = None

    @property
    def url(self) -> str:
        """Airflow's address."""
        return f"http://localhost:{self.port}"

    @property
    def portal(self) -> str:
        """The portal's address."""
        return self.url + PREFIX

    @property
    def aws_endpoint(self) -> str:
        """What boto3 takes as ``endpoint_url``."""
        return f"{self.portal}/aws"

    def prepare(self) -> None:
        """Make Airflow's database, or bring it up to date."""
        self._run(sys.executable, "-m", "airflow", "db", "migrate")

    def start(self, *names: str) -> None:
        """Start components (all by default) and wait until they are healthy."""
        for name in names or COMPONENTS:
            self._start_one(name)
        self.wait_until_healthy()

    def _start_one(self, name: str) -> None:
        log = self.log_file(name).open("ab")
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", "demo.component", *COMPONENTS[name]],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=end_with_parent if sys.platform == "linux" else None,
        )

    def log_file(self, name: str) -> Path:
        """Where a component's output goes."""
        return self.home / f"{name}.log"

    def wait_until_healthy(self) -> None:
        """Wait for every component's heartbeat, and see that the plugin and all DAG files loaded."""
        deadline = time.monotonic() + START_LIMIT
        while True:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise StartError(f"{name} ended with {process.returncode}:\n{self._tail(name)}")
            with contextlib.suppress(httpx.HTTPError, ValueError):
                health = httpx.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
                wanted = ("metadatabase", "scheduler", "dag_processor", "triggerer")
                if all((health.get(part) or {}).get("status") == "healthy" for part in wanted):
                    break
            if time.monotonic() > deadline:
                raise StartError(f"not healthy after {START_LIMIT:.0f} s:\n{self._tail('api-server')}")
            time.sleep(0.5)
        errors = self.api("GET", "/plugins/importErrors")["import_errors"]
        if errors:
            raise StartError(f"a plugin cannot be loaded: {errors}")
        if httpx.get(f"{self.portal}/healthz", timeout=10).status_code != 200:
            raise StartError(f"the labeling service does not answer:\n{self._tail('api-server')}")

    def kill(self, name: str) -> None:
        """SIGKILL a component with all that it started, as a power cut would."""
        signal_group(self.processes.pop(name), signal.SIGKILL)

    def stop(self) -> None:
        """Stop everything: asked politely first, then killed."""
        for process in self.processes.values():
            signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_LIMIT
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
        for process in self.processes.values():
            signal_group(process, signal.SIGKILL)
        self.processes.clear()

    @contextlib.contextmanager
    def running(self) -> Iterator[LocalAirflow]:
        """Prepared and started inside the block, stopped after it.

        Raises:
            StartError: it runs already, or does not start.
        """
        # Two schedulers on one database would run each other's tasks.
        with only_one(self.home / "running.lock", self.url):
            self.prepare()
            try:
                self.start()
                yield self
            finally:
                self.stop()

    def api(self, method: str, path: str, **kwargs: Any) -> Any:
        """Call Airflow's REST API (``/api/v2`` + path) as the admin. Raises ``httpx.HTTPStatusError``."""
        if self._token is None:
            credentials = {"username": self.user, "password": self.password}
            answer = httpx.post(f"{self.url}/auth/token", json=credentials, timeout=30)
            answer.raise_for_status()
            self._token = answer.json()["access_token"]
        answer = httpx.request(
            method,
            f"{self.url}/api/v2{path}",
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=30,
            **kwargs,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.environment, cwd=self.home, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode:
            raise StartError(
                f"{' '.join(command[1:])} ended with {done.returncode}:\n{done.stdout}{done.stderr}"[-4000:]
            )
        return done.stdout

    def _password(self) -> str:
        file = self.home / "passwords.json"
        if file.exists():
            return str(json.loads(file.read_text())[self.user])
        password = secrets.token_urlsafe(9)
        file.touch(mode=0o600)
        file.write_text(json.dumps({self.user: password}))
        return password

    def _secret(self, name: str) -> str:
        """A secret of this set-up, made once."""
        file = self.home / f"{name}.secret"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_hex(48))
        return file.read_text()

    def open_store(self) -> Database:
        """The labeling service's store, ready for use."""
        settings = ServiceSettings(home=self.trueground_home, data_root=self.data_root)
        db = Database(settings.database_url)
        first_start.prepare(db, SecretBox.load(settings.home), settings)
        return db

    def keys(self) -> dict[str, str]:
        """The access key that the service made at its first start."""
        return access_key(ServiceSettings(home=self.trueground_home).credentials_file)

    def connection(self) -> dict[str, Any]:
        """The Airflow connection `trueground`: where the labeling service is and the key to it."""
        endpoint = {"endpoint_url": self.aws_endpoint}
        keys = self.keys()
        return {
            "conn_type": "aws",
            "login": keys["aws_access_key_id"],
            "password": keys["aws_secret_access_key"],
            "extra": {
                "region_name": "us-east-1",
                "service_config": {"sagemaker": endpoint, "sagemaker-a2i-runtime": endpoint},
            },
        }

    def _environment(self) -> dict[str, str]:
        base = {
            key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "TRUEGROUND", "AWS_"))
        }
        # Without bytecode every task would compile Airflow again.
        base.pop("PYTHONDONTWRITEBYTECODE", None)
        worker_logs = free_port(self.port + 713)
        settings = {
            "CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "4",
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{self.user}:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "CORE__HOSTNAME_CALLABLE": "demo.component.hostname",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "API__PORT": str(self.port),
            "API__HOST": "127.0.0.1",
            "API__BASE_URL": self.url,
            "API__WORKERS": "1",
            "API__SECRET_KEY": self._secret("api"),
            "API_AUTH__JWT_SECRET": self._secret("jwt"),
            "API_AUTH__JWT_ISSUER": "trueground",
            "LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port(worker_logs + 1)),
            "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        return {
            **base,
            **{f"AIRFLOW__{key}": value for key, value in settings.items()},
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW_CONN_TRUEGROUND": json.dumps(self.connection()),
            "TRUEGROUND_HOME": str(self.trueground_home),
            "TRUEGROUND_DATA_ROOT": str(self.data_root),
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(ROOT),
            # One slow BLAS call on all cores is no faster for small data and starves the scheduler.
            "OMP_NUM_THREADS": "1",
        }

    def _tail(self, name: str, lines: int = 30) -> str:
        file = self.log_file(name)
        return "\n".join(file.read_text(errors="replace").splitlines()[-lines:]) if file.exists() else ""
