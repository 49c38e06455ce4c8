"""Human review of predictions: a DAG `review_<name>` of each file in include/projects/ of the kind review-predictions.

Predictions are made or taken, those that need it are reviewed by people, and all are published with their final values.
A project whose file has a mistake is left out here and named by `broken_projects.py`.
"""

from __future__ import annotations

from airflow.sdk import DAG, TaskGroup, TriggerRule, chain
from operators.connections import PROJECTS_FOLDER, TEMPLATES_FOLDER, data_root
from operators.human_loops import CreateFlowDefinitionOperator, CreateHumanTaskUiOperator, StartHumanLoopsOperator
from operators.human_review import HumanReviewSensor
from operators.predictions import PREDICTIONS, ChoosePredictionsToReviewOperator
from operators.project_dags import first_night, project_asset
from operators.reviews import CollectReviewsOperator, LearnFieldsOperator, MergeReviewsOperator, ShowPredictionsOperator

from trueground.review.kinds import review_kind
from trueground.review.project import ReviewProject, load_review_projects
from trueground.review.steps import STEPS, Step, loops_output, team_of

# What comes before may have had nothing to do.
EVEN_IF_SKIPPED = {"trigger_rule": TriggerRule.NONE_FAILED}


def review_step(file: str, project: ReviewProject, step: Step) -> TaskGroup:
    """One look at predictions, by one team. It skips itself where there is nothing to look at."""
    review, kind, at = project.review, review_kind(project.source.service), {"connection": project.connection}
    template = TEMPLATES_FOLDER / (review.template or kind.template) / "template.liquid.html"
    with TaskGroup(step) as group:
        show = ShowPredictionsOperator(task_id="show", project=file, review_step=step, **EVEN_IF_SKIPPED)
        ui = CreateHumanTaskUiOperator(task_id="task_ui", name=project.name, template=template.read_text(), **at)
        flow = CreateFlowDefinitionOperator(
            task_id="flow_definition",
            name=f"{project.name}-{step}",
            human_task_ui=ui.output,
            team=team_of(project, step),
            title=review.title,
            description=review.description,
            output_path=loops_output(project),
            reviewers=review.reviewers_per_object if step == "review" else 1,
            settings={
                "TaskTimeLimitInSeconds": review.task_time_limit,
                "TaskAvailabilityLifetimeInSeconds": review.availability,
            },
            source=kind.source,
            **at,
        )
        start = StartHumanLoopsOperator.partial(
            task_id="start", flow_definition=flow.output, file=show.output["file"], name=project.name, step=step,
            shards=review.shards, **at,
        ).expand(shard=list(range(review.shards)))  # fmt: skip
        wait = HumanReviewSensor(task_id="wait", human_loops=start.output, **at)
        collect = CollectReviewsOperator(task_id="collect", project=file, review_step=step, started=wait.output)
        chain(show, ui, flow, start, wait, collect)
    return group


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
        steps = [review_step(file, project, step) for step in STEPS if team_of(project, step) is not None]
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
