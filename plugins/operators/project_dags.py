"""What the DAGs of a labeling project share."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import Asset

from operators.connections import PROJECTS_FOLDER
from trueground.project import Project


def project_asset(project: Project, kind: str) -> Asset:
    """What a project's pipelines publish and wait for: its ``labels``, its ``audit``."""
    return Asset(name=f"{project.name}-{kind}", uri=f"x-trueground://{project.name}/{kind}")


def first_night(file: str) -> datetime:
    """When a schedule starts: as its project file is written. A new project must not ask people at once."""
    return datetime.fromtimestamp((PROJECTS_FOLDER / file).stat().st_mtime, UTC)
