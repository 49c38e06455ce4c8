"""Operators for the steps of a review: what people are shown, what they said, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import AssetAlias
from airflow.sdk.exceptions import AirflowSkipException

from operators.base import ReviewProjectOperator
from operators.connections import TEMPLATES_FOLDER, HumanLoopHook, LabelingServiceHook
from operators.human_loops import find_flow_definition, find_task_ui
from operators.lineage import Lineage
from operators.project_dags import project_asset
from trueground.errors import InputError

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
        from trueground.review.steps import team_of, write_loops

        if team_of(run.project, self.review_step) is None:
            raise AirflowSkipException("the project has no such step")
        count = write_loops(run, self.review_step)
        if count == 0:
            raise AirflowSkipException("nothing is to be reviewed here")
        return {"file": run.uri("loops", f"{self.review_step}.jsonl"), "objects": count}


class AskReviewersOperator(ReviewProjectOperator):
    """Make the task UI and the flow definition by which the people of a step review; each is made once.

    Args:
        review_step: ``review``, ``second`` or ``escalation``.

    Returns:
        ``flow_definition``, its ARN.
    """

    def __init__(self, *, review_step: Step, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.review_step = review_step

    def step(self, run: ReviewRun, context: Context) -> dict[str, Any]:
        """Find them, or make them."""
        from trueground.review.kinds import review_kind
        from trueground.review.steps import loops_output, team_of
        from trueground.review.stop import note_flow

        project, review = run.project, run.project.review
        kind, team = review_kind(project.source.service), team_of(project, self.review_step)
        assert team is not None
        template = TEMPLATES_FOLDER / (review.template or kind.template) / "template.liquid.html"
        if not template.exists():
            raise InputError(f"there is no template {template.parent.name!r}", field="review.template")
        hook = LabelingServiceHook(aws_conn_id=project.connection)
        flow = find_flow_definition(
            hook,
            f"{project.name}-{self.review_step}",
            human_task_ui=find_task_ui(hook, project.name, template.read_text()),
            team=team,
            title=review.title,
            description=review.description,
            output_path=loops_output(project),
            reviewers=review.reviewers_per_object if self.review_step == "review" else 1,
            settings={
                "TaskTimeLimitInSeconds": review.task_time_limit,
                "TaskAvailabilityLifetimeInSeconds": review.availability,
            },
            source=kind.source,
        )
        note_flow(run, self.review_step, flow)
        return {"flow_definition": flow}


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


class MergeReviewsOperator(ReviewProjectOperator):
    """Publish predictions, reviews and final values as one table, and tell everyone who waits for it.

    Args:
        reviews: the asset of the project's reviews, an alias where the project is known only as it runs; its event's
            ``extra`` is a :class:`~trueground.contracts.ReviewsExtra`.
    """

    def __init__(self, *, reviews: Asset | AssetAlias, **kwargs: Any) -> None:
        super().__init__(outlets=[reviews], **kwargs)
        self.reviews = reviews

    def step(self, run: ReviewRun, context: Context) -> dict[str, Any]:
        """Merge and publish."""
        from trueground.review.merge import merge_reviews

        published = merge_reviews(run)
        event = context["outlet_events"][self.reviews]
        if isinstance(self.reviews, AssetAlias):
            event.add(project_asset(run.project, "reviews"), extra=published)
        else:
            event.extra = published
        self.log.info("published: %s", published)
        return published

    def lineage(self, run: ReviewRun, result: dict[str, Any]) -> Lineage:
        """From the predictions to the reviews, and to the labels among them."""
        labels = {result["labels"]: None} if result["labels"] else {}
        written = {result["reviews"]: result["objects"], result["table"]: result["objects"], **labels}
        return Lineage([run.uri("predictions.jsonl")], written)
