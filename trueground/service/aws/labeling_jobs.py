"""CreateLabelingJob, DescribeLabelingJob, ListLabelingJobs, ListLabelingJobsForWorkteam, StopLabelingJob."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trueground.service.aws.registry import operation
from trueground.service.engine import jobs, teams
from trueground.service.engine.errors import Invalid, NotFound
from trueground.service.engine.public_request import TEAM as PUBLIC_TEAM
from trueground.service.engine.public_request import is_public

if TYPE_CHECKING:
    from trueground.service.context import Service

_ENDED = ("Completed", "Stopped", "Failed")


@operation("CreateLabelingJob")
def create(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Check everything the request names, then make the job."""
    arn = jobs.create_job(service.db, service.storage, service.settings, request, service.check_template)
    return {"LabelingJobArn": arn}


@operation("DescribeLabelingJob")
def describe(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """The request, how far it is, and where its output is."""
    job = jobs.describe_job(service.db, service.settings, request["LabelingJobName"])
    return {
        **_state(job),
        "JobReferenceCode": job.reference_code,
        **{key: value for key, value in job.request.items()},
        "Tags": [{"Key": key, "Value": value} for key, value in job.tags.items()],
    }


@operation("ListLabelingJobs")
def list_(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """Labeling jobs, filtered and sorted, page by page."""
    page = jobs.list_jobs(
        service.db,
        service.settings,
        created_after=request.get("CreationTimeAfter"),
        created_before=request.get("CreationTimeBefore"),
        modified_after=request.get("LastModifiedTimeAfter"),
        modified_before=request.get("LastModifiedTimeBefore"),
        name_contains=request.get("NameContains"),
        status=request.get("StatusEquals"),
        sort_by=request.get("SortBy", "CreationTime"),
        descending=request.get("SortOrder") == "Descending",
        limit=request.get("MaxResults", 100),
        token=request.get("NextToken"),
    )
    return {"LabelingJobSummaryList": [_summary(job) for job in page.items], "NextToken": page.token}


@operation("ListLabelingJobsForWorkteam")
def list_for_workteam(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """The labeling jobs that a work team works on or has worked on, by their creation."""
    arn = request["WorkteamArn"]
    with service.db.read() as connection:
        try:
            team = PUBLIC_TEAM if is_public(arn) else teams.workteam_of_arn(connection, service.settings, arn)
        except Invalid as error:
            raise NotFound(str(error)) from None
    page = jobs.list_jobs(
        service.db,
        service.settings,
        created_after=request.get("CreationTimeAfter"),
        created_before=request.get("CreationTimeBefore"),
        workteam=team,
        reference_code_contains=request.get("JobReferenceCodeContains"),
        descending=request.get("SortOrder") == "Descending",
        limit=request.get("MaxResults", 100),
        token=request.get("NextToken"),
    )
    account = service.settings.account
    return {"LabelingJobSummaryList": [_for_workteam(job, account) for job in page.items], "NextToken": page.token}


@operation("StopLabelingJob")
def stop(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    """No new tasks from now on; the output follows."""
    jobs.stop_job(service.db, request["LabelingJobName"])
    return {}


def _summary(job: jobs.Job) -> dict[str, Any]:
    human = job.request["HumanTaskConfig"]
    return {
        **_state(job),
        "WorkteamArn": human["WorkteamArn"],
        "PreHumanTaskLambdaArn": human.get("PreHumanTaskLambdaArn"),
        "AnnotationConsolidationLambdaArn": human.get("AnnotationConsolidationConfig", {}).get(
            "AnnotationConsolidationLambdaArn"
        ),
        "InputConfig": job.request["InputConfig"],
    }


def _for_workteam(job: jobs.Job, account: str) -> dict[str, Any]:
    return {
        "LabelingJobName": job.name,
        "JobReferenceCode": job.reference_code,
        "WorkRequesterAccountId": account,
        "CreationTime": job.created_at,
        "LabelCounters": {
            "HumanLabeled": job.human_labeled,
            "PendingHuman": sum(job.counts.get(state, 0) for state in ("unprepared", "waiting", "started")),
            "Total": job.objects,
        },
        "NumberOfHumanWorkersPerDataObject": job.request["HumanTaskConfig"]["NumberOfHumanWorkersPerDataObject"],
    }


def _state(job: jobs.Job) -> dict[str, Any]:
    """What a description and a line of the list have in common."""
    labeled = job.human_labeled + job.machine_labeled + job.already_labeled
    output = {"OutputDatasetS3Uri": job.output_manifest, "FinalActiveLearningModelArn": job.final_model}
    return {
        "LabelingJobName": job.name,
        "LabelingJobArn": job.arn,
        "LabelingJobStatus": job.status,
        "LabelCounters": {
            "TotalLabeled": labeled,
            "HumanLabeled": job.human_labeled,
            "MachineLabeled": job.machine_labeled,
            "FailedNonRetryableError": job.failed,
            "Unlabeled": job.objects - labeled - job.failed,
        },
        "FailureReason": job.failure_reason,
        "CreationTime": job.created_at,
        "LastModifiedTime": job.modified_at,
        "LabelingJobOutput": output if job.status in _ENDED else None,
    }
