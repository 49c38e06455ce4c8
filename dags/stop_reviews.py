"""Stop the reviews of a run early: triggered by hand with the run, done once somebody confirms it in Airflow.

What people did until then is kept, and the run that waits for them goes on with it: it asks nobody else, and publishes
what nobody answered about as `unanswered`.
"""

from __future__ import annotations

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param
from operators.connections import PROJECTS_FOLDER, data_root
from operators.stop_reviews import StopReviewsOperator

from trueground.review.project import load_review_projects

with DAG(
    dag_id="stop_reviews",
    description="Stop the reviews of a run early and keep their answers",
    schedule=None,
    catchup=False,
    # Airflow fails a task whose answer comes before its scheduler has seen that it waits; then it asks again.
    default_args={"retries": 2, "retry_delay": 5},
    tags=["review"],
    doc_md=__doc__,
    params={
        "name": Param(
            "",
            type="string",
            pattern="^[a-z0-9-]+$",
            title="Review",
            description="The review project, or the name that was given in the form of review_predictions.",
            examples=sorted(
                project.name for project in load_review_projects(PROJECTS_FOLDER, data_root=data_root())[0].values()
            ),
        ),
        "run": Param(
            "",
            type="string",
            title="Run",
            description="The run's id, as its page in Airflow has it. Empty for a review by form: it has one run.",
        ),
        "connection": Param("trueground", type="string", description="The connection, for a review by form."),
    },
):
    confirm = ApprovalOperator(
        task_id="confirm",
        subject="Stop the reviews of {{ params.name }} {{ params.run }} now?",
        body="People get no more tasks of this run. The answers so far are kept and used.",
    )
    confirm >> StopReviewsOperator(
        task_id="stop", name="{{ params.name }}", run_name="{{ params.run }}", connection="{{ params.connection }}"
    )
