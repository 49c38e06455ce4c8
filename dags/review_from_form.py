"""Have predictions reviewed once, from a form, without writing a project file.

Press Trigger and fill in the form. A value that cannot be is refused at the form; values that do not fit each other at
the first task, which names the field. What you asked for is kept as `project.json` in the run's folder, and the results
are published as the asset `<name>-reviews`, as a project file's are.
"""

from __future__ import annotations

from airflow.sdk import DAG, AssetAlias, chain
from operators.predictions import ChoosePredictionsToReviewOperator, PredictAsAskedOperator
from operators.review_form import MakeReviewProjectOperator, review_form
from operators.review_pipeline import EVEN_IF_SKIPPED, review_step
from operators.reviews import MergeReviewsOperator

from trueground.review.steps import STEPS

CONNECTION = "{{ params.connection }}"

with DAG(
    dag_id="review_predictions",
    description="Have predictions reviewed, from a form",
    schedule=None,
    catchup=False,
    default_args={"retries": 2, "retry_delay": 10, "connection": CONNECTION},
    tags=["review"],
    doc_md=__doc__,
    params=review_form(),
):
    # One at a time, so that of two forms with one name the second is refused.
    make = MakeReviewProjectOperator(task_id="project", max_active_tis_per_dag=1)
    project = make.output["project"]
    chain(
        make,
        PredictAsAskedOperator(task_id="predict", project=project),
        ChoosePredictionsToReviewOperator(task_id="choose", project=project),
        *(review_step(project, step, name="{{ params.name }}", connection=CONNECTION) for step in STEPS),
        MergeReviewsOperator(
            task_id="merge", project=project, reviews=AssetAlias("reviews-by-form"), **EVEN_IF_SKIPPED
        ),
    )
