"""What all tests share. Airflow reads its settings when it is first imported, so they are set here, before that."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

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
