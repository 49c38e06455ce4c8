"""What all tests share. Airflow reads its settings when it is first imported, so they are set here, before that."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A home of its own: tests never touch the Airflow of `make demo`.
os.environ.update(
    {
        "AIRFLOW_HOME": tempfile.mkdtemp(prefix="trueground-tests-"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "TRUEGROUND_DATA_ROOT": str(ROOT / "data"),
        "GX_ANALYTICS_ENABLED": "false",
    }
)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run side by side in groups, those of a file stay together, and only one Airflow runs at a time."""
    for item in items:
        group = "airflow" if item.get_closest_marker("airflow") else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
