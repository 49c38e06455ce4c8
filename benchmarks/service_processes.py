"""Processes that a benchmark starts and stops, and how much CPU time and memory they take."""

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
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]


def tidy_when_stopped() -> None:
    """Have SIGTERM end this process as Ctrl-C does, so that what it started ends too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


class Unavailable(Exception):
    """What a measurement needs is not there: it is skipped, and the reason is told."""


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_seconds(roots: Sequence[int]) -> float:
    """User and system time of processes with all that they started, also what has ended since."""
    total = 0.0
    for root in roots:
        process = psutil.Process(root)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


def memory(root: int) -> int:
    """Resident bytes of a process with all that it started."""
    process, total = psutil.Process(root), 0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += one.memory_info().rss
    return total


class PeakMemory:
    """``with PeakMemory(pid) as peak``: the most resident bytes, looked at ten times a second."""

    def __init__(self, root: int) -> None:
        self.root, self.bytes = root, memory(root)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            with suppress(psutil.NoSuchProcess):
                self.bytes = max(self.bytes, memory(self.root))

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@contextmanager
def running(
    command: Sequence[str], log: Path, *, environment: dict[str, str] | None = None, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, all of which is ended afterwards. What it says goes to ``log``."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            **options,
        )
    try:
        yield process
    finally:
        end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask a process and what it started to end; kill what does not within 20 seconds."""
    for number, seconds in ((signal.SIGTERM, 20), (signal.SIGKILL, 10)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    """Wait until a server answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(url, timeout=2).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"{url} does not answer: {log.read_text()[-2000:]}")


class PostgreSQL:
    """A server with default settings, for the benchmark alone: so all its CPU time is the benchmark's."""

    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid

    def create(self, name: str) -> str:
        """A new database; gives its URL."""
        import psycopg

        with psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"


@contextmanager
def postgresql(folder: Path) -> Iterator[PostgreSQL]:
    """Raises :class:`Unavailable` where PostgreSQL's programs are not installed."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: int(place.parent.name))
    found = shutil.which("postgres") or (str(places[-1] / "postgres") if places else None)
    if found is None:
        raise Unavailable("PostgreSQL is not installed on this machine")
    programs = Path(found).resolve().parent
    data = Path(tempfile.mkdtemp(prefix="postgresql-", dir=folder))
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        # It refuses to run as root.
        account = pwd.getpwnam("postgres")
        for above in (data, *data.parents):
            if above == Path(tempfile.gettempdir()):
                break
            above.chmod(above.stat().st_mode | 0o011)
        os.chown(data, account.pw_uid, account.pw_gid)
        as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale"]
    subprocess.run(
        [str(programs / "initdb"), "-D", str(data / "data"), *options],
        check=True, capture_output=True, cwd="/", **as_user,
    )  # fmt: skip
    port, log = free_port(), folder / "postgresql.log"
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": data}
    command = [str(programs / "postgres"), "-D", str(data / "data")]
    command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with running(command, log, cwd="/", **as_user) as process:
        end = time.monotonic() + 60
        while subprocess.run([str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode:
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError(f"PostgreSQL does not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield PostgreSQL(port, process.pid)
    shutil.rmtree(data, ignore_errors=True)


def load(plan: dict[str, Any], server: Sequence[int], database: Sequence[int]) -> dict[str, Any]:
    """Have annotators work; gives what they measured, with the CPU seconds of the servers and of the database."""
    command = [sys.executable, "-m", "benchmarks.service_load"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            print(json.dumps(plan), file=process.stdin, flush=True)
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the annotators could not begin; the reason is above")
            before = cpu_seconds(server), cpu_seconds(database)
            print("go", file=process.stdin, flush=True)
            line = process.stdout.readline()
            after = cpu_seconds(server), cpu_seconds(database)
            if not line:
                raise RuntimeError("the annotators failed; the reason is above")
            measured: dict[str, Any] = json.loads(line)
        finally:
            process.kill()
    measured["server_cpu"], measured["database_cpu"] = after[0] - before[0], after[1] - before[1]
    return measured
