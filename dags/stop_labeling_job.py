"""Stop a labeling job early: triggered by hand with the job's name, done once somebody confirms it in Airflow.

What people did until then is kept, and the pipeline that waits for the job goes on with it.
"""

from __future__ import annotations

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param
from operators.labeling_job import StopLabelingJobOperator

with DAG(
    dag_id="stop_labeling_job",
    description="Stop a labeling job early and keep its answers",
    schedule=None,
    catchup=False,
    # Airflow fails a task whose answer comes before its scheduler has seen that it waits; then it asks again.
    default_args={"retries": 2, "retry_delay": 5},
    tags=["labeling"],
    doc_md=__doc__,
    params={
        "labeling_job": Param(
            "",
            type="string",
            minLength=1,
            maxLength=63,
            title="Labeling job",
            description="The name of the job, as the portal and the task's page show it.",
        ),
        "connection": Param("trueground", type="string", description="The Airflow connection of the labeling service."),
    },
):
    confirm = ApprovalOperator(
        task_id="confirm",
        subject="Stop {{ params.labeling_job }} now?",
        body="People get no more tasks of this job. The answers so far are kept and used.",
    )
    confirm >> StopLabelingJobOperator(
        task_id="stop", job_name="{{ params.labeling_job }}", connection="{{ params.connection }}"
    )
