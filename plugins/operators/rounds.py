"""Operators for one round: choose, (a labeling job), consolidate, train, auto-label, enough?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from operators.base import ProjectOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from trueground.run import Run


class RoundOperator(ProjectOperator):
    """A step of one round. Args: ``number``: the round, from 1. Templated."""

    template_fields = (*ProjectOperator.template_fields, "number")

    def __init__(self, *, number: int | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.number = number


class ChooseObjectsOperator(RoundOperator):
    """Choose what people label in this round; skips the round where everything has a label."""

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Write the manifest of the round's labeling job."""
        from trueground.autolabel import rounds
        from trueground.autolabel.earlier_model import why_no_earlier_model

        count = rounds.choose(run, int(self.number))
        if int(self.number) == 1 and (reason := why_no_earlier_model(run)):
            self.log.warning("the current model is not used: %s", reason)
        if count == 0:
            raise AirflowSkipException("every object has a label")
        return {"manifest": run.uri("rounds", str(self.number), "input.manifest"), "objects": count}


class ConsolidateOperator(RoundOperator):
    """Consolidate the raw answers of the round's job together with all that are known.

    Args:
        job: what the labeling job's task returned. Templated.
    """

    template_fields = (*RoundOperator.template_fields, "job")

    def __init__(self, *, job: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Read the answers and write the labels."""
        from trueground.autolabel import rounds

        answers = rounds.collect(run, int(self.number), self.job["output"])
        labels = rounds.human_labels(run, int(self.number))
        self.log.info("%d answers, %d objects with a human label", answers, len(labels))
        return {"answers": answers, "labels": len(labels)}


class TrainModelOperator(RoundOperator):
    """Train the round's model on all human labels so far."""

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Train, and keep the model in the run's folder."""
        from trueground.autolabel import rounds

        summary = rounds.train(run, int(self.number))
        self.log.info("trained: %s", summary)
        return summary


class AutoLabelOperator(RoundOperator):
    """Accept machine labels where the audited sample shows that the project's promise holds."""

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Settle the round's proposal."""
        from trueground.autolabel import rounds

        summary = rounds.auto_label(run, int(self.number))
        self.log.info("settled: %s", summary)
        return summary


class FinishRoundOperator(RoundOperator):
    """Enough? Counts where the run stands; later rounds skip once every object has a label."""

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Keep the round's state."""
        from trueground.autolabel import rounds

        state = rounds.finish_round(run, int(self.number))
        self.log.info("%d by people, %d by machine, %d open", state.human, state.machine, state.open)
        return {**asdict(state), "open": state.open, "done": state.done}
