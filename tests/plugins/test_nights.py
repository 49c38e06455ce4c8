"""Nights have a time zone; where clocks are changed, none comes twice and none is missing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow.serialization.encoders import coerce_to_core_timetable
from operators.project_dags import night_of, timetable

CHANGES = [
    ("Europe/Berlin", "2026-03-28"), ("Europe/Berlin", "2026-10-24"), ("America/New_York", "2026-03-07"),
    ("America/New_York", "2026-10-31"), ("America/Santiago", "2026-09-05"), ("America/Santiago", "2026-04-03"),
    ("Africa/Cairo", "2026-04-23"), ("Africa/Cairo", "2026-10-29"), ("Asia/Beirut", "2026-03-28"),
    ("Asia/Beirut", "2026-10-24"), ("Australia/Lord_Howe", "2026-04-04"), ("America/Havana", "2026-03-07"),
    ("Asia/Kolkata", "2026-03-07"),
]  # fmt: skip
"""In Santiago, Cairo, Beirut and Havana midnight itself is left out or comes twice."""


def nights(zone: str, schedule: str, first: datetime, count: int) -> list[date]:
    project: Any = SimpleNamespace(timezone=zone)
    table = coerce_to_core_timetable(timetable(project, schedule))
    found, moment = [], pendulum.instance(first)
    for _ in range(count):
        moment = table._get_next(moment)  # type: ignore[attr-defined]
        run = {"dag_run": SimpleNamespace(logical_date=moment, run_after=moment)}
        found.append(date.fromisoformat(night_of(run, project)))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("schedule", ["@daily", "30 0 * * *", "0 2 * * *", "30 2 * * *", "30 1 * * *", "0 23 * * *"])
@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_each_night_comes_once_where_clocks_are_changed(zone: str, day: str, schedule: str) -> None:
    found = nights(zone, schedule, datetime.fromisoformat(day).replace(tzinfo=UTC), 5)
    assert found == [found[0] + timedelta(days=number) for number in range(5)]


def test_a_night_is_named_by_the_date_where_the_project_is() -> None:
    late = datetime(2026, 1, 31, 20, 0, tzinfo=UTC)
    run: Any = {"dag_run": SimpleNamespace(logical_date=None, run_after=late)}
    for zone, night in (("Asia/Tokyo", "2026-02-01"), ("America/Los_Angeles", "2026-01-31"), (None, "2026-01-31")):
        project: Any = SimpleNamespace(timezone=zone)
        assert night_of(run, project) == night
