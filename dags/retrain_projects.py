"""Retraining: a DAG `retrain_<name>` of each project, which runs when labels or reviews are published, or after a week.

It trains a challenger, compares it with the current model on a test split that never changes, and promotes it by rule
or when somebody approves. `roll_back_<name>` makes an earlier model the current one again.
"""

from __future__ import annotations

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, AssetAny, AssetOrTimeSchedule, CronTriggerTimetable, Param
from operators.connections import PROJECTS_FOLDER, data_root
from operators.project_dags import first_night, named_asset, project_asset
from operators.retrain import (
    NoteEventsOperator,
    PromoteModelOperator,
    RefuseEventOperator,
    RetrainModelOperator,
    RollBackModelOperator,
)

from trueground.project import Project, load_projects

RETRIES = {"retries": 1, "retry_delay": 10}


def retraining_dag(file: str, project: Project) -> DAG:
    """Train, compare with the current model, promote if it is better or approved."""
    settings = project.retrain
    labels = project_asset(project, "labels")
    reviews = [named_asset(name, "reviews") for name in dict.fromkeys((project.name, *settings.reviews))]
    told = AssetAny(labels, *reviews)
    timetable = CronTriggerTimetable(settings.schedule, timezone="UTC") if settings.schedule else None
    with DAG(
        dag_id=f"retrain_{project.name.replace('-', '_')}",
        description=f"Train the model of {project.name} on its newest labels and reviews",
        schedule=AssetOrTimeSchedule(timetable=timetable, assets=told) if timetable else told,
        start_date=first_night(file),
        catchup=False,
        max_active_runs=1,
        default_args=RETRIES,
        tags=["retraining", project.name],
        doc_md=__doc__,
    ) as dag:
        note = NoteEventsOperator(task_id="note_events", project=file, labels=labels, reviews=reviews)
        # One red task for each event that cannot be read, while the good ones are learned from.
        note >> RefuseEventOperator.partial(task_id="refused", retries=0).expand(problem=note.output)
        retrain = RetrainModelOperator(task_id="retrain", project=file)
        promote = PromoteModelOperator(task_id="promote", project=file, model=project_asset(project, "model"))
        note >> retrain >> promote
        if settings.promote == "approval":
            approve = ApprovalOperator(
                task_id="approve",
                subject=f"Use the new model of {project.name}?",
                body=(
                    "{% set told = ti.xcom_pull(task_ids='retrain') %}"
                    "It is right about {{ '%.1f' % (100 * told.accuracy) }} % of {{ told.tested_on }} test objects. "
                    "{{ told.reason }}. The rule says {{ 'yes' if told.better else 'no' }}. Card: {{ told.card }}"
                ),
                assigned_users=[{"id": user, "name": user} for user in settings.approvers] or None,
            )
            retrain >> approve >> promote
    return dag


def roll_back_dag(file: str, project: Project) -> DAG:
    """Triggered by hand: one form, one click."""
    with DAG(
        dag_id=f"roll_back_{project.name.replace('-', '_')}",
        description=f"Make an earlier model of {project.name} the current one again",
        schedule=None,
        catchup=False,
        max_active_runs=1,
        default_args=RETRIES,
        tags=["retraining", project.name],
        doc_md=__doc__,
        params={
            "model": Param(
                "",
                type="string",
                title="Model",
                description="A model's name, as its folder in the registry is called. Empty: the one before.",
            ),
            "reason": Param("", type="string", title="Why", description="Stands in the history of the models."),
        },
    ) as dag:
        RollBackModelOperator(
            task_id="roll_back",
            project=file,
            model=project_asset(project, "model"),
            to="{{ params.model }}",
            reason="{{ params.reason }}",
        )
    return dag


projects, _ = load_projects(PROJECTS_FOLDER, data_root=data_root())
for file, project in projects.items():
    if project.retrain.enabled:
        globals()[f"retrain_{project.name}"] = retraining_dag(file, project)
        globals()[f"roll_back_{project.name}"] = roll_back_dag(file, project)
