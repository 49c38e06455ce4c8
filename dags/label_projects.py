"""The nightly labeling pipeline of each project: an Airflow DAG `label_<name>` of each file in include/projects/.

A project whose file has a mistake is left out here and named by `broken_projects.py`.
"""

from __future__ import annotations

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk import DAG, Param, TaskGroup, TriggerRule, chain
from operators.connections import PROJECTS_FOLDER, data_root
from operators.labeling_job import LabelingJobOperator
from operators.manifests import BuildManifestOperator, CheckManifestOperator
from operators.project_dags import first_night, project_asset
from operators.publish import CheckLabelsOperator, PublishLabelsOperator
from operators.rounds import (
    AutoLabelOperator,
    ChooseObjectsOperator,
    ConsolidateOperator,
    FinishRoundOperator,
    TrainModelOperator,
)
from operators.verification import (
    AdjustLabelsOperator,
    ChooseDisputesOperator,
    ChooseLabelsToVerifyOperator,
    CollectJudgementsOperator,
    RecordDecisionsOperator,
)

from trueground.project import Project, load_projects

# Steps that follow a part which may have been skipped.
EVEN_IF_SKIPPED = {"trigger_rule": TriggerRule.NONE_FAILED}


def label_round(file: str, number: int) -> TaskGroup:
    """One round. It skips itself once every object has a label."""
    with TaskGroup(f"round_{number}") as group:
        choose = ChooseObjectsOperator(task_id="choose", project=file, number=number, **EVEN_IF_SKIPPED)
        label = LabelingJobOperator(
            task_id="label", project=file, kind="label", step=f"round-{number}", manifest=choose.output["manifest"]
        )
        consolidate = ConsolidateOperator(task_id="consolidate", project=file, number=number, job=label.output)
        train = TrainModelOperator(task_id="train", project=file, number=number)
        auto_label = AutoLabelOperator(task_id="auto_label", project=file, number=number)
        enough = FinishRoundOperator(task_id="enough", project=file, number=number)
        chain(choose, label, consolidate, train, auto_label, enough)
    return group


def verify_and_adjust(file: str, project: Project) -> TaskGroup:
    """People judge labels; what they reject, other people label again; what stays in doubt, one person decides."""
    with TaskGroup("verify") as group:
        choose = ChooseLabelsToVerifyOperator(task_id="choose", project=file, **EVEN_IF_SKIPPED)
        verify = LabelingJobOperator(
            task_id="verify", project=file, kind="verify", step="verify", manifest=choose.output["manifest"]
        )
        judge = CollectJudgementsOperator(task_id="collect", project=file, job=verify.output)
        adjust = LabelingJobOperator(
            task_id="adjust", project=file, kind="adjust", step="adjust", manifest=judge.output["manifest"]
        )
        correct = AdjustLabelsOperator(task_id="correct", project=file, job=adjust.output)
        chain(choose, verify, judge, adjust, correct)
        if project.verification.adjudicate:
            disputes = ChooseDisputesOperator(task_id="disputes", project=file)
            decide = HITLOperator.partial(task_id="decide", options=list(project.task.labels)).expand_kwargs(
                disputes.output
            )
            record = RecordDecisionsOperator(task_id="record", project=file, decisions=decide.output)
            chain(correct, disputes, decide, record)
    return group


def labeling_dag(file: str, project: Project) -> DAG:
    """The pipeline of one project."""
    labels = project_asset(project, "labels")
    with DAG(
        dag_id=f"label_{project.name.replace('-', '_')}",
        description=project.description,
        schedule=project.schedule,
        start_date=first_night(file),
        catchup=False,
        # Two runs at once would ask people for the same objects twice.
        max_active_runs=1,
        default_args={"retries": 2, "retry_delay": 10},
        tags=["labeling", project.name],
        doc_md=__doc__,
        params={
            "relabel_all": Param(
                False,
                type="boolean",
                title="Label everything again",
                description="Also what earlier runs labeled. People are asked again, which costs what it cost before.",
            )
        },
    ) as dag:
        start = BuildManifestOperator(
            task_id="build_manifest", project=file, labels=labels, relabel_all="{{ params.relabel_all }}"
        )
        check = CheckManifestOperator(task_id="check_manifest", project=file)
        rounds = [label_round(file, number) for number in range(1, project.rounds.maximum + 1)]
        steps: list = [start, check, *rounds]
        if project.verification.enabled:
            steps.append(verify_and_adjust(file, project))
        steps.append(CheckLabelsOperator(task_id="check_labels", project=file, **EVEN_IF_SKIPPED))
        if project.approval.required:
            steps.append(
                ApprovalOperator(
                    task_id="approve",
                    subject=f"Publish the labels of {project.name}?",
                    body="The checked labels: {{ ti.xcom_pull(task_ids='check_labels')['page'] }}",
                    assigned_users=[{"id": user, "name": user} for user in project.approval.users] or None,
                )
            )
        steps.append(PublishLabelsOperator(task_id="publish", project=file, labels=labels))
        chain(*steps)
    return dag


projects, _ = load_projects(PROJECTS_FOLDER, data_root=data_root())
for file, project in projects.items():
    globals()[f"label_{project.name}"] = labeling_dag(file, project)
