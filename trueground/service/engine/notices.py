"""Notices of new work: a letter, and a JSON POST to one URL, at most one per person and hour; and to teams' topics.

A person gets one where tasks are there for them that are new: of a job made since their last notice, or after they
were at work since. Nobody gets one who is at work (or was in the last 15 minutes), nor who asked for no more. Several
processes send one together: whoever writes ``workers.noticed_at`` first sends it.
"""

from __future__ import annotations

import json
import logging
import smtplib
import time
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import func, select, update

from trueground.errors import InputError
from trueground.service.engine import letters, progress
from trueground.service.engine.background import Background
from trueground.service.engine.errors import NotFound
from trueground.service.engine.progress import Work
from trueground.service.engine.teams import topic_of
from trueground.service.engine.topics import Topics, Unreachable
from trueground.service.security import Signer
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import (
    answers,
    assignments,
    labeling_jobs,
    worker_groups,
    workers,
    workteam_groups,
    workteams,
)

log = logging.getLogger(__name__)

BETWEEN = timedelta(hours=1)
"""Between two notices to one person."""
AT_WORK = timedelta(minutes=15)
"""Who did something that recently needs no notice."""
LOOK_SECONDS = 30.0
RETRY_SECONDS = 900.0
"""Before a notice is tried again that went out by no way."""
LINK_SECONDS = 365 * 86_400.0
PURPOSE = "notices"


@dataclass(frozen=True, slots=True)
class _Person:
    id: str
    username: str
    name: str
    email: str | None
    noticed_at: datetime | None


