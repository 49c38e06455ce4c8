"""Label Studio, installed beside us and run as its documents say for production: uWSGI with four processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.service_processes import Unavailable, free_port, running, wait_for

VERSION = "1.23"
PROCESSES = 4
LABELING = """<View><Text name="text" value="$text"/>
<Choices name="category" toName="text"><Choice value="good"/><Choice value="bad"/></Choices></View>"""
# Runs in Label Studio's own Python: makes the tables, an organisation, and people with tokens.
PREPARE = """
import json, os, sys
import label_studio
sys.path.insert(0, os.path.dirname(label_studio.__file__))
os.environ["DJANGO_SETTINGS_MODULE"] = "core.settings.label_studio"
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from organizations.models import Organization
from users.models import User
people = []
organization = None
for number in range(int(sys.argv[1])):
    user = User.objects.create_user(f"person{number}@example.com", "secret-secret-1")
    if organization is None:
        organization = Organization.create_organization(created_by=user, title="Benchmark")
        organization.jwt.legacy_api_tokens_enabled = True
        organization.jwt.save()
    organization.add_user(user)
    user.active_organization = organization
    user.save()
    people.append((user.email, user.auth_token.key))
print("people:" + json.dumps(people))
"""


def install() -> Path:
    """Label Studio's own virtual environment, made on first use. Raises :class:`Unavailable`."""
    cache = Path(os.environ.get("TRUEGROUND_BENCH_CACHE", Path.home() / ".cache/trueground-bench"))
    home = cache / f"label-studio-{VERSION}"
    if (home / "installed").exists():
        return home
    uv = Path(sys.executable).parent / "uv"
    program = str(uv) if uv.exists() else "uv"
    packages = [f"label-studio=={VERSION}.*", "pyuwsgi"]
    print(f"installing {' and '.join(packages)} into {home} (once)", flush=True)
    cache.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run([program, "venv", "-q", "--allow-existing", "--python", sys.executable, str(home)], check=True)
        subprocess.run(
            [program, "pip", "install", "-q", "--python", str(home / "bin/python"), *packages], check=True, timeout=900
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"Label Studio {VERSION} cannot be installed: {error}") from None
    (home / "installed").touch()
    return home


@dataclass
class LabelStudioServer:
    """A running Label Studio."""

    addresses: list[str]
    pids: list[int]
    people: list[tuple[str, str]]
    """E-mail addresses and tokens."""

    def send(self, path: str, content: Any) -> Any:
        """POST as the organisation's owner."""
        headers = {"Content-Type": "application/json", "Authorization": f"Token {self.people[0][1]}"}
        request = urllib.request.Request(self.addresses[0] + path, json.dumps(content).encode(), headers)
        with urllib.request.urlopen(request, timeout=300) as response:
            return json.load(response)

    def create_job(self, objects: int, workers: int) -> str:
        """A project with tasks that each get so many annotations; gives its id."""
        project = {"title": f"{workers} of {objects}", "label_config": LABELING, "maximum_annotations": workers}
        number = self.send("/api/projects/", project)["id"]
        self.send(f"/api/projects/{number}/import", [{"text": f"A short text, number {n}."} for n in range(objects)])
        return str(number)


@contextmanager
def label_studio(folder: Path, people: int, database: str | None) -> Iterator[LabelStudioServer]:
    """Label Studio on SQLite, or in the PostgreSQL database of this URL. Raises :class:`Unavailable`."""
    home = install()
    python = str(home / "bin/python")
    log = folder / "label-studio.log"
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {**_settings(folder, address), **_database(database)}
    print("preparing Label Studio's database", flush=True)
    made = subprocess.run(
        [python, "-c", PREPARE, str(people)],
        capture_output=True, text=True, env={**os.environ, **environment}, timeout=1200, cwd=folder,
    )  # fmt: skip
    lines = [line for line in made.stdout.splitlines() if line.startswith("people:")]
    if made.returncode or not lines:
        raise RuntimeError(f"Label Studio's database could not be prepared: {made.stderr[-3000:]}")
    package = next(home.glob("lib/python3*/site-packages/label_studio"))
    options = ["--http-keepalive", "--so-keepalive", "--buffer-size", "65535", "--http-timeout", "300"]
    command = [
        str(home / "bin/uwsgi"), "--http", f"127.0.0.1:{port}", "--chdir", str(package), "--virtualenv", str(home),
        "--module", "core.wsgi:application", "--master", "--single-interpreter", "--enable-threads",
        "--processes", str(PROCESSES), "--die-on-term", "--need-app", "--disable-logging", *options,
    ]  # fmt: skip
    with running(command, log, environment={**environment, "APP_WEBSERVER": "uwsgi"}) as process:
        wait_for(f"{address}/health", process, log, 180)
        yield LabelStudioServer([address], [process.pid], json.loads(lines[0].removeprefix("people:")))


def _settings(folder: Path, address: str) -> dict[str, str]:
    data = folder / "label-studio"
    data.mkdir(exist_ok=True)
    return {
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        "LABEL_STUDIO_HOST": address,
        "DJANGO_SETTINGS_MODULE": "core.settings.label_studio",
        # It must not call home.
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "COLLECT_ANALYTICS": "0",
        "LATEST_VERSION_CHECK": "0",
        "PYTHONPATH": "",
    }


def _database(url: str | None) -> dict[str, str]:
    if url is None:
        return {"DJANGO_DB": "sqlite"}
    server, _, name = url.rpartition("/")
    return {
        "DJANGO_DB": "default",
        "POSTGRE_HOST": "127.0.0.1",
        "POSTGRE_PORT": server.rpartition(":")[2],
        "POSTGRE_USER": "postgres",
        "POSTGRE_PASSWORD": "none",
        "POSTGRE_NAME": name,
    }
