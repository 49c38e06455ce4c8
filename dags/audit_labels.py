"""Audits: a DAG `audit_<name>` of each project that wants one. People judge a few machine labels each night."""

from __future__ import annotations

from airflow.sdk import DAG, TriggerRule, chain
from operators.audits import DrawAuditOperator, RecordAuditOperator
from operators.connections import PROJECTS_FOLDER, data_root
from operators.dag_docs import audit_docs
from operators.labeling_job import LabelingJobOperator
from operators.notices import NotifyOperator
from operators.project_dags import first_night, project_asset, timetable

from trueground.project import Project, load_projects


def audit_dag(file: str, project: Project) -> DAG:
    """Draw, have people judge, record: an alarm stops machine labels until all is well again."""
    with DAG(
        dag_id=f"audit_{project.name.replace('-', '_')}",
        description=f"Audit the machine labels of {project.name}",
        schedule=timetable(project, project.audit.schedule),
        start_date=first_night(file),
        catchup=False,
        # Two nights at once could ask about the same labels.
        max_active_runs=1,
        default_args={"retries": 2, "retry_delay": 10},
        tags=["audit", project.name],
        doc_md=audit_docs(file, project),
    ) as dag:
        draw = DrawAuditOperator(task_id="draw", project=file, labels=project_asset(project, "labels"))
        judge = LabelingJobOperator(
            task_id="judge", project=file, kind="verify", step="audit", manifest=draw.output["manifest"]
        )
        record = RecordAuditOperator(
            task_id="record",
            project=file,
            audit=project_asset(project, "audit"),
            job=judge.output,
            trigger_rule=TriggerRule.NONE_FAILED,
        )
        chain(draw, judge, record)
        if project.audit.notify:
            chain(record, NotifyOperator(task_id="notify", project=file))
    return dag


projects, _ = load_projects(PROJECTS_FOLDER, data_root=data_root())
for file, project in projects.items():
    if project.audit.enabled:
        globals()[f"audit_{project.name}"] = audit_dag(file, project)
