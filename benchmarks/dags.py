"""How long Airflow needs to import each DAG file, beside an empty DAG in the same process."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EMPTY = "from airflow.sdk import DAG\nwith DAG(dag_id='empty', schedule=None):\n    pass\n"


def main() -> None:
    """Print seconds and the ratio to the empty DAG."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            AIRFLOW_HOME=folder,
            AIRFLOW__CORE__LOAD_EXAMPLES="False",
            AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
            TRUEGROUND_DATA_ROOT=str(ROOT / "data"),
        )
        sys.path.insert(0, str(ROOT / "plugins"))
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY)
        from airflow.dag_processing.dagbag import DagBag

        # What the dag-processor has loaded before it forks for a file: the first file must not pay for it.
        DagBag(str(empty))
        for file in (empty, *sorted((ROOT / "dags").glob("*.py"))):
            bag = DagBag(str(file))
            seconds = sum(stat.duration.total_seconds() for stat in bag.dagbag_stats)
            print(f"{file.name:28} {seconds:6.3f} s  {len(bag.dags)} DAGs  {len(bag.import_errors)} errors")


if __name__ == "__main__":
    main()