class Notices(Background):
    """Sends notices of new work, where the service was told how."""

    name: ClassVar[str] = "notices"

    def __init__(self, db: Database, settings: ServiceSettings, signer: Signer) -> None:
        super().__init__(db, LOOK_SECONDS)
        self._settings, self._signer = settings, signer
        self._topics = Topics(settings)
        # When a person whose notice could not be sent is looked at again.
        self._again: dict[str, float] = {}
        self._by_mail, self._by_post = letters.can_write(settings), bool(settings.notice_webhook)

    def tick(self) -> int:
        """Send the notices that are due; returns how many."""
        sent = self._tell_topics()
        if not (self._by_mail or self._by_post):
            return sent
        for person in self._candidates():
            if not self.keep_lease():
                break
            if time.monotonic() < self._again.get(person.id, 0.0):
                continue
            work = [job for job in progress.work_for(self._db, person.id) if job.available]
            if not work or not self._is_new(person) or (claimed_at := self._claim(person)) is None:
                continue
            if self._send(person, work):
                sent += 1
            else:
                self._give_back(person, claimed_at)
        return sent

    def _tell_topics(self) -> int:
        """Tell work teams' topics of labeling jobs that are new, each once an hour at most; how many were told."""
        newest = (
            select(labeling_jobs.c.workteam, func.max(labeling_jobs.c.created_at).label("at"))
            .where(labeling_jobs.c.kind == "labeling", labeling_jobs.c.status == "InProgress")
            .group_by(labeling_jobs.c.workteam)
            .subquery()
        )
        query = (
            select(workteams.c.name, workteams.c.request, workteams.c.noticed_at)
            .join(newest, newest.c.workteam == workteams.c.name)
            .where(
                workteams.c.deleted_at.is_(None),
                workteams.c.noticed_at.is_(None)
                | ((workteams.c.noticed_at <= now() - BETWEEN) & (workteams.c.noticed_at < newest.c.at)),
            )
            .order_by(workteams.c.name)
        )
        with self._db.read() as connection:
            teams_with_work = connection.execute(query).all()
        return sum(
            self._tell_topic(team.name, topic, team.noticed_at)
            for team in teams_with_work
            if (topic := topic_of(team.request)) is not None and self.keep_lease()
        )

    def _tell_topic(self, team: str, topic: str, since: datetime | None) -> bool:
        at = now()
        fresh = [] if since is None else [labeling_jobs.c.created_at > since]
        query = select(labeling_jobs.c.name, labeling_jobs.c.request).where(
            labeling_jobs.c.workteam == team,
            labeling_jobs.c.kind == "labeling",
            labeling_jobs.c.status == "InProgress",
            *fresh,
        )
        with self._db.read() as connection:
            jobs = connection.execute(query.order_by(labeling_jobs.c.created_at)).all()
        base = self._settings.public_url
        lines = [f"- {_one_line(job.request['HumanTaskConfig']['TaskTitle'])}: {base}/work/{job.name}" for job in jobs]
        text = f"There is new work for the team {team}:\n\n" + "\n".join(lines[:20]) + "\n"
        try:
            self._topics.publish(topic, [text], subject=f"New work for {team}")
        except Unreachable as error:
            log.warning("the work team %s could not be told of new work: %s", team, error)
            return False
        with self._db.write(routine=True) as connection:
            connection.execute(update(workteams).where(workteams.c.name == team).values(noticed_at=at))
        return True

    def _candidates(self) -> list[_Person]:
        """Who is in a team with open work, and may get a notice now."""
        in_team = (
            select(worker_groups.c.worker_id)
            .join(workteam_groups, workteam_groups.c.group_name == worker_groups.c.group_name)
            .join(labeling_jobs, labeling_jobs.c.workteam == workteam_groups.c.workteam)
            .where(labeling_jobs.c.status == "InProgress")
        )
        busy = select(assignments.c.worker_id).where(assignments.c.leased_at > now() - AT_WORK)
        done = select(answers.c.worker_id).where(answers.c.submitted_at > now() - AT_WORK)
        query = select(workers.c.id, workers.c.username, workers.c.name, workers.c.email, workers.c.noticed_at).where(
            workers.c.id.in_(in_team),
            workers.c.id.not_in(busy),
            workers.c.id.not_in(done),
            workers.c.disabled_at.is_(None),
            workers.c.notices_off_at.is_(None),
            workers.c.noticed_at.is_(None) | (workers.c.noticed_at <= now() - BETWEEN),
        )
        if not self._by_post:
            query = query.where(workers.c.email.is_not(None))
        with self._db.read() as connection:
            return [_Person(*row) for row in connection.execute(query.order_by(workers.c.id))]

    def _is_new(self, person: _Person) -> bool:
        """Whether the work came after the last notice, or the person did something since."""
        if person.noticed_at is None:
            return True
        mine = (
            select(func.max(labeling_jobs.c.created_at))
            .join(workteam_groups, workteam_groups.c.workteam == labeling_jobs.c.workteam)
            .join(worker_groups, worker_groups.c.group_name == workteam_groups.c.group_name)
            .where(worker_groups.c.worker_id == person.id, labeling_jobs.c.status == "InProgress")
        )
        at_work = select(func.max(assignments.c.leased_at)).where(assignments.c.worker_id == person.id)
        with self._db.read() as connection:
            newest, last = connection.scalar(mine), connection.scalar(at_work)
        return any(moment is not None and moment > person.noticed_at for moment in (newest, last))

    def _claim(self, person: _Person) -> datetime | None:
        """When this process took it upon itself to send it; ``None`` if another one does."""
        at = now()
        before = workers.c.noticed_at
        unchanged = before.is_(None) if person.noticed_at is None else before == person.noticed_at
        with self._db.write() as connection:
            claimed = connection.execute(
                update(workers)
                .where(workers.c.id == person.id, unchanged, workers.c.notices_off_at.is_(None))
                .values(noticed_at=at)
            )
            return at if claimed.rowcount == 1 else None

    def _give_back(self, person: _Person, claimed_at: datetime) -> None:
        """Let a notice that could not be sent be tried again later: else nobody would hear of that work any more."""
        self._again[person.id] = time.monotonic() + RETRY_SECONDS
        this = (workers.c.id == person.id) & (workers.c.noticed_at == claimed_at)
        with self._db.write(routine=True) as connection:
            connection.execute(update(workers).where(this).values(noticed_at=person.noticed_at))

    def _send(self, person: _Person, work: list[Work]) -> bool:
        """Whether it went out by any way."""
        sent = False
        for wanted, way in ((self._by_mail and person.email, self._write), (self._by_post, self._post)):
            if not wanted:
                continue
            try:
                way(person, work)
                sent = True
            except (OSError, smtplib.SMTPException, InputError) as error:
                # By id only: logs are kept longer than accounts.
                log.warning("a notice to worker %s could not be sent: %s", person.id, error)
        return sent

    def _write(self, person: _Person, work: list[Work]) -> None:
        assert person.email is not None
        base = self._settings.public_url
        stop = stop_link(self._settings, self._signer, person.id)
        count = sum(job.available for job in work)
        lines = [f"- {_one_line(job.title)} ({job.available}): {base}/work/{job.name}" for job in work[:20]]
        text = (
            f"Hello {_one_line(person.name)},\n\nthere is new work for you:\n\n"
            + "\n".join(lines)
            + f"\n\nYou get such a letter once an hour at most. No more of them: {stop}\n"
        )
        subject = f"{count} new task{'s' if count > 1 else ''} for you"
        letters.send(self._settings, person.email, person.name, subject, text, stop_link=stop)

    def _post(self, person: _Person, work: list[Work]) -> None:
        url = self._settings.notice_webhook
        assert url is not None
        body: dict[str, Any] = {
            "type": "new-work",
            "at": now().isoformat(),
            "worker": {"id": person.id, "username": person.username},
            "jobs": [{"name": job.name, "title": job.title, "available": job.available} for job in work],
        }
        request = urllib.request.Request(
            url, json.dumps(body).encode(), {"Content-Type": "application/json", "User-Agent": "trueground"}
        )
        with _OPENER.open(request, timeout=letters.SECONDS) as response:
            response.read(1024)


def _one_line(text: str) -> str:
    return " ".join(text.split())


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A notice goes where the settings say and nowhere else."""

    def redirect_request(self, *args: Any, **options: Any) -> None:
        """Follow no redirect: it is an error then."""
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def stop_link(settings: ServiceSettings, signer: Signer, worker_id: str) -> str:
    """The address under which a person stops their notices, without signing in."""
    return f"{settings.public_url}/notices/{signer.sign(PURPOSE, {'w': worker_id}, LINK_SECONDS)}"


def set_wanted(db: Database, worker_id: str, wanted: bool) -> None:
    """Whether a person gets notices. Raises :class:`NotFound`."""
    with db.write() as connection:
        mine = (workers.c.id == worker_id) & workers.c.erased_at.is_(None)
        values = {"notices_off_at": None if wanted else now()}
        if connection.execute(update(workers).where(mine).values(**values)).rowcount == 0:
            raise NotFound("there is no such account")


def are_wanted(db: Database, worker_id: str) -> bool:
    """Whether a person gets notices. Raises :class:`NotFound`."""
    with db.read() as connection:
        row = connection.execute(select(workers.c.notices_off_at).where(workers.c.id == worker_id)).first()
    if row is None:
        raise NotFound("there is no such account")
    return row.notices_off_at is None
