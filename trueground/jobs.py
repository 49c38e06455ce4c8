"""The request that starts a labeling job for a project: the same on AWS and here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trueground.crowd_elements import ELEMENTS, CrowdElement
from trueground.errors import InputError
from trueground.project import People
from trueground.review.verification import JUDGEMENTS
from trueground.run import Run
from trueground.tasks import label_category_config, task_type
from trueground.tasks.base import TaskType
from trueground.template_check import Labels, check_template, reject_errors, warnings_of
from trueground.templates import fill

Kind = Literal["label", "verify", "adjust"]

FUNCTION_ACCOUNTS = {
    "us-east-1": "432418664414",
    "us-east-2": "266458841044",
    "us-west-2": "081040173940",
    "ca-central-1": "918755190332",
    "eu-west-1": "568282634449",
    "eu-west-2": "487402164563",
    "eu-central-1": "203001061592",
    "ap-northeast-1": "477331159723",
    "ap-northeast-2": "845288260483",
    "ap-south-1": "565803892007",
    "ap-southeast-1": "377565633583",
    "ap-southeast-2": "454466003867",
}
"""The AWS accounts that own Ground Truth's built-in functions, by region."""


@dataclass(frozen=True)
class Work:
    """What one kind of job asks of people."""

    task_type: TaskType
    template: str
    categories: list[str]
    attribute: str
    team: str
    workers: int
    title: str
    description: str
    short_instructions: str
    full_instructions: str


def work_of(run: Run, kind: Kind) -> Work:
    """The work of a labeling, adjustment or verification job of the run's project."""
    project = run.project
    task = project.task
    if kind == "verify":
        return Work(
            task_type=task_type("label-verification"),
            template="label-verification",
            categories=JUDGEMENTS,
            attribute=f"verify-{project.label_attribute.removesuffix('-ref')}",
            team=project.verification.team,
            workers=project.verification.workers_per_object,
            title=f"Check: {task.title}",
            description="Say whether the label fits.",
            short_instructions="<p>Is the label shown with the object the right one?</p>",
            full_instructions=task.instructions.full,
        )
    return Work(
        task_type=run.task_type,
        template=task.template or task.type,
        categories=run.categories,
        attribute=project.label_attribute,
        team=project.people.team,
        workers=project.people.workers_per_object,
        title=task.title if kind == "label" else f"Again: {task.title}",
        description=task.description,
        short_instructions=task.instructions.short,
        full_instructions=task.instructions.full,
    )


def job_name(run: Run, step: str) -> str:
    """The job's name: the same each time the same step of the same run asks, so that a retry finds its job."""
    return run.project.job_name(run.name, step)


def prepare_job(
    run: Run,
    kind: Kind,
    step: str,
    *,
    manifest: str,
    team_arn: str,
    role_arn: str,
    region: str,
    templates: Path,
    tags: Mapping[str, str],
    elements: Mapping[str, CrowdElement] = ELEMENTS,
    warn: Callable[[str], object] = lambda warning: None,
) -> dict[str, Any]:
    """Put the template and the label categories beside the manifest and return the ``CreateLabelingJob`` request.

    Args:
        run: the run.
        kind: what people are asked: to label, to verify, to adjust.
        step: names the job in the run, such as ``round-1``.
        manifest: the URI of the objects.
        team_arn: the work team.
        role_arn: the role Ground Truth works under.
        region: decides whose built-in functions are named.
        templates: the folder with one template folder a task type.
        tags: kept with the job.
        elements: the ``crowd-*`` elements that are defined where people work.
        warn: called with each sentence about what may not work in the template.

    Raises:
        InputError: there is no such template, people could not work with it, or the region has no built-in functions.
    """
    work = work_of(run, kind)
    folder = run.uri("jobs", step)
    source = templates / work.template / "template.liquid.html"
    if not source.is_file():
        raise InputError(
            "there is no such template", file=str(source), hint="Make it, or name another in task.template."
        )
    page = fill(
        source.read_text("utf-8"),
        header=work.title,
        short=work.short_instructions,
        full=work.full_instructions,
        categories=work.categories,
        label_attribute=run.project.label_attribute,
    )
    findings = check_template(page, labels=Labels(work.categories, work.task_type.elements), elements=elements)
    reject_errors(findings, file=str(source))
    for warning in warnings_of(findings):
        warn(f"{source}: {warning}")
    run.storage.write_text(f"{folder}/template.liquid.html", page)
    run.storage.write_text(f"{folder}/label-categories.json", json.dumps(label_category_config(work.categories)))
    people = run.project.people
    return {
        "LabelingJobName": job_name(run, step),
        "LabelAttributeName": work.attribute,
        "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": manifest}}},
        "OutputConfig": {"S3OutputPath": f"{run.project.output}/jobs"},
        "RoleArn": role_arn,
        "LabelCategoryConfigS3Uri": f"{folder}/label-categories.json",
        "HumanTaskConfig": {
            "WorkteamArn": team_arn,
            "UiConfig": {"UiTemplateS3Uri": f"{folder}/template.liquid.html"},
            "PreHumanTaskLambdaArn": _function_arn(region, work.task_type.pre_functions[0]),
            "AnnotationConsolidationConfig": {
                "AnnotationConsolidationLambdaArn": _function_arn(region, work.task_type.post_functions[0])
            },
            # The API takes one keyword or more, or none of the field.
            **({"TaskKeywords": list(run.project.task.keywords)} if run.project.task.keywords else {}),
            "TaskTitle": work.title,
            "TaskDescription": work.description,
            "NumberOfHumanWorkersPerDataObject": work.workers,
            "TaskTimeLimitInSeconds": people.task_time_limit,
            "TaskAvailabilityLifetimeInSeconds": people.availability,
        },
        "Tags": [{"Key": key, "Value": value} for key, value in {**tags, **_options(people, kind)}.items()],
    }


def _options(people: People, kind: Kind) -> dict[str, str]:
    """What the AWS API has no member for, as tags that our labeling service reads and AWS only keeps."""
    options: dict[str, object] = {"priority": people.priority or None}
    if kind == "label" and people.most_workers_per_object is not None:
        options |= {"workers-max": people.most_workers_per_object, "confidence": people.confidence}
    if kind == "label" and people.gold is not None:
        gold = people.gold
        options |= {"gold": gold.manifest, "gold-share": gold.share, "qualification": gold.qualification}
        if gold.limit is not None:
            options |= {"gold-limit": gold.limit, "gold-policy": gold.policy}
    return {f"trueground:{name}": str(value) for name, value in options.items() if value is not None}


def same_work(request: Mapping[str, Any], job: Mapping[str, Any]) -> bool:
    """Whether a job that exists (``DescribeLabelingJob``) is the one that this request would create."""
    return all(request[key] == job.get(key) for key in ("LabelAttributeName", "InputConfig"))


def _function_arn(region: str, function: str) -> str:
    account = FUNCTION_ACCOUNTS.get(region)
    if account is None:
        raise InputError(
            f"Ground Truth has no built-in functions in region {region!r}",
            hint=f"Set region_name of the connection to one of {', '.join(sorted(FUNCTION_ACCOUNTS))}.",
        )
    return f"arn:aws:lambda:{region}:{account}:function:{function}"
