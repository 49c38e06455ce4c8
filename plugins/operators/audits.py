"""Operators of the audit: draw labels that no person looked at, (a verification job), record what people said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowSkipException

from operators.base import ProjectOperator
from operators.reports import ReportLink, show_report

if TYPE_CHECKING:
    from airflow.sdk import Context

    from trueground.run import Run


class DrawAuditOperator(ProjectOperator):
    """Test the newest label set for drift and draw machine labels of it; skips where there is nothing to ask.

    Args:
        labels: the asset of the project's labels.
    """

    def __init__(self, *, labels: Asset, **kwargs: Any) -> None:
        super().__init__(inlets=[labels], **kwargs)
        self.labels = labels

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Write the manifest of the night's verification job."""
        from trueground.review import audits

        published = context["asset_state_store"][self.labels].get("labels")
        if not published:
            raise AirflowSkipException("no labels were published yet")
        asked = audits.draw(run, published, run.project.audit.objects)
        if asked == 0:
            raise AirflowSkipException("no machine label that nobody judged was drawn")
        return {"manifest": audits.input_manifest(run), "objects": asked}


class RecordAuditOperator(ProjectOperator):
    """Record the judgements and tell everyone who waits for the audit; an alarm stops machine labels.

    It runs also where nobody was asked: inputs may have drifted. Skips where there was nothing to look at.

    Args:
        audit: the asset of the project's audit; its event's ``extra`` carries the state.
        job: what the verification job's task returned, ``None`` where it was skipped. Templated.
    """

    template_fields = (*ProjectOperator.template_fields, "job")
    operator_extra_links = (ReportLink(),)

    def __init__(self, *, audit: Asset, job: Any, **kwargs: Any) -> None:
        super().__init__(outlets=[audit], **kwargs)
        self.audit = audit
        self.job = job

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Bring the audit's state up to date."""
        from trueground.autolabel.suspension import is_alarm
        from trueground.contracts import AuditExtra
        from trueground.review import audits

        state = audits.collect(run, self.job and self.job["output"])
        if state is None:
            raise AirflowSkipException("no labels were published yet")
        extra = AuditExtra(project=run.project.name, run=run.name, **state).as_extra()
        context["outlet_events"][self.audit].extra = extra
        show_report(context, state["report"], run.project.connection)
        log = self.log.warning if is_alarm(state) else self.log.info
        log("the promise is %s, inputs are %s: %s", state["promise"], state["drift"], extra)
        return extra
