"""The DAG files, parsed by Airflow itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).resolve().parents[2]

PARSE = """
import sys
sys.path[:0] = [{plugins!r}]
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({dags!r})
print("DAGS", *sorted(bag.dags))
for file, error in bag.import_errors.items():
    print("ERROR", file, error)
"""


def parse(projects: Path, tmp_path: Path, code: str = PARSE) -> str:
    """What Airflow says of the DAG files, in a process of its own."""
    import os

    script = code.format(plugins=str(ROOT / "plugins"), dags=str(ROOT / "dags"))
    environment = {**os.environ, "TRUEGROUND_PROJECTS": str(projects), "AIRFLOW_HOME": str(tmp_path / "airflow")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_project_files_of_the_repository_make_their_dags(tmp_path: Path) -> None:
    said = parse(ROOT / "include" / "projects", tmp_path)
    assert "ERROR" not in said
    dags = said.partition("DAGS ")[2].splitlines()[0].split()
    assert dags == [
        "continue_dataset",
        "continue_digits",
        "example_use_labels",
        "example_use_nights",
        "label_dataset",
        "label_digits",
        "retrain_digits",
        "review_digit_reviews",
        "review_invoices",
        "review_predictions",
        "roll_back_digits",
        "roll_back_review_invoices",
        "stop_labeling_job",
        "stop_reviews",
    ]


def test_a_broken_project_names_file_line_and_field_and_leaves_the_other_dags(tmp_path: Path) -> None:
    projects = tmp_path / "projects"
    shutil.copytree(ROOT / "include" / "projects", projects)
    text = (projects / "digits.yaml").read_text()
    broken = text.replace("name: digits", "name: cats").replace("workers_per_object:", "workers_per_objekt:")
    (projects / "cats.yaml").write_text(broken)
    line = 1 + broken.splitlines().index(next(x for x in broken.splitlines() if "workers_per_objekt" in x))

    said = parse(projects, tmp_path)

    assert "label_digits" in said
    assert "label_cats" not in said
    error = said[said.index("ERROR") :]
    assert "broken_projects.py" in error
    assert f"cats.yaml:{line}: people.workers_per_objekt" in error
    assert "workers_per_object" in error


def test_every_broken_project_is_named_at_once(tmp_path: Path) -> None:
    projects = tmp_path / "projects"
    projects.mkdir()
    (projects / "one.yaml").write_text("name: one\ncolour: red\n")
    (projects / "two.yaml").write_text("name: [two\n")
    said = parse(projects, tmp_path)
    assert "one.yaml" in said
    assert "two.yaml" in said


def test_parsing_loads_nothing_heavy(tmp_path: Path) -> None:
    """A DAG file is parsed again and again; what takes seconds to import belongs inside tasks."""
    code = PARSE + (
        'print("HEAVY", *({{"great_expectations", "sklearn", "matplotlib", "scipy", "pyarrow"}} & set(sys.modules)))\n'
    )
    said = parse(ROOT / "include" / "projects", tmp_path, code)
    assert "HEAVY\n" in said


def test_the_plugin_loads_and_does_not_shadow_the_standard_library(tmp_path: Path) -> None:
    code = """
import sys
sys.path[:0] = [{plugins!r}]
import queue
from airflow import plugins_manager
plugins, errors = plugins_manager._get_plugins()
print("PLUGINS", *[plugin.name for plugin in plugins], "ERRORS", errors)
assert queue is sys.modules["queue"]
"""
    said = parse(ROOT / "include" / "projects", tmp_path, code.replace("{dags!r}", ""))
    assert "trueground" in said
    assert "ERRORS {}" in said


def test_a_project_may_want_an_approval_before_publishing(tmp_path: Path) -> None:
    projects = tmp_path / "projects"
    projects.mkdir()
    text = (ROOT / "include" / "projects" / "digits.yaml").read_text()
    (projects / "digits.yaml").write_text(
        text.replace("  required: false\n  users: []", "  required: true\n  users: [ada]")
    )
    code = PARSE + (
        'dag = bag.dags["label_digits"]\n'
        'approve = dag.get_task("approve")\n'
        'print("APPROVE", type(approve).__name__, *approve.upstream_task_ids, *approve.downstream_task_ids)\n'
    )
    said = parse(projects, tmp_path, code)
    assert "APPROVE ApprovalOperator check_labels publish" in said


def test_models_are_retrained_when_labels_or_reviews_come_or_a_week_has_passed_and_may_want_an_approval(
    tmp_path: Path,
) -> None:
    projects = tmp_path / "projects"
    projects.mkdir()
    text = (ROOT / "include" / "projects" / "digits.yaml").read_text()
    (projects / "digits.yaml").write_text(text.replace("promote: rule", "promote: approval"))
    code = PARSE + (
        'dag = bag.dags["retrain_digits"]\n'
        "told = sorted(asset.name for asset in dag.timetable.asset_condition.objects)\n"
        'print("RETRAIN", type(dag.timetable).__name__, *told)\n'
        'print("APPROVE", *dag.get_task("approve").upstream_task_ids, *dag.get_task("approve").downstream_task_ids)\n'
    )
    said = parse(projects, tmp_path, code)
    assert "RETRAIN AssetOrTimeSchedule digit-reviews-reviews digits-labels digits-reviews" in said
    assert "APPROVE retrain promote" in said


def test_a_project_may_have_one_person_decide_what_stays_in_doubt(tmp_path: Path) -> None:
    projects = tmp_path / "projects"
    projects.mkdir()
    text = (ROOT / "include" / "projects" / "digits.yaml").read_text()
    (projects / "digits.yaml").write_text(text.replace("adjudicate: 0", "adjudicate: 5"))
    code = PARSE + (
        'decide = bag.dags["label_digits"].get_task("verify.decide")\n'
        'print("DECIDE", decide.is_mapped, *decide.upstream_task_ids, *decide.downstream_task_ids)\n'
    )
    assert "DECIDE True verify.disputes verify.record" in parse(projects, tmp_path, code)


def test_a_project_may_have_its_machine_labels_audited(tmp_path: Path) -> None:
    projects = tmp_path / "projects"
    projects.mkdir()
    text = (ROOT / "include" / "projects" / "digits.yaml").read_text()
    text = text.replace("audit_digits\n  enabled: false", "\n  enabled: true")
    (projects / "digits.yaml").write_text(text.replace("notify: []", "notify: [{kind: http, connection: chat}]"))
    code = PARSE + (
        'judge, record = map(bag.dags["audit_digits"].get_task, ("judge", "record"))\n'
        'print("JUDGE", judge.kind, *judge.upstream_task_ids, *judge.downstream_task_ids)\n'
        'print("RECORD", record.trigger_rule.value, *record.downstream_task_ids)\n'
    )
    said = parse(projects, tmp_path, code)
    assert "JUDGE verify draw record" in said
    assert "RECORD none_failed notify" in said, "drift is recorded and told also where nobody is asked"
