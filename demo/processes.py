"""What the demos need of processes: a free port, the key of a service, and an end to all that was started."""

from __future__ import annotations

import configparser
import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from trueground.service.engine import first_start


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why."""


class StartError(DemoError):
    """Something did not start; the message ends with the last lines of its log."""


def free_port(first: int) -> int:
    """The first port from ``first`` on that nobody listens on."""
    for port in range(first, first + 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise StartError(f"no free port between {first} and {first + 200}")


@contextlib.contextmanager
def only_one(lock: Path, address: str) -> Iterator[None]:
    """Hold a lock inside the block; it ends with this process, however that ends.

    Args:
        lock: the file that is locked. It holds what the next one who comes is told.
        address: where that which runs can be reached.

    Raises:
        StartError: another process holds it.
    """
    with lock.open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise StartError(
                f"Airflow runs in this folder already: {handle.read().strip()}.\n"
                "Use that one, or stop it with Ctrl-C where it was started."
            ) from None
        handle.truncate(0)
        handle.write(f"{address}, process {os.getpid()}")
        handle.flush()
        yield


def access_key(credentials: Path) -> dict[str, str]:
    """What the labeling service wrote into its AWS credentials file at its first start."""
    file = configparser.ConfigParser()
    file.read(credentials)
    return dict(file[first_start.PROFILE])


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a process and all that it started; after a SIGKILL, wait for its end."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    if number == signal.SIGKILL:
        process.wait()


def run_program(act: Callable[[], int], *, stopped: int = 130) -> int:
    """Run a demo until it ends, fails or is stopped, by Ctrl-C or a signal; returns the exit code.

    ``stopped``: the exit code where it was stopped.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return act()
    except DemoError as error:
        print(f"\nfailed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped.", file=sys.stderr)
        return stopped


@contextlib.contextmanager
def own_terminal() -> Iterator[None]:
    """Inside the block, Ctrl-C reaches this process, but not the ``make`` that started it and calls it an error."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield  # nobody can press keys
        return
    before = os.tcgetpgrp(terminal)
    # In the background the keys are somebody else's.
    ours = before == os.getpgrp()
    if ours:
        # One who is not in front may not come to the front, unless the signal for that is ignored. And the shell, which
        # sees only make, could not bring back what Ctrl-Z stops.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setpgid(0, 0)
        os.tcsetpgrp(terminal, os.getpgrp())
    try:
        yield
    finally:
        if ours:
            with contextlib.suppress(OSError):
                os.tcsetpgrp(terminal, before)
        os.close(terminal)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def end_with_parent() -> None:
    """Have the kernel stop this process when its parent dies, however that happens (Linux)."""
    parent_death_signal = 1
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGTERM)
