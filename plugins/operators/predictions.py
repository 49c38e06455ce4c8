"""Operators for predictions: make them or take them, one operator a kind of source, and choose which people review."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk.exceptions import AirflowSkipException
from botocore.config import Config

from operators.base import ReviewProjectOperator
from operators.connections import PROJECTS_FOLDER, data_root
from operators.lineage import Lineage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from trueground.review.project import ReviewRun


class PredictionsOperator(ReviewProjectOperator):
    """Write a run's ``predictions.jsonl``. Subclasses write :meth:`predict`.

    Returns:
        ``predictions``: how many there are. The run is skipped where there are none.
    """

    def step(self, run: ReviewRun, context: Context) -> dict[str, Any]:
        """Write them; skip the run where there is nothing to predict on."""
        self.check_preconditions(run)
        count = self.predict(run)
        self.log.info("%d predictions", count)
        if count == 0:
            raise AirflowSkipException("there are no predictions")
        return {"predictions": count}

    def predict(self, run: ReviewRun) -> int:
        """Write the prediction lines; returns how many."""
        raise NotImplementedError

    def lineage(self, run: ReviewRun, result: dict[str, Any]) -> Lineage:
        """From what was predicted on, or who predicted, to the predictions."""
        return Lineage(self.inputs(run), {run.uri("predictions.jsonl"): result["predictions"]})

    def inputs(self, run: ReviewRun) -> list[str]:
        """What was read."""
        source = run.project.source
        return [source.prefix or source.manifest]


class TakePredictionsOperator(PredictionsOperator):
    """Take predictions that somebody else made, from JSON Lines or Parquet (source ``file``)."""

    def predict(self, run: ReviewRun) -> int:
        """Copy them, so that they stay what they were when they were reviewed."""
        from trueground.review.predict import take_predictions

        return take_predictions(run, run.project.source)

    def inputs(self, run: ReviewRun) -> list[str]:
        """The file."""
        return [run.project.source.predictions]


class PredictWithModelOperator(PredictionsOperator):
    """Predict with the current model of a labeling project (source ``model``)."""

    def predict(self, run: ReviewRun) -> int:
        """Predict on a manifest, or on all below a prefix."""
        from trueground.project import load_project
        from trueground.review.predict import predict_with_model

        source = run.project.source
        files = [source.project] if source.other is None else [source.project, source.other]
        return predict_with_model(
            run, source, *(load_project(PROJECTS_FOLDER / file, data_root=data_root()) for file in files)
        )


class ReadDocumentsOperator(PredictionsOperator):
    """Read images of documents on this machine (source ``documents``)."""

    def predict(self, run: ReviewRun) -> int:
        """Read each; what cannot be read is set aside later, with the reason."""
        from trueground.review.predict import read_documents

        return read_documents(run, run.project.source)


class CallServiceOperator(PredictionsOperator):
    """Have a service of AWS predict (sources ``textract``, ``rekognition``, ``sagemaker-endpoint``), a call an object.

    A call whose answer came is not made again, however often the task is repeated.

    Args:
        flow_definition: the ARN of a flow definition with activation conditions. Textract and Rekognition then start
            human loops by themselves, named after run and object, and each line keeps their ``human-loop``. Templated.
    """

    template_fields: Sequence[str] = (*PredictionsOperator.template_fields, "flow_definition")

    def __init__(self, *, flow_definition: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.flow_definition = flow_definition

    def predict(self, run: ReviewRun) -> int:
        """Call the service for each object that has no answer yet."""
        from trueground.review.call_services import CLIENTS, predict_by_calls

        source = run.project.source
        hook = AwsBaseHook(
            aws_conn_id=source.connection or run.project.connection,
            client_type=CLIENTS[source.kind],
            # AWS throttles.
            config=Config(retries={"mode": "standard", "total_max_attempts": 10}),
        )
        return predict_by_calls(run, source, hook.conn, flow_definition=self.flow_definition)


PREDICTIONS: Mapping[str, type[PredictionsOperator]] = {
    "file": TakePredictionsOperator,
    "model": PredictWithModelOperator,
    "documents": ReadDocumentsOperator,
    "textract": CallServiceOperator,
    "rekognition": CallServiceOperator,
    "sagemaker-endpoint": CallServiceOperator,
}
"""The operator of each kind of source."""


class PredictAsAskedOperator(PredictionsOperator):
    """Make or take predictions by the operator of the project's source, where that is known only as the run goes."""

    def predict(self, run: ReviewRun) -> int:
        """As that operator does."""
        return self._operator(run).predict(run)

    def inputs(self, run: ReviewRun) -> list[str]:
        """As that operator has them."""
        return self._operator(run).inputs(run)

    def _operator(self, run: ReviewRun) -> PredictionsOperator:
        kind = run.project.source.kind
        return PREDICTIONS[kind](task_id=kind, project=self.project, run_name=self.run_name)


class ChoosePredictionsToReviewOperator(ReviewProjectOperator):
    """Evaluate the project's activation conditions: ``to-review``, ``accepted`` and ``set-aside`` of the run's folder.

    Returns:
        How many predictions went where.
    """

    def step(self, run: ReviewRun, context: Context) -> dict[str, Any]:
        """Choose."""
        from trueground.review.budget import keep_within_budget, worth
        from trueground.review.choose import choose_reviews, refuse_useless

        conditions = run.project.parsed_conditions()
        budgeted = run.project.review.reviews_per_day is not None
        chosen = choose_reviews(
            run.storage,
            run.uri("predictions.jsonl"),
            conditions,
            run.folder,
            service=run.project.source.service,
            worth=partial(worth, run) if budgeted else None,
        )
        if chosen.set_aside:
            self.log.warning("%d predictions cannot be used: %s", chosen.set_aside, run.uri("set-aside.jsonl"))
        refuse_useless(run, chosen)
        over = keep_within_budget(run)
        self.log.info("%s, of which %d are over the day's budget", chosen, over)
        return {
            "to_review": chosen.to_review - over,
            "accepted": chosen.accepted + over,
            "set_aside": chosen.set_aside,
            "over_budget": over,
        }
