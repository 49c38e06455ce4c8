"""What the page of a project's DAG in Airflow says to whoever reads it: data, people, promise, and links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote

from operators.connections import data_root
from operators.project_dags import zone_of
from operators.reports import portal_url, report_url
from trueground.storage import as_uri

if TYPE_CHECKING:
    from trueground.project import Data, Project
    from trueground.project_files import ProjectFile
    from trueground.review.project import ReviewProject


def description_of(project: ProjectFile, does: str = "") -> str:
    """One line for the list of DAGs: what it does, the project's own words, and why it starts paused."""
    paused = f"Paused: {project.paused}" if project.paused else ""
    return " ".join(part for part in (does, project.description or f"Project {project.name}.", paused) if part)


def labeling_docs(file: str, project: Project) -> str:
    """The page of `label_<name>`."""
    task, people, verification = project.task, project.people, project.verification
    most = people.most_workers_per_object
    workers = f"{people.workers_per_object} to {most}" if most else str(people.workers_per_object)
    checked = (
        f"then `{verification.team}` verify {verification.sample} labels drawn at random and the "
        f"{verification.least_sure} least sure"
        if verification.enabled
        else "nobody verifies labels, so there is no certificate of what people labeled"
    )
    promise = (
        f"at least {project.auto_label.accuracy:.0%} of the machine's labels are right, with "
        f"{project.auto_label.confidence:.0%} confidence"
        if project.auto_label.enabled
        else "people label everything"
    )
    facts = [
        ("Question", f"{task.title} ({task.type}: {_some(task.labels)})"),
        ("Data", _data(project.data)),
        ("People", f"`{people.team}`, {workers} answers per object; {checked}"),
        ("Promise", promise),
        ("Output", f"`{_short(project.output)}`, label attribute `{project.label_attribute}`"),
        ("Runs", _runs(project, project.schedule)),
    ]
    dag = _dag("label", project)
    links = [("Last report", report_url(dag, "publish")), ("Last check of the data", report_url(dag, "check_manifest"))]
    return _page(project, file, facts, links)


def continuing_docs(file: str, project: Project) -> str:
    """The page of `continue_<name>`."""
    facts = [
        ("For", f"a run of `{_dag('label', project)}` that stopped early, or whose labels need more verification"),
        ("More rounds", f"`{project.people.team}` label what has no label"),
        ("Verify", f"`{project.verification.team}` judge labels that nobody judged yet"),
        ("Asked twice", "nobody is, also where this is repeated"),
        ("Output", "another label set of the same run"),
    ]
    return _page(project, file, facts, [("Last report", report_url(_dag("continue", project), "publish"))])


def retraining_docs(file: str, project: Project) -> str:
    """The page of `retrain_<name>`."""
    settings = project.retrain
    decides = {
        "rule": "a new model becomes the current one if it is better by more than chance",
        "approval": f"a new model becomes the current one once {_any(settings.approvers)} approves it in Airflow",
    }[settings.promote]
    facts = [
        (
            "Learns from",
            f"published labels of `{project.name}`" + "".join(f", reviews of `{n}`" for n in settings.reviews),
        ),
        ("Trainer", settings.trainer.kind),
        ("Test", f"{settings.test_share:.0%} of the objects, always the same ones"),
        ("Decision", decides),
        ("Runs", f"when labels or reviews are published, and {_runs(project, settings.schedule)}"),
        ("Way back", f"`{_dag('roll_back', project)}` makes an earlier model the current one again"),
    ]
    return _page(project, file, facts, [("Last model card", report_url(_dag("retrain", project), "retrain"))])


def audit_docs(file: str, project: Project) -> str:
    """The page of `audit_<name>`."""
    audit = project.audit
    facts = [
        ("Question", f"Is the promise still true: {project.auto_label.accuracy:.0%} of machine labels right?"),
        ("People", f"`{project.verification.team}` judge up to {audit.objects} machine labels each time"),
        ("Alarm", "the machine labels nothing more until all is well again"),
        ("Notified", ", ".join(notice.kind for notice in audit.notify) or "nobody"),
        ("Runs", _runs(project, audit.schedule)),
    ]
    return _page(project, file, facts, [("Last report", report_url(_dag("audit", project), "record"))])


def review_docs(file: str, project: ReviewProject) -> str:
    """The page of `review_<name>`."""
    review, source = project.review, project.source
    others = [
        f"then `{team}` {does}"
        for team, does in (
            (review.second_team, "look at what is not agreed on"),
            (review.escalation_team, "decide what is still in doubt"),
        )
        if team is not None
    ]
    predicted = getattr(source, "predictions", None)
    facts = [
        ("Predictions", f"{source.kind}: " + (f"`{_short(predicted)}`" if predicted else _data(source))),
        ("Chosen", "by the activation conditions of the project file" if project.conditions else "all are reviewed"),
        ("People", "; ".join([f"`{review.team}`, {review.reviewers_per_object} per object", *others])),
        ("Output", f"`{_short(project.output)}`"),
        ("Runs", _runs(project, project.schedule)),
    ]
    return _page(project, file, facts, [("Human loops", portal_url("/jobs"))])


def _page(project: ProjectFile, file: str, facts: Sequence[tuple[str, str]], links: Sequence[tuple[str, str]]) -> str:
    paused = f"\n\n**This DAG starts paused.** {project.paused}" if project.paused else ""
    lines = "\n".join(f"- **{name}**: {text}" for name, text in facts)
    named = " · ".join(f"[{name}]({url})" for name, url in [("Labeling jobs", portal_url("/jobs")), *links])
    return f"{project.description}{paused}\n\n{lines}\n\n{named}\n\nDeclared in `include/projects/{file}`."


def _dag(prefix: str, project: ProjectFile) -> str:
    return f"{prefix}_{project.name.replace('-', '_')}"


def _data(data: Data) -> str:
    if data.manifest is not None:
        return f"the objects of `{_short(data.manifest)}`"
    return f"every file below `{_short(str(data.prefix))}`, each once"


def _short(uri: str) -> str:
    """A URI as the project file has it: below the data root without that, quotes undone."""
    root = as_uri(data_root()).rstrip("/") + "/"
    return unquote(uri.removeprefix(root)) if uri.startswith(root) else uri


def _runs(project: ProjectFile, schedule: str | None) -> str:
    return f"`{schedule}`, time zone {zone_of(project)}" if schedule else "only when somebody triggers it"


def _some(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:10])
    return shown if len(labels) <= 10 else f"{shown} and {len(labels) - 10} more"


def _any(users: Sequence[str]) -> str:
    return " or ".join(f"`{user}`" for user in users) or "somebody"
