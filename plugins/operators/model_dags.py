"""What all DAGs with models share: somebody's approval of a new one, and the way back to an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param

from operators.project_dags import project_asset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from operators.retrain import RollBackModelOperator
    from trueground.project_files import ProjectFile

RETRIES = {"retries": 1, "retry_delay": 10}


def approve_model(trained_by: str, project: str, approvers: Sequence[str], *, tested: str) -> ApprovalOperator:
    """The task in which somebody says whether a new model is used.

    Args:
        trained_by: the id of the task that trained it.
        project: the project's name.
        approvers: who may say so; anybody, if none is named.
        tested: what it was tested on.
    """
    return ApprovalOperator(
        task_id="approve",
        subject=f"Use the new model of {project}?",
        body=(
            f"{{% set told = ti.xcom_pull(task_ids='{trained_by}') %}}"
            "{% if told.accuracy is not none %}"
            "It is right about {{ '%.1f' % (100 * told.accuracy) }} % of {{ told.tested_on }} "
            f"{tested}. {{% endif %}}"
            "{{ told.reason }}. The rule says {{ 'yes' if told.better else 'no' }}. Card: {{ told.card }}"
        ),
        assigned_users=[{"id": user, "name": user} for user in approvers] or None,
    )


def roll_back_dag(dag_id: str, file: str, project: ProjectFile, operator: type[RollBackModelOperator]) -> DAG:
    """Triggered by hand: one form, one click.

    Args:
        dag_id: hyphens become underscores.
        file: the project's file.
        project: the project, of whatever kind.
        operator: what rolls back the models of this kind of project.
    """
    with DAG(
        dag_id=dag_id.replace("-", "_"),
        description=f"Make an earlier model of {project.name} the current one again",
        schedule=None,
        catchup=False,
        max_active_runs=1,
        default_args=RETRIES,
        tags=["retraining", project.name],
        doc_md=f"Trigger it, and an earlier model of {project.name} is the current one again.",
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
        operator(
            task_id="roll_back",
            project=file,
            model=project_asset(project, "model"),
            to="{{ params.model }}",
            reason="{{ params.reason }}",
        )
    return dag
