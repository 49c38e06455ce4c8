"""The tasks of a labeling run, between its manifest and its label set: what all labeling DAGs share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk import TaskGroup, TriggerRule, chain

from operators.labeling_job import LabelingJobOperator
from operators.manifests import CheckManifestOperator
from operators.publish import CheckLabelsOperator
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

if TYPE_CHECKING:
    from trueground.project import Project

# Steps that follow a part which may have been skipped.
EVEN_IF_SKIPPED = {"trigger_rule": TriggerRule.NONE_FAILED}


def labeling_steps(project: Any, *, rounds: int, verified: bool, decide_among: Sequence[str] = ()) -> list[Any]:
    """Check the manifest, label in rounds, verify, check the labels: to be chained.

    Args:
        project: a project's file name, or its URI; it may be the output of a task.
        rounds: as many rounds; those that a project does not have skip themselves.
        verified: whether a second team looks at labels.
        decide_among: the labels that one person chooses from where labels stay in doubt; empty: nobody decides.
    """
    return [
        CheckManifestOperator(task_id="check_manifest", project=project),
        *(label_round(project, f"round_{number}", number) for number in range(1, rounds + 1)),
        *([verify_and_adjust(project, decide_among)] if verified else []),
        CheckLabelsOperator(task_id="check_labels", project=project, **EVEN_IF_SKIPPED),
    ]


def approval(project: Project) -> list[ApprovalOperator]:
    """Somebody must agree before labels are published, where the project says so."""
    if not project.approval.required:
        return []
    return [
        ApprovalOperator(
            task_id="approve",
            subject=f"Publish the labels of {project.name}?",
            body="The checked labels: {{ ti.xcom_pull(task_ids='check_labels')['page'] }}",
            assigned_users=[{"id": user, "name": user} for user in project.approval.users] or None,
        )
    ]


def label_round(project: Any, name: str, number: int | str) -> TaskGroup:
    """One round, its number from 1, or a template. It skips itself once every object has a label."""
    with TaskGroup(name) as group:
        choose = ChooseObjectsOperator(task_id="choose", project=project, number=number, **EVEN_IF_SKIPPED)
        label = LabelingJobOperator(
            task_id="label", project=project, kind="label", step=f"round-{number}", manifest=choose.output["manifest"]
        )
        consolidate = ConsolidateOperator(task_id="consolidate", project=project, number=number, job=label.output)
        train = TrainModelOperator(task_id="train", project=project, number=number)
        auto_label = AutoLabelOperator(task_id="auto_label", project=project, number=number)
        enough = FinishRoundOperator(task_id="enough", project=project, number=number)
        chain(choose, label, consolidate, train, auto_label, enough)
    return group


def verify_and_adjust(project: Any, decide_among: Sequence[str] = (), look: str = "") -> TaskGroup:
    """People judge labels; what they reject, other people label again; what stays in doubt, one person decides.

    ``look`` names a later look at a run, which asks only about what was not judged before.
    """
    suffix = f"-{look}" if look else ""
    with TaskGroup("verify") as group:
        choose = ChooseLabelsToVerifyOperator(task_id="choose", project=project, look=look, **EVEN_IF_SKIPPED)
        verify = LabelingJobOperator(
            task_id="verify", project=project, kind="verify", step=f"verify{suffix}", manifest=choose.output["manifest"]
        )
        judge = CollectJudgementsOperator(task_id="collect", project=project, job=verify.output, look=look)
        adjust = LabelingJobOperator(
            task_id="adjust", project=project, kind="adjust", step=f"adjust{suffix}", manifest=judge.output["manifest"]
        )
        correct = AdjustLabelsOperator(task_id="correct", project=project, job=adjust.output, look=look)
        chain(choose, verify, judge, adjust, correct)
        if decide_among:
            disputes = ChooseDisputesOperator(task_id="disputes", project=project)
            decide = HITLOperator.partial(task_id="decide", options=list(decide_among)).expand_kwargs(disputes.output)
            record = RecordDecisionsOperator(task_id="record", project=project, decisions=decide.output)
            chain(correct, disputes, decide, record)
    return group
