"""What people look at: the label report, the page of failed checks, the model card, the table."""

from trueground.reports.data import (
    Accuracy,
    Bound,
    Change,
    CheckLine,
    ClassCount,
    LabelReport,
    Link,
    Round,
    Sample,
    Verification,
    Worker,
)
from trueground.reports.pages import render_audit_report, render_checks_page, render_label_report, render_model_report

__all__ = [
    "Accuracy",
    "Bound",
    "Change",
    "CheckLine",
    "ClassCount",
    "LabelReport",
    "Link",
    "Round",
    "Sample",
    "Verification",
    "Worker",
    "render_audit_report",
    "render_checks_page",
    "render_label_report",
    "render_model_report",
]
