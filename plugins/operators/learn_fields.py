"""Operators of the model of fields of a project that reviews documents: train, promote, roll back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from operators.base import ReviewProjectOperator
from operators.retrain import PromoteModelOperator, RetrainModelOperator, RollBackModelOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from trueground.review.project import ReviewRun


class LearnFieldsOperator(RetrainModelOperator, ReviewProjectOperator):
    """Train a model of fields on the reviews of all runs, compare it with the current one, register it.

    Skips itself where there are too few reviews to learn from.
    """

    def step(self, run: ReviewRun, context: Context) -> dict[str, Any]:  # type: ignore[override]
        """Train it, anew where the task is repeated."""
        from trueground.documents.field_model import TooFewReviews
        from trueground.review.learned_fields import learn_fields

        try:
            return self.told(learn_fields(run), context, run)
        except TooFewReviews as error:
            raise AirflowSkipException(str(error)) from error


class PromoteFieldsOperator(PromoteModelOperator, ReviewProjectOperator):
    """Make the run's model of fields the current one; the next run reads with it."""


class RollBackFieldsOperator(RollBackModelOperator, ReviewProjectOperator):
    """Make an earlier model of fields the current one again."""
