"""What the DAGs of projects share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pendulum
from airflow.configuration import conf
from airflow.sdk import Asset, Context, CronTriggerTimetable
from pendulum.tz.timezone import FixedTimezone, Timezone

from operators.connections import PROJECTS_FOLDER
from trueground.project_files import ProjectFile

NO_CRON = ("@once", "@continuous")
"""Schedules without a time of day."""


def project_asset(project: ProjectFile, kind: str) -> Asset:
    """What a project's pipelines publish and wait for: ``labels``, ``nights``, ``audit``, ``reviews``, ``model``."""
    return named_asset(project.name, kind)


def named_asset(project: str, kind: str) -> Asset:
    """The same of a project that is known by its name only."""
    return Asset(name=f"{project}-{kind}", uri=f"x-trueground://{project}/{kind}")


def first_night(file: str) -> datetime:
    """When a schedule starts: as its project file is written. A new project must not ask people at once."""
    return datetime.fromtimestamp((PROJECTS_FOLDER / file).stat().st_mtime, UTC)


def paused_at_first(project: ProjectFile) -> dict[str, Any]:
    """What a DAG is given so that it starts paused, where its project says so."""
    return {"is_paused_upon_creation": True} if project.paused is not None else {}


def zone_of(project: ProjectFile) -> Timezone | FixedTimezone:
    """The time zone of a project's schedules and nights: its own, else Airflow's ``default_timezone``."""
    name = project.timezone or conf.get("core", "default_timezone", fallback="utc")
    return pendulum.local_timezone() if name == "system" else pendulum.timezone("UTC" if name == "utc" else name)


def timetable(project: ProjectFile, schedule: str | None) -> CronTriggerTimetable | str | None:
    """A project's schedule in its time zone.

    A night whose hour the clocks leave out runs at the next hour; one whose hour comes twice runs once.
    """
    if schedule is None or schedule in NO_CRON:
        return schedule
    return CronTriggerTimetable(schedule, timezone=zone_of(project))


def night_of(context: Context, project: ProjectFile) -> str:
    """The date of a DAG run's night, in the project's time zone: of its logical date, or of when it was triggered."""
    run = context["dag_run"]
    date: datetime = run.logical_date or run.run_after
    return date.astimezone(zone_of(project)).date().isoformat()
