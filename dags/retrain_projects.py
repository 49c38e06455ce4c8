"""Retraining: a DAG `retrain_<name>` of each project, which runs when labels or reviews are published, or after a week.

It trains a challenger, compares it with the current model on a test split that never changes, and promotes it by rule
or when somebody approves. `roll_back_<name>` makes an earlier model the current one again.
"""

from __future__ import annotations

from airflow.sdk import DAG, AssetAny, AssetOrTimeSchedule
from operators.connections import PROJECTS_FOLDER, data_root
from operators.dag_docs import retraining_docs
from operators.model_dags import RETRIES, approve_model, roll_back_dag
from operators.project_dags import first_night, named_asset, project_asset, timetable
from operators.retrain import (
    NoteEventsOperator,
    PromoteModelOperator,
    RefuseEventOperator,
    RetrainModelOperator,
    RollBackModelOperator,
)

from trueground.project import Project, load_projects


def retraining_dag(file: str, project: Project) -> DAG:
    """Train, compare with the current model, promote if it is better or approved."""
    settings = project.retrain
    labels = project_asset(project, "labels")
    reviews = [named_asset(name, "reviews") for name in dict.fromkeys((project.name, *settings.reviews))]
    told = AssetAny(labels, *reviews)
    clock = timetable(project, settings.schedule)
    with DAG(
        dag_id=f"retrain_{project.name.replace('-', '_')}",
        description=f"Train the model of {project.name} on its newest labels and reviews",
        schedule=AssetOrTimeSchedule(timetable=clock, assets=told) if clock else told,
        start_date=first_night(file),
        catchup=False,
        max_active_runs=1,
        default_args=RETRIES,
        tags=["retraining", project.name],
        doc_md=retraining_docs(file, project),
    ) as dag:
        note = NoteEventsOperator(task_id="note_events", project=file, labels=labels, reviews=reviews)
        # One red task for each event that cannot be read, while the good ones are learned from.
        note >> RefuseEventOperator.partial(task_id="refused", retries=0).expand(problem=note.output)
        retrain = RetrainModelOperator(task_id="retrain", project=file)
        promote = PromoteModelOperator(
            task_id="promote",
            project=file,
            model=project_asset(project, "model"),
            by_rule=settings.promote == "rule",
        )
        note >> retrain >> promote
        if settings.promote == "approval":
            approve = approve_model("retrain", project.name, settings.approvers, tested="test objects")
            retrain >> approve >> promote
    return dag


projects, _ = load_projects(PROJECTS_FOLDER, data_root=data_root())
for file, project in projects.items():
    if project.retrain.enabled:
        globals()[f"retrain_{project.name}"] = retraining_dag(file, project)
        globals()[f"roll_back_{project.name}"] = roll_back_dag(
            f"roll_back_{project.name}", file, project, RollBackModelOperator
        )
