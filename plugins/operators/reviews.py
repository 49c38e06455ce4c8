"""Operators for the steps of a review: what people are shown, what they said, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from operators.base import ReviewProjectOperator
from operators.connections import HumanLoopHook
from operators.lineage import Lineage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Asset, Context

    from trueground.review.project import ReviewRun
    from trueground.review.steps import Step


class ShowPredictionsOperator(ReviewProjectOperator):
    """Write what the people of a step are shown; the step is skipped where that is nothing.

    Args:
        review_step: ``review``, ``second`` or ``escalation``.

    Returns:
        ``file``, the input of the step's human loops, and how many ``objects`` there are.
    """

    def __init__(self, *, review_step: Step, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.review_step = review_step

    def step(self, run: ReviewRun, context: Context) -> dict[str, Any]:
        """Write the loops' inputs."""
        from trueground.review.steps import write_loops

        count = write_loops(run, self.review_step)
        if count == 0:
            raise AirflowSkipException("nothing is to be reviewed here")
        return {"file": run.uri("loops", f"{self.review_step}.jsonl"), "objects": count}


class CollectReviewsOperator(ReviewProjectOperator):
    """Gather what the people of a step said.

    Args:
        review_step: ``review``, ``second`` or ``escalation``.
        started: what :class:`~operators.human_review.HumanReviewSensor` returned of the step's loops. Templated.

    Returns:
        How many ``loops`` there are, and how many ended ``unanswered``.
    """

    template_fields: Sequence[str] = (*ReviewProjectOperator.template_fields, "started")

    def __init__(self, *, review_step: Step, started: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.review_step = review_step
        self.started: Mapping[str, Any] = started

    def step(self, run: ReviewRun, context: Context) -> dict[str, Any]:
        """Read the loops' outputs."""
        from trueground.review.steps import collect_reviews

        client = HumanLoopHook(aws_conn_id=run.project.connection).conn
        counts = collect_reviews(run, self.review_step, client, self.started)
        self.log.info("%s", counts)
        return counts


class LearnFieldsOperator(ReviewProjectOperator):
    """Train the model of a document project's fields on the reviews of all its runs; the next run reads with it.

    Returns:
        How many fields it was ``trained_on``, the ``model``'s URI, and the ``reason`` where there is none.
    """

    def step(self, run: ReviewRun, context: Context) -> dict[str, Any]:
        """Train it."""
        from trueground.review.learned_fields import learn_fields

        learned = learn_fields(run)
        self.log.info("%s", learned)
        return learned


class MergeReviewsOperator(ReviewProjectOperator):
    """Publish predictions, reviews and final values as one table, and tell everyone who waits for it.

    Args:
        reviews: the asset of the project's reviews; its event's ``extra`` is a
            :class:`~trueground.contracts.ReviewsExtra`.
    """

    def __init__(self, *, reviews: Asset, **kwargs: Any) -> None:
        super().__init__(outlets=[reviews], **kwargs)
        self.reviews = reviews

    def step(self, run: ReviewRun, context: Context) -> dict[str, Any]:
        """Merge and publish."""
        from trueground.review.merge import merge_reviews

        published = merge_reviews(run)
        context["outlet_events"][self.reviews].extra = published
        self.log.info("published: %s", published)
        return published

    def lineage(self, run: ReviewRun, result: dict[str, Any]) -> Lineage:
        """From the predictions to the reviews, and to the labels among them."""
        labels = {result["labels"]: None} if result["labels"] else {}
        written = {result["reviews"]: result["objects"], result["table"]: result["objects"], **labels}
        return Lineage([run.uri("predictions.jsonl")], written)
