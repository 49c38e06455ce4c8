"""What the DAGs of projects share."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import Asset

from operators.connections import PROJECTS_FOLDER
from trueground.project_files import ProjectFile


def project_asset(project: ProjectFile, kind: str) -> Asset:
    """What a project's pipelines publish and wait for: its ``labels``, ``audit``, ``reviews``."""
    return Asset(name=f"{project.name}-{kind}", uri=f"x-trueground://{project.name}/{kind}")


def first_night(file: str) -> datetime:
    """When a schedule starts: as its project file is written. A new project must not ask people at once."""
    return datetime.fromtimestamp((PROJECTS_FOLDER / file).stat().st_mtime, UTC)
