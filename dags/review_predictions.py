"""Human review of predictions: a DAG `review_<name>` of each file in include/projects/ of the kind review-predictions.

Predictions are made or taken, those that need it are reviewed by people, and all are published with their final values.
A project whose file has a mistake is left out here and named by `broken_projects.py`.
"""

from __future__ import annotations

from airflow.sdk import DAG, chain
from operators.connections import PROJECTS_FOLDER, data_root
from operators.predictions import PREDICTIONS, ChoosePredictionsToReviewOperator
from operators.project_dags import first_night, project_asset
from operators.review_pipeline import EVEN_IF_SKIPPED, review_step
from operators.reviews import LearnFieldsOperator, MergeReviewsOperator

from trueground.review.project import ReviewProject, load_review_projects
from trueground.review.steps import STEPS, team_of


def review_dag(file: str, project: ReviewProject) -> DAG:
    """The pipeline of one review project."""
    with DAG(
        dag_id=f"review_{project.name.replace('-', '_')}",
        description=project.description,
        schedule=project.schedule,
        start_date=first_night(file),
        catchup=False,
        default_args={"retries": 2, "retry_delay": 10},
        tags=["review", project.name],
        doc_md=__doc__,
    ) as dag:
        predict = PREDICTIONS[project.source.kind](task_id="predict", project=file)
        # One run at a time, so that two do not spend the same budget.
        choose = ChoosePredictionsToReviewOperator(task_id="choose", project=file, max_active_tis_per_dag=1)
        how = {"name": project.name, "connection": project.connection, "shards": project.review.shards}
        steps = [review_step(file, step, **how) for step in STEPS if team_of(project, step) is not None]
        merge = MergeReviewsOperator(
            task_id="merge", project=file, reviews=project_asset(project, "reviews"), **EVEN_IF_SKIPPED
        )
        chain(predict, choose, *steps, merge)
        if project.source.kind == "documents" and project.source.learn:
            chain(merge, LearnFieldsOperator(task_id="learn_fields", project=file))
    return dag


projects, _ = load_review_projects(PROJECTS_FOLDER, data_root=data_root())
for file, project in projects.items():
    globals()[f"review_{project.name}"] = review_dag(file, project)
