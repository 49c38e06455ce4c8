"""The tasks of a review, between its predictions and what is published: what all review DAGs share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import TaskGroup, TriggerRule, chain

from operators.human_loops import StartHumanLoopsOperator
from operators.human_review import HumanReviewSensor
from operators.reviews import AskReviewersOperator, CollectReviewsOperator, ShowPredictionsOperator

if TYPE_CHECKING:
    from trueground.review.steps import Step

# What comes before may have had nothing to do.
EVEN_IF_SKIPPED = {"trigger_rule": TriggerRule.NONE_FAILED}


def review_step(project: Any, step: Step, *, name: str, connection: str, shards: int = 1) -> TaskGroup:
    """One look at predictions, by one team. It skips itself where there is nothing to look at.

    Args:
        project: the project's file name, or its URI; it may be the output of a task.
        step: which look.
        name: the project's name, or a template of it.
        connection: the Airflow connection of the labeling service, or a template of it.
        shards: tasks that start human loops side by side.
    """
    with TaskGroup(step) as group:
        show = ShowPredictionsOperator(task_id="show", project=project, review_step=step, **EVEN_IF_SKIPPED)
        ask = AskReviewersOperator(task_id="ask", project=project, review_step=step)
        start = StartHumanLoopsOperator.partial(
            task_id="start", flow_definition=ask.output["flow_definition"], file=show.output["file"], name=name,
            step=step, shards=shards, connection=connection,
        ).expand(shard=list(range(shards)))  # fmt: skip
        wait = HumanReviewSensor(task_id="wait", human_loops=start.output, connection=connection)
        collect = CollectReviewsOperator(task_id="collect", project=project, review_step=step, started=wait.output)
        chain(show, ask, start, wait, collect)
    return group
