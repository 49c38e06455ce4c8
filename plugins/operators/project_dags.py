"""What the DAGs of projects share."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import Asset, Context

from operators.connections import PROJECTS_FOLDER
from trueground.project_files import ProjectFile


def project_asset(project: ProjectFile, kind: str) -> Asset:
    """What a project's pipelines publish and wait for: ``labels``, ``nights``, ``audit``, ``reviews``, ``model``."""
    return named_asset(project.name, kind)


def named_asset(project: str, kind: str) -> Asset:
    """The same of a project that is known by its name only."""
    return Asset(name=f"{project}-{kind}", uri=f"x-trueground://{project}/{kind}")


def first_night(file: str) -> datetime:
    """When a schedule starts: as its project file is written. A new project must not ask people at once."""
    return datetime.fromtimestamp((PROJECTS_FOLDER / file).stat().st_mtime, UTC)


def night_of(context: Context) -> str:
    """The date of a DAG run's night, in UTC: of its logical date, or of when it was triggered."""
    run = context["dag_run"]
    date: datetime = run.logical_date or run.run_after
    return date.astimezone(UTC).date().isoformat()
