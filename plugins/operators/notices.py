"""Tell people of an audit's alarm, by Airflow's own notifiers."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from operators.base import ProjectOperator
from trueground.review.audit_settings import EmailNotice, HttpNotice, Notice

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier, Context

    from trueground.run import Run


class NotifyOperator(ProjectOperator):
    """Tell everybody of ``audit.notify`` once when the audit's alarm begins and once when it ends.

    Who was told is kept, so the task may be repeated, and a receiver that is down neither keeps the others waiting nor
    has them told twice. Only a crash between telling and keeping can have somebody told again.
    """

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Notify who does not know yet; fails, to be tried again, where somebody could not be told."""
        from trueground.autolabel.suspension import read_audit
        from trueground.contracts import AuditExtra
        from trueground.review import alarms

        state = read_audit(run.project, run.storage)
        if "accuracy" not in state:
            return {"told": 0}
        subject, text = alarms.message(run.project.name, state)
        facts = AuditExtra(project=run.project.name, run=run.name, **state).as_extra()
        failed, told = [], 0
        for notice in alarms.to_tell(run, state):
            try:
                notifier_of(notice, subject, text, facts).notify(context)
            except Exception as error:  # whatever one receiver's trouble is, the others must be told
                self.log.exception("could not notify by %s", notice)
                failed.append(f"{notice.kind}: {error}")
                continue
            alarms.was_told(run, state, [notice])
            told += 1
        if failed:
            raise RuntimeError(f"not everybody could be told: {'; '.join(failed)}")
        return {"told": told}


def notifier_of(notice: Notice, subject: str, text: str, facts: Mapping[str, Any]) -> BaseNotifier:
    """The notifier of Airflow's provider. JSON has the text as ``text``, as chat webhooks want, beside the facts."""
    if isinstance(notice, HttpNotice):
        from airflow.providers.http.notifications.http import HttpNotifier

        return HttpNotifier(http_conn_id=notice.connection, endpoint=notice.endpoint, json={"text": text, **facts})
    if isinstance(notice, EmailNotice):
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        to = list(notice.to)
        return SmtpNotifier(
            smtp_conn_id=notice.connection, to=to, subject=subject, html_content=f"<p>{escape(text)}</p>"
        )
    from airflow.providers.amazon.aws.notifications.sns import SnsNotifier

    return SnsNotifier(aws_conn_id=notice.connection, target_arn=notice.topic, subject=subject[:100], message=text)
