"""What can go wrong under a running service, at the wish of a test: kills, cut connections, a full disk."""

from __future__ import annotations

import errno
import json
import os
import pwd
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes close() send a reset."""

# Imports once; each service is a fork, so that it is up in a tenth of a second and can be killed hundreds of times.
ZYGOTE = """
import json, os, sys
from trueground.cli.serve import serve
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        try:
            serve(**json.loads(line))
        finally:
            os._exit(1)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class KillableService:
    """``trueground serve``, which is up again a moment after it was killed."""

    def __init__(self, folder: Path, store: str, log: Path) -> None:
        self.port = free_port()
        self.options = {
            "port": self.port,
            "home": str(folder / "home"),
            "data_root": str(folder / "data"),
            "store": store,
        }
        self.log = log
        self.pid: int | None = None
        self._zygote = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("ab"),
            text=True,
            env={**os.environ, "AWS_EC2_METADATA_DISABLED": "true"},
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, seconds: float = 60) -> None:
        """Start it, again where its start fails, until it answers."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.pid is None or not psutil.pid_exists(self.pid):
                self.kill()
                self._tell(json.dumps(self.options))
                self.pid = int(self._hear())
            with suppress(OSError):
                urllib.request.urlopen(f"{self.url}/healthz", timeout=5).close()
                return
            time.sleep(0.01)
        raise AssertionError(f"the service did not start:\n{self.tail()}")

    def kill(self) -> None:
        if self.pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        assert self._hear() == "gone"
        self.pid = None

    def close(self) -> None:
        self.kill()
        assert self._zygote.stdin is not None
        self._zygote.stdin.close()
        self._zygote.wait(10)

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def _tell(self, line: str) -> None:
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(line + "\n")
        self._zygote.stdin.flush()

    def _hear(self) -> str:
        assert self._zygote.stdout is not None
        return self._zygote.stdout.readline().strip()


class Proxy:
    """A TCP proxy that loses connections when it is told to."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._tears, self._keep = 0, 0.5
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection there is."""
        with self._lock:
            found = list(self._open)
        for end in found:
            _reset(end)

    def tear(self, count: int, keep: float = 0.5) -> None:
        """Break the next answers off, after this share of what they begin with."""
        with self._lock:
            self._tears, self._keep = count, keep

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=10)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open |= {client, server}
        back = threading.Thread(target=self._pump, args=(server, client, True), daemon=True)
        back.start()
        self._pump(client, server, False)
        back.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if answers and self._torn():
                    sink.sendall(data[: int(len(data) * self._keep)])
                    break
                sink.sendall(data)
        for end in (source, sink):
            _reset(end)

    def _torn(self) -> bool:
        with self._lock:
            torn = self._tears > 0
            self._tears -= torn
        return torn


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def small_disk(megabytes: int) -> Iterator[tuple[Path, bool]]:
    """A folder, and whether it is a small disk of its own, which :func:`full` can fill."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-")).resolve()
    mounted = os.geteuid() == 0 and _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    folder.chmod(0o755)
    try:
        yield folder, mounted
    finally:
        if mounted:
            _run("umount", "-l", str(folder))
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except OSError:
        return False


@contextmanager
def full(folder: Path, mounted: bool, pid: int | None) -> Iterator[None]:
    """While this lasts, nothing more can be written: no space on the disk, or where it is no disk of its own, no
    file of this process may grow.
    """
    if not mounted:
        before = resource.prlimit(pid or 0, resource.RLIMIT_FSIZE)
        resource.prlimit(pid or 0, resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                resource.prlimit(pid or 0, resource.RLIMIT_FSIZE, before)
        return
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as handle:
        size = 1 << 20
        while size:
            try:
                handle.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 2
    try:
        yield
    finally:
        ballast.unlink()


class PrivatePostgreSQL:
    """A PostgreSQL server of the test's own, which it may kill."""

    def __init__(self, folder: Path) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        on_path = shutil.which("postgres")
        if not found and on_path is None:
            pytest.skip("needs PostgreSQL's own programs: apt-get install postgresql")
        self._programs = found[-1].parent if found else Path(str(on_path)).parent
        self._user: dict[str, Any] = {}
        self.folder = folder / "postgresql"
        self.folder.mkdir()
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            names = {entry.pw_name: entry for entry in pwd.getpwall()}
            account = names.get("postgres") or names["nobody"]
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self._user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        options = ["--auth=trust", "--username=postgres", "--wal-segsize=1", "--encoding=UTF8", "--no-locale"]
        command = [str(self._programs / "initdb"), "-D", str(self.folder / "data"), "--no-sync", *options]
        subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=120, **self._user)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        with self.connect("postgres") as connection:
            connection.execute("CREATE DATABASE trueground")

    def connect(self, database: str = "trueground") -> psycopg.Connection[Any]:
        url = f"postgresql://postgres@127.0.0.1:{self.port}/{database}"
        return psycopg.connect(url, autocommit=True, connect_timeout=5)

    def start(self, seconds: float = 60) -> None:
        """Start it, again where its start fails, until it takes connections."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "80",
            "shared_buffers": "16MB",
            "min_wal_size": "8MB",
            "max_wal_size": "24MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *options],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    **self._user,
                )
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError:
                time.sleep(0.02)
        raise AssertionError("PostgreSQL did not start")

    def backends(self) -> list[int]:
        """The processes that serve the service now."""
        query = "SELECT pid FROM pg_stat_activity WHERE datname = 'trueground' AND pid <> pg_backend_pid()"
        with self.connect() as connection:
            return [int(row[0]) for row in connection.execute(query).fetchall()]

    def terminate(self, backend: int) -> None:
        with self.connect() as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", [backend])

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        found = [server, *server.children(recursive=True)]
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(10)
        psutil.wait_procs(found[1:], timeout=10)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
