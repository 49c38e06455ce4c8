"""The README's first hour, literally: from a clone to the fifth digit that is labeled by hand, in a browser."""

from __future__ import annotations

import fcntl
import os
import re
import select
import shutil
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, expect

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.browser]

ROOT = Path(__file__).resolve().parents[2]
READY = "Ctrl-C stops everything."


class Terminal:
    """A command in a terminal of its own, where Ctrl-C is a key."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self._ours, theirs = os.openpty()
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(theirs)
        self.output = ""

    def read_until(self, text: str, seconds: float) -> None:
        """Read until the output has this text, or until it ends."""
        deadline = time.monotonic() + seconds
        while text not in self.output and time.monotonic() < deadline:
            if select.select([self._ours], [], [], 0.5)[0]:
                try:
                    self.output += os.read(self._ours, 65536).decode(errors="replace")
                except OSError:
                    return

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def end(self) -> int:
        """Read all that is left; the exit status."""
        self.read_until("\0", 90)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as a clone has it, with what `make` would install."""
    folder = tmp_path_factory.mktemp("readme") / "trueground"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no clone: git ls-files says which files belong to the project")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


@pytest.fixture(scope="module")
def started(clone: Path) -> Iterator[Terminal]:
    """`make up`, until it says that it is ready."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "TRUEGROUND"))}
    terminal = Terminal(["make", "up"], clone, environment)
    terminal.read_until(READY, 400)
    try:
        assert READY in terminal.output, terminal.output
        yield terminal
    finally:
        if terminal.process.poll() is None:
            for process in psutil.Process(terminal.process.pid).children(recursive=True):
                process.terminate()
            terminal.process.wait(60)


def test_the_readme_leads_from_a_clone_to_the_fifth_digit(clone: Path, started: Terminal, browser: Browser) -> None:
    readme = (clone / "README.md").read_text()
    assert "$ make up\n" in readme
    found = re.search(r"Airflow:\s+(\S+)\s+user (\S+)\s+password (\S+)", started.output)
    assert found is not None
    url, user, password = found.groups()

    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(60_000)
    page.goto(url)
    page.get_by_label("Username").fill(user)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/")
    page.get_by_role("link", name="Labeling").first.click()
    portal = page.frame_locator("iframe").first
    portal.get_by_role("button", name="Work as a worker").click()
    portal.get_by_role("button", name="Start working").click()
    expect(portal.get_by_role("heading", name="Your work")).to_be_visible()
    page.goto(f"{url}/dags/label_digits")
    page.get_by_role("button", name="Trigger").first.click()
    page.get_by_role("button", name="Trigger", exact=True).last.click()
    page.get_by_role("link", name="Labeling").first.click()
    # The list of work shows new jobs by itself.
    portal.get_by_role("link", name="Start").first.click(timeout=180_000)
    for number in range(5):
        expect(portal.locator("#done")).to_have_text(str(number), timeout=60_000)
        task = portal.frame_locator("#frames iframe:not(.ahead)")
        expect(task.get_by_role("radio", name="3")).to_be_visible(timeout=60_000)
        page.keyboard.press("3")
        expect(task.get_by_role("radio", name="3")).to_be_checked()
        page.keyboard.press("Enter")
    expect(portal.locator("#done")).to_have_text("5", timeout=60_000)


def test_the_printed_command_makes_a_worker_who_can_sign_in(clone: Path, started: Terminal, browser: Browser) -> None:
    command = re.search(r"^\s+(TRUEGROUND_HOME=\S+ \.venv/bin/trueground worker add .+?)\r?$", started.output, re.M)
    portal = re.search(r"Portal:\s+(\S+)", started.output)
    assert command is not None and portal is not None
    done = subprocess.run(
        command[1], shell=True, cwd=clone, input="0123456789\n0123456789\n", capture_output=True, text=True,
        start_new_session=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "added to annotators" in done.stdout, done.stderr
    page = browser.new_context().new_page()
    page.goto(portal[1])
    page.get_by_label("Name").fill("ana")
    page.get_by_label("Password").fill("0123456789")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your work")).to_be_visible()


def test_everything_listens_on_this_machine_only(started: Terminal) -> None:
    tree = [psutil.Process(started.process.pid), *psutil.Process(started.process.pid).children(recursive=True)]
    listening = {
        connection.laddr.ip
        for process in tree
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening and listening <= {"127.0.0.1", "::1"}


def test_a_second_one_is_refused_and_ctrl_c_ends_with_success(clone: Path, started: Terminal) -> None:
    second = subprocess.run(
        ["make", "up"], cwd=clone, capture_output=True, text=True, timeout=200, start_new_session=True, check=False
    )
    assert second.returncode != 0
    assert "Airflow runs in this folder already" in second.stderr
    started.press(b"\x03")
    assert started.end() == 0
    assert "make: ***" not in started.output
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if str(clone) in " ".join(process.info["cmdline"] or ())
    ]
