"""The clients that people have drive the service unchanged: the AWS CLI, boto3, aiobotocore and sagemaker-core."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from trueground.service import aws
from trueground.service.aws.model import loop_model, service_model
from trueground.service.aws.registry import LOOP_OPERATIONS, OPERATIONS
from trueground.service.engine import answering, leasing

# What AWS answers where the models of the services name no error of their own.
COMMON = {
    "ValidationException", "SerializationException", "UnknownOperationException", "InternalFailure",
    "ThrottlingException", "RequestEntityTooLargeException", "IncompleteSignatureException",
    "InvalidSignatureException", "MissingAuthenticationTokenException", "UnrecognizedClientException",
    "RequestTimeoutException", "ServiceUnavailable",
}  # fmt: skip
ISSUE = {
    "CreateLabelingJob", "DescribeLabelingJob", "ListLabelingJobs", "ListLabelingJobsForWorkteam", "StopLabelingJob",
    "CreateWorkteam", "DescribeWorkteam", "ListWorkteams", "UpdateWorkteam", "DeleteWorkteam",
    "DescribeSubscribedWorkteam", "ListSubscribedWorkteams",
    "CreateWorkforce", "DescribeWorkforce", "ListWorkforces", "UpdateWorkforce", "DeleteWorkforce",
    "CreateFlowDefinition", "DescribeFlowDefinition", "ListFlowDefinitions", "DeleteFlowDefinition",
    "CreateHumanTaskUi", "DescribeHumanTaskUi", "ListHumanTaskUis", "DeleteHumanTaskUi", "RenderUiTemplate",
    "AddTags", "ListTags", "DeleteTags",
}  # fmt: skip


def _environment(service: Any, **more: str) -> dict[str, str]:
    """What a client in a process of its own is told, and nothing of this machine's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    keys = {name.upper(): value for name, value in service.credentials.items()}
    return {**kept, **keys, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", **more}


@pytest.fixture
def command(service: Any) -> Callable[..., Any]:
    """``command("sagemaker", "list-workteams", ...)``: the AWS CLI; its JSON."""

    def run(*arguments: str, fails: bool = False) -> Any:
        program = Path(sys.executable).parent / "aws"
        done = subprocess.run(
            [str(program), "--endpoint-url", service.url, "--output", "json", *arguments],
            env=_environment(service),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else json.loads(done.stdout or "null")

    return run


def test_all_operations_of_the_issue_are_offered_and_no_others() -> None:
    assert set(OPERATIONS) == ISSUE
    assert set(OPERATIONS) <= set(service_model().operation_names)
    assert set(LOOP_OPERATIONS) == set(loop_model().operation_names)


def test_every_error_code_is_one_that_aws_knows() -> None:
    for model, operations in ((service_model(), OPERATIONS), (loop_model(), LOOP_OPERATIONS)):
        known = {shape.name for name in model.operation_names for shape in model.operation_model(name).error_shapes}
        for operation in operations.values():
            assert {operation.not_found, operation.failure} <= known | COMMON
    source = "".join(path.read_text() for path in Path(aws.__file__).parent.glob("*.py"))
    raised = {part.split('"')[0] for part in source.split('AwsError("')[1:]}
    both = {
        shape.name
        for model in (service_model(), loop_model())
        for name in model.operation_names
        for shape in model.operation_model(name).error_shapes
    }
    assert raised and raised <= both | COMMON


def test_boto3_finds_out_by_itself_what_is_wrong(sagemaker: Any, a2i: Any) -> None:
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_flow_definition(FlowDefinitionName="none")
    with pytest.raises(a2i.exceptions.ResourceNotFoundException):
        a2i.describe_human_loop(HumanLoopName="none")
    with pytest.raises(ClientError, match="flowDefinitionArn"):
        a2i.list_human_loops(FlowDefinitionArn="x")


def test_the_aws_cli_reviews_something(service: Any, command: Callable[..., Any], tmp_path: Path) -> None:
    worker = service.add_worker("ada")
    (tmp_path / "ui.html").write_text("<crowd-form>{{ task.input.words }}<input name='q'></crowd-form>")
    ui = command(
        "sagemaker", "create-human-task-ui", "--human-task-ui-name", "words",
        "--ui-template", json.dumps({"Content": (tmp_path / "ui.html").read_text()}),
    )["HumanTaskUiArn"]  # fmt: skip
    review = {
        "WorkteamArn": service.settings.arn("workteam/private-crowd/annotators"),
        "HumanTaskUiArn": ui, "TaskTitle": "Check", "TaskDescription": "Check it.", "TaskCount": 1,
    }  # fmt: skip
    flow = command(
        "sagemaker", "create-flow-definition", "--flow-definition-name", "words",
        "--human-loop-config", json.dumps(review),
        "--output-config", f"S3OutputPath=file://{service.data_root}/reviews",
        "--role-arn", "arn:aws:iam::000000000000:role/labeling",
    )["FlowDefinitionArn"]  # fmt: skip
    command(
        "sagemaker-a2i-runtime", "start-human-loop", "--human-loop-name", "first", "--flow-definition-arn", flow,
        "--human-loop-input", json.dumps({"InputContent": '{"words": "hello"}'}),
    )  # fmt: skip
    lease = leasing.next_assignment(service.db, worker, "words")
    assert lease is not None
    answering.submit_answer(service.db, lease.id, worker, {"words": "hello"}, 1.0)
    while True:
        loop = command("sagemaker-a2i-runtime", "describe-human-loop", "--human-loop-name", "first")
        if loop["HumanLoopStatus"] != "InProgress":
            break
    assert loop["HumanLoopStatus"] == "Completed"
    listed = command(
        "sagemaker-a2i-runtime", "list-human-loops", "--flow-definition-arn", flow,
        "--creation-time-after", "2020-01-01", "--max-items", "5",
    )  # fmt: skip
    assert [one["HumanLoopName"] for one in listed["HumanLoopSummaries"]] == ["first"]
    error = command("sagemaker-a2i-runtime", "stop-human-loop", "--human-loop-name", "first", fails=True)
    assert "ValidationException" in error
    command("sagemaker-a2i-runtime", "delete-human-loop", "--human-loop-name", "first")


def test_the_aws_cli_manages_people(command: Callable[..., Any]) -> None:
    # There is one workforce in a region: the first one makes room once it has no work team.
    command("sagemaker", "delete-workteam", "--workteam-name", "annotators")
    command("sagemaker", "create-workforce", "--workforce-name", "clinic")
    command(
        "sagemaker", "create-workteam", "--workteam-name", "nurses", "--workforce-name", "clinic",
        "--member-definitions", '[{"OidcMemberDefinition": {"Groups": ["nurses"]}}]', "--description", "Nurses.",
    )  # fmt: skip
    team = command("sagemaker", "describe-workteam", "--workteam-name", "nurses")["Workteam"]
    command("sagemaker", "add-tags", "--resource-arn", team["WorkteamArn"], "--tags", "Key=site,Value=north")
    tags = command("sagemaker", "list-tags", "--resource-arn", team["WorkteamArn"])["Tags"]
    assert tags == [{"Key": "site", "Value": "north"}]
    error = command("sagemaker", "list-tags", "--resource-arn", team["WorkforceArn"], fails=True)
    assert "Invalid resource type: workforce" in error
    assert command("sagemaker", "delete-workteam", "--workteam-name", "nurses") == {"Success": True}


def test_aiobotocore_labels_and_reviews(
    service: Any, job_request: Callable[..., dict[str, Any]], flow_request: Callable[..., dict[str, Any]]
) -> None:
    async def drive() -> tuple[str, str, int]:
        session = get_session()
        options = {"endpoint_url": service.url, "region_name": "us-east-1", **service.credentials}
        async with (
            session.create_client("sagemaker", **options) as sagemaker,
            session.create_client("sagemaker-a2i-runtime", **options) as a2i,
        ):
            await sagemaker.create_labeling_job(**job_request())
            job = await sagemaker.describe_labeling_job(LabelingJobName="animals")
            flow = (await sagemaker.create_flow_definition(**flow_request()))["FlowDefinitionArn"]
            names = [f"loop-{number}" for number in range(5)]
            await asyncio.gather(
                *(
                    a2i.start_human_loop(
                        HumanLoopName=name, FlowDefinitionArn=flow, HumanLoopInput={"InputContent": "{}"}
                    )
                    for name in names
                )
            )
            pages = a2i.get_paginator("list_human_loops").paginate(
                FlowDefinitionArn=flow, PaginationConfig={"PageSize": 2}
            )
            found = [loop["HumanLoopName"] async for page in pages for loop in page["HumanLoopSummaries"]]
            assert sorted(found) == names
            await a2i.stop_human_loop(HumanLoopName="loop-0")
            status = (await a2i.describe_human_loop(HumanLoopName="loop-0"))["HumanLoopStatus"]
            return job["LabelingJobStatus"], status, len(found)

    job, loop, count = asyncio.run(drive())
    assert (job, count) == ("InProgress", 5)
    assert loop in ("Stopping", "Stopped")


def test_sagemaker_core_makes_one_of_everything(service: Any, job_request: Callable[..., dict[str, Any]]) -> None:
    worker = service.add_worker("ada")
    program = Path(__file__).parent / "core_client.py"
    done = subprocess.Popen(
        [sys.executable, str(program), json.dumps(job_request())],
        env=_environment(service, AWS_ENDPOINT_URL_SAGEMAKER=service.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        end = time.monotonic() + 100
        while done.poll() is None and time.monotonic() < end:
            # The program describes its job as it is at first; then it waits for the job's end.
            time.sleep(1.5)
            service.answer("animals", worker, most=1)
        said = done.communicate(timeout=10)[0]
    finally:
        done.kill()
    assert done.returncode == 0, said[-3000:]
    assert json.loads(said.splitlines()[-1]) == {
        "job": "InProgress",
        "flow": "Active",
        "task_count": 2,
        "ui": "Active",
        "workforce": "Active",
        "team": service.settings.arn("workteam/private-crowd/annotators"),
        "teams": ["annotators"],
        "jobs": ["animals"],
        "job_at_last": "Completed",
    }
