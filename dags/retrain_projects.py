"""Retraining: a DAG `retrain_<name>` of each project, which runs whenever the project's labels are published."""

from __future__ import annotations

from airflow.sdk import DAG
from operators.connections import PROJECTS_FOLDER, data_root
from operators.project_dags import project_asset
from operators.retrain import RetrainModelOperator

from trueground.project import Project, load_projects


def retraining_dag(file: str, project: Project) -> DAG:
    """Train, compare with the current model, promote only if better."""
    with DAG(
        dag_id=f"retrain_{project.name.replace('-', '_')}",
        description=f"Train the model of {project.name} on its newest labels",
        schedule=[project_asset(project, "labels")],
        catchup=False,
        max_active_runs=1,
        default_args={"retries": 1, "retry_delay": 10},
        tags=["retraining", project.name],
        doc_md=__doc__,
    ) as dag:
        RetrainModelOperator(task_id="retrain", project=file)
    return dag


projects, _ = load_projects(PROJECTS_FOLDER, data_root=data_root())
for file, project in projects.items():
    if project.retrain.enabled:
        globals()[f"retrain_{project.name}"] = retraining_dag(file, project)
