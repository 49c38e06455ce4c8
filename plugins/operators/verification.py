"""Operators for verification (people judge labels) and adjustment (people correct what was rejected)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from operators.base import ProjectOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from trueground.run import Run


class _LookOperator(ProjectOperator):
    """Takes ``look``, the name of a later look at a run; empty in the run itself. Templated."""

    template_fields = (*ProjectOperator.template_fields, "look")

    def __init__(self, *, look: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.look = look


class ChooseLabelsToVerifyOperator(_LookOperator):
    """Choose the labels that the verifying team judges: the least sure ones and a random sample of the rest."""

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Write the manifest of the verification job."""
        from trueground.review import verification

        count = verification.choose(run, self.look) if run.project.verification.enabled else 0
        if count == 0:
            raise AirflowSkipException("no labels to verify")
        return {"manifest": run.uri("verification", verification.job_input(self.look)), "objects": count}


class _JobResultOperator(_LookOperator):
    """Takes ``job``, what the labeling job's task returned. Templated."""

    template_fields = (*_LookOperator.template_fields, "job")

    def __init__(self, *, job: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job


class CollectJudgementsOperator(_JobResultOperator):
    """Read the judgements; skips what follows (the adjustment) where nothing was rejected."""

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Write the manifest of the adjustment job."""
        from trueground.review import verification

        counts = verification.collect(run, self.job["output"], self.look)
        self.log.info("%d labels judged, %d rejected", counts["judged"], counts["rejected"])
        context["ti"].xcom_push("judgements", counts)
        if counts["rejected"] == 0:
            raise AirflowSkipException("no label was rejected")
        return {"manifest": run.uri("adjustment", verification.job_input(self.look)), **counts}


class AdjustLabelsOperator(_JobResultOperator):
    """Read the corrections of rejected labels."""

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Keep the adjustment's answers in the run."""
        from trueground.review import verification

        counts = verification.adjust(run, self.job["output"], self.look)
        self.log.info("%d labels looked at again, %d changed", counts["looked_at"], counts["changed"])
        return counts


class ChooseDisputesOperator(ProjectOperator):
    """The labels that are still in doubt after adjustment, as questions for one person; skips where there are none."""

    def __init__(self, **kwargs: Any) -> None:
        # A list of questions, one for each mapped task; it has no parts to name.
        super().__init__(multiple_outputs=False, **kwargs)

    def step(self, run: Run, context: Context) -> Any:
        """Return ``subject`` and ``body`` of each question."""
        from trueground.review import adjudication

        questions = adjudication.choose(run)
        if not questions:
            raise AirflowSkipException("no label is in doubt")
        return questions


class RecordDecisionsOperator(ProjectOperator):
    """Keep what one person decided.

    Args:
        decisions: what the mapped human-in-the-loop tasks returned, in the order of the questions. Templated.
    """

    template_fields = (*ProjectOperator.template_fields, "decisions")

    def __init__(self, *, decisions: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.decisions = decisions

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Write the decisions into the run."""
        from trueground.review import adjudication

        return {"decided": adjudication.decide(run, [decision["chosen_options"][0] for decision in self.decisions])}
