"""Human review of predictions: a DAG `review_<name>` of each file in include/projects/ of the kind review-predictions.

Predictions are made or taken, those that need it are reviewed by people, and all are published with their final values.
A project whose file has a mistake is left out here and named by `broken_projects.py`.
"""

from __future__ import annotations

from airflow.sdk import DAG, BaseOperator, chain
from operators.connections import PROJECTS_FOLDER, data_root
from operators.dag_docs import description_of, review_docs
from operators.learn_fields import LearnFieldsOperator, PromoteFieldsOperator, RollBackFieldsOperator
from operators.model_dags import approve_model, roll_back_dag
from operators.predictions import PREDICTIONS, ChoosePredictionsToReviewOperator
from operators.project_dags import first_night, paused_at_first, project_asset, timetable
from operators.review_pipeline import EVEN_IF_SKIPPED, review_step
from operators.reviews import MergeReviewsOperator

from trueground.review.project import ReviewProject, load_review_projects
from trueground.review.sources import DocumentsSource
from trueground.review.steps import STEPS, team_of


def review_dag(file: str, project: ReviewProject) -> DAG:
    """The pipeline of one review project."""
    with DAG(
        dag_id=f"review_{project.name.replace('-', '_')}",
        description=description_of(project, "Review:"),
        schedule=timetable(project, project.schedule),
        start_date=first_night(file),
        catchup=False,
        default_args={"retries": 2, "retry_delay": 10},
        tags=["review", project.name],
        doc_md=review_docs(file, project),
        **paused_at_first(project),
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
            chain(merge, *learn_fields(file, project, project.source))
    return dag


def learn_fields(file: str, project: ReviewProject, source: DocumentsSource) -> list[BaseOperator]:
    """Train a model of fields on all reviews, and promote it by the rule or when somebody approves."""
    learn = LearnFieldsOperator(task_id="learn_fields", project=file)
    promote = PromoteFieldsOperator(
        task_id="promote", project=file, model=project_asset(project, "model"), by_rule=source.promote == "rule"
    )
    if source.promote == "rule":
        return [learn, promote]
    return [learn, approve_model("learn_fields", project.name, source.approvers, tested="fields"), promote]


projects, _ = load_review_projects(PROJECTS_FOLDER, data_root=data_root())
for file, project in projects.items():
    globals()[f"review_{project.name}"] = review_dag(file, project)
    if project.source.kind == "documents" and project.source.learn:
        globals()[f"roll_back_review_{project.name}"] = roll_back_dag(
            f"roll_back_review_{project.name}", file, project, RollBackFieldsOperator
        )
