"""Operator that trains a project's model on a published label set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from operators.base import ProjectOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from trueground.run import Run


class RetrainModelOperator(ProjectOperator):
    """Train on the newest label set, compare with the current model on a fixed test split, promote only if better.

    The label set is the one in the asset events that started the DAG run; several events mean one run on the newest.
    """

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Train, compare, and write the model with its card."""
        from airflow.sdk.exceptions import AirflowFailException

        from trueground.autolabel.retrain import retrain
        from trueground.contracts import LabelsExtra, read_extra

        events = [event for events in context["triggering_asset_events"].values() for event in events]
        if not events:
            raise AirflowFailException("this DAG runs on a published label set; trigger it by publishing one")
        newest = max(events, key=lambda event: event.timestamp)
        published = read_extra(LabelsExtra, newest.extra, asset=f"{run.project.name}-labels")
        result = retrain(run, published.labels)
        self.log.info("%s", result)
        return result
