"""What the demos need of processes: a free port, the key of a service, and an end to all that was started."""

from __future__ import annotations

import configparser
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
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


def run_program(act: Callable[[], int]) -> int:
    """Run a demo until it ends, fails or is stopped, by Ctrl-C or a signal; returns the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return act()
    except DemoError as error:
        print(f"\nfailed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped.", file=sys.stderr)
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def end_with_parent() -> None:
    """Have the kernel stop this process when its parent dies, however that happens (Linux)."""
    parent_death_signal = 1
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGTERM)
