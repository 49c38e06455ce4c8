"""What the DAGs of projects say and when they run: descriptions, documentation, time zones, pauses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "include" / "projects"
READ = """
import sys
sys.path[:0] = [{plugins!r}]
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({dags!r})
assert not bag.import_errors, bag.import_errors
import json
print("DAGS" + json.dumps({{
    name: {{"description": dag.description, "doc": dag.doc_md, "paused": dag.is_paused_upon_creation,
            "schedule": str(getattr(dag.timetable, "_timezone", None) or getattr(dag.timetable, "timezone", None))}}
    for name, dag in bag.dags.items()
}}))
"""


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """All DAGs of the repository's projects, and of one that is audited and has a time zone."""
    folder = tmp_path_factory.mktemp("dags")
    (folder / "projects").mkdir()
    for file in FOLDER.iterdir():
        (folder / "projects" / file.name).write_text(file.read_text())
    content = yaml.safe_load((FOLDER / "digits.yaml").read_text())
    content |= {"name": "cats", "output": "cats/labels", "timezone": "America/Santiago", "data": {"prefix": "cats/in"}}
    content["audit"]["enabled"] = True
    (folder / "projects" / "cats.yaml").write_text(yaml.safe_dump(content))
    environment = {
        **os.environ,
        "TRUEGROUND_PROJECTS": str(folder / "projects"),
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__API__BASE_URL": "http://airflow.example:8080",
        "AIRFLOW__CORE__DEFAULT_TIMEZONE": "Europe/Berlin",
    }
    script = READ.format(plugins=str(ROOT / "plugins"), dags=str(ROOT / "dags"))
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = yaml.safe_load(done.stdout.partition("DAGS")[2])
    return found


def test_every_dag_has_a_description_and_documentation(dags: dict[str, dict[str, str]]) -> None:
    for name, dag in dags.items():
        assert dag["description"] and len(dag["description"]) < 300, name
        assert dag["doc"] and dag["doc"].strip(), name


def test_the_documentation_is_about_the_project_and_links_to_its_pages(dags: dict[str, dict[str, str]]) -> None:
    doc = dags["label_digits"]["doc"]
    for text in (
        "digits/images",
        "`annotators`",
        "`reviewers`",
        "95%",
        "include/projects/digits.yaml",
        "Europe/Berlin",
    ):
        assert text in doc, text
    assert "](http://airflow.example:8080/trueground/jobs)" in doc
    assert "](http://airflow.example:8080/trueground/airflow/report?dag=label_digits&task=publish)" in doc
    assert "task=retrain" in dags["retrain_digits"]["doc"]
    assert "task=record" in dags["audit_cats"]["doc"]
    assert "`reviewers`" in dags["review_digit_reviews"]["doc"]


def test_a_project_that_cannot_run_yet_starts_paused_and_says_why(dags: dict[str, dict[str, str]]) -> None:
    for name, reason in (("review_invoices", "make documents"), ("review_digit_reviews", "Run label_digits")):
        assert dags[name]["paused"] is True
        assert reason in dags[name]["description"] and reason in dags[name]["doc"]
    assert not dags["label_digits"]["paused"]


def test_schedules_have_the_projects_time_zone_or_airflows(dags: dict[str, dict[str, str]]) -> None:
    assert "America/Santiago" in dags["label_cats"]["schedule"]
    assert "America/Santiago" in dags["audit_cats"]["schedule"]
    assert "Europe/Berlin" in dags["label_digits"]["schedule"]
