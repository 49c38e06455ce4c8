"""The people of the demo: two teams, whose members' care differs as it does in life."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.airflow import LocalAirflow
from trueground.service.engine import accounts, teams
from trueground.service.engine.errors import InUse
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database


@dataclass(frozen=True)
class Person:
    """A simulated worker. ``accuracy`` is the chance that an answer is right."""

    username: str
    name: str
    team: str
    accuracy: float


PEOPLE = [
    Person("ada", "Ada", "annotators", 0.99),
    Person("boris", "Boris", "annotators", 0.985),
    Person("chidi", "Chidi", "annotators", 0.98),
    Person("dalia", "Dalia", "annotators", 0.97),
    Person("emil", "Emil", "annotators", 0.95),
    Person("vera", "Vera", "reviewers", 0.99),
    Person("walter", "Walter", "reviewers", 0.98),
]


class SimulatedPeople:
    """Accounts for the people, and a process in which they work over HTTP.

    Args:
        airflow: the set-up they work in.
        truth: what they know; the pipeline never reads it.
        seconds: how long they think about a task.
    """

    def __init__(self, airflow: LocalAirflow, truth: Path, seconds: float = 0.05) -> None:
        self.airflow, self.truth, self.seconds = airflow, truth, seconds
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the accounts and teams, and start to work."""
        password = secrets.token_urlsafe(12)
        db = self.airflow.open_store()
        try:
            make_accounts(db, ServiceSettings(home=self.airflow.trueground_home), PEOPLE, password)
        finally:
            db.close()
        command = [sys.executable, "-m", "trueground.cli", "simulate-workers", "--url", self.airflow.portal]
        for person in PEOPLE:
            command += ["--worker", f"{person.username}:{password}:{person.accuracy}"]
        command += ["--truth", str(self.truth), "--seconds", str(self.seconds), "--seed", "7"]
        log = (self.airflow.home / "people.log").open("ab")
        self._process = subprocess.Popen(
            command, env=self.airflow.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )

    def stop(self) -> None:
        """Send them home."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None


def make_accounts(db: Database, settings: ServiceSettings, people: Sequence[Person], password: str) -> None:
    """Make accounts and teams; those of an earlier demo get the new password."""
    for team in sorted({person.team for person in people}):
        teams.ensure_workteam(db, settings, team)
    for person in people:
        try:
            accounts.add_worker(db, person.username, password, name=person.name)
        except InUse:
            accounts.set_password(db, person.username, password)
        accounts.add_to_group(db, person.username, person.team)
