"""What a task in Airflow waits for: the labeling job that carries its tags."""

from __future__ import annotations

from trueground.service.engine import progress
from trueground.service.engine.origins import TAG
from trueground.service.engine.progress import JobProgress
from trueground.service.store.database import Database


def job_of_task(db: Database, *, dag: str, run: str, task: str, map_index: str = "-1") -> JobProgress | None:
    """The newest labeling job that an Airflow task started, or ``None``. A task that is not mapped has index -1."""
    wanted = {f"{TAG}dag": dag, f"{TAG}run": run, f"{TAG}task": task}
    if map_index.isdigit():
        wanted[f"{TAG}map"] = map_index
    found = progress.find_by_tags(db, wanted)
    return progress.job_progress(db, found[0].name) if found else None
