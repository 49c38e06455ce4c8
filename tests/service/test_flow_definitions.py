"""Flow definitions, over real HTTP with real boto3."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

TEXTRACT = {"AwsManagedHumanLoopRequestSource": "AWS/Textract/AnalyzeDocument/Forms/V1"}
REKOGNITION = {"AwsManagedHumanLoopRequestSource": "AWS/Rekognition/DetectModerationLabels/Image/V3"}
FLOWS = "arn:aws:sagemaker:us-east-1:000000000000:flow-definition/"


def _activation(conditions: Any) -> dict[str, Any]:
    text = conditions if isinstance(conditions, str) else json.dumps(conditions)
    return {"HumanLoopActivationConditionsConfig": {"HumanLoopActivationConditions": text}}


def test_a_flow_definition_is_described_as_it_was_asked_for(sagemaker: Any, flow_request: Callable[..., Any]) -> None:
    request = flow_request(count=3, TaskKeywords=["audio"], TaskTimeLimitInSeconds=600)
    arn = sagemaker.create_flow_definition(**request, Tags=[{"Key": "site", "Value": "north"}])["FlowDefinitionArn"]
    assert arn == FLOWS + "transcripts"
    flow = sagemaker.describe_flow_definition(FlowDefinitionName="transcripts")
    assert (flow["FlowDefinitionArn"], flow["FlowDefinitionStatus"]) == (arn, "Active")
    assert {key: flow[key] for key in request} == request
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "site", "Value": "north"}]


def test_flow_definitions_are_listed_by_their_creation(sagemaker: Any, make_flow: Callable[..., str]) -> None:
    for name in ("b", "a", "c"):
        make_flow(name)
        time.sleep(0.002)
    pages = list(sagemaker.get_paginator("list_flow_definitions").paginate(PaginationConfig={"PageSize": 2}))
    names = [[flow["FlowDefinitionName"] for flow in page["FlowDefinitionSummaries"]] for page in pages]
    assert names == [["b", "a"], ["c"]]
    newest = sagemaker.list_flow_definitions(SortOrder="Descending")["FlowDefinitionSummaries"]
    assert [flow["FlowDefinitionName"] for flow in newest] == ["c", "a", "b"]


def test_a_labeling_job_may_have_the_name_of_a_flow_definition(
    sagemaker: Any, make_flow: Callable[..., str], make_job: Callable[..., str]
) -> None:
    make_flow("animals")
    make_job("animals")
    assert sagemaker.describe_labeling_job(LabelingJobName="animals")["LabelCounters"]["Unlabeled"] == 3
    assert len(sagemaker.list_labeling_jobs()["LabelingJobSummaryList"]) == 1
    make_flow("birds")
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.stop_labeling_job(LabelingJobName="birds")


def test_a_deleted_flow_definition_is_gone_and_its_name_free(
    sagemaker: Any, make_flow: Callable[..., str], next_second: Callable[[], None]
) -> None:
    make_flow()
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="already a flow definition"):
        make_flow()
    with pytest.raises(ClientError, match="still gets work from 'transcripts'"):
        sagemaker.delete_workteam(WorkteamName="annotators")
    next_second()
    sagemaker.delete_flow_definition(FlowDefinitionName="transcripts")
    next_second()
    for operation in (sagemaker.describe_flow_definition, sagemaker.delete_flow_definition):
        with pytest.raises(sagemaker.exceptions.ResourceNotFound):
            operation(FlowDefinitionName="transcripts")
    make_flow()
    next_second()
    sagemaker.delete_flow_definition(FlowDefinitionName="transcripts")
    assert sagemaker.delete_workteam(WorkteamName="annotators")["Success"] is True


def test_activation_conditions_are_kept(sagemaker: Any, make_flow: Callable[..., str]) -> None:
    conditions = {
        "Conditions": [
            {
                "Or": [
                    {
                        "ConditionType": "ImportantFormKeyConfidenceCheck",
                        "ConditionParameters": {"ImportantFormKey": "Pay Date", "WordBlockConfidenceLessThan": 60},
                    },
                    {
                        "And": [
                            {"ConditionType": "Sampling", "ConditionParameters": {"RandomSamplingPercentage": 5}},
                            {
                                "ConditionType": "MissingImportantFormKey",
                                "ConditionParameters": {"ImportantFormKey": "*", "ImportantFormKeyAliases": ["x"]},
                            },
                        ]
                    },
                ]
            }
        ]
    }
    make_flow(HumanLoopRequestSource=TEXTRACT, HumanLoopActivationConfig=_activation(conditions))
    flow = sagemaker.describe_flow_definition(FlowDefinitionName="transcripts")
    assert flow["HumanLoopActivationConfig"] == _activation(conditions)
    assert flow["HumanLoopRequestSource"] == TEXTRACT


SAMPLING = {"ConditionType": "Sampling", "ConditionParameters": {"RandomSamplingPercentage": 5}}


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ("{]", "not JSON"),
        ({"Conditions": []}, "1 or more"),
        ({"Conditions": [SAMPLING], "More": 1}, "one key"),
        ({"Conditions": [{"And": [SAMPLING]}]}, r"Conditions\[0\]\.And: must be a list of 2"),
        ({"Conditions": [{"ConditionType": "ImportantFormKeyConfidenceCheck"}]}, r"\[0\]\.ConditionType: must be one"),
        ({"Conditions": [{"ConditionType": "ModerationLabelConfidenceCheck"}]}, "needs ModerationLabelName"),
        ({"Conditions": [{**SAMPLING, "ConditionParameters": {"RandomSamplingPercentage": 0}}]}, "from 0.01 to 100"),
        ({"Conditions": [{**SAMPLING, "ConditionParameters": {"Confidence": 1}}]}, "no such parameter"),
        ({"Conditions": [{"Or": [SAMPLING, {"Or": [SAMPLING, {"Or": [SAMPLING, SAMPLING]}]}]}]}, "2 levels deep"),
    ],
)
def test_activation_conditions_that_mean_nothing_are_refused(
    sagemaker: Any, flow_request: Callable[..., Any], conditions: Any, message: str
) -> None:
    request = flow_request(HumanLoopRequestSource=REKOGNITION, HumanLoopActivationConfig=_activation(conditions))
    with pytest.raises(ClientError, match=message) as caught:
        sagemaker.create_flow_definition(**request)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"HumanLoopConfig": None}, "HumanLoopConfig is missing"),
        ({"WorkteamArn": "arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/none"}, "no work team"),
        ({"WorkteamArn": "arn:aws:sagemaker:eu-west-1:000000000000:workteam/private-crowd/annotators"}, "no work team"),
        ({"WorkteamArn": "arn:aws:sagemaker:us-east-1:000000000000:workteam/vendor-crowd/annotators"}, "no work team"),
        ({"WorkteamArn": "arn:aws:sagemaker:us-east-1:394669845002:workteam/public-crowd/default"}, "public workforce"),
        ({"HumanTaskUiArn": "arn:aws:sagemaker:us-east-1:000000000000:human-task-ui/none"}, "no human task UI"),
        ({"TaskCount": 4}, "taskCount"),
        ({"TaskTimeLimitInSeconds": 10**9}, "30 days"),
        ({"TaskAvailabilityLifetimeInSeconds": 10**12}, "30 days"),
        ({"PublicWorkforceTaskPrice": {"AmountInUsd": {"Cents": 3}}}, "only the public workforce is paid"),
        ({"OutputConfig": {"S3OutputPath": "file:///etc"}}, "outside"),
        ({"OutputConfig": {"S3OutputPath": "s3://bucket/x", "KmsKeyId": "key"}}, "KmsKeyId cannot be honoured"),
        ({"HumanLoopActivationConfig": _activation({"Conditions": [SAMPLING]})}, "needs a HumanLoopRequestSource"),
    ],
)
def test_a_flow_definition_that_cannot_be_honoured_is_refused(
    sagemaker: Any, flow_request: Callable[..., Any], members: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message) as caught:
        sagemaker.create_flow_definition(**flow_request(**members))
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert sagemaker.list_flow_definitions()["FlowDefinitionSummaries"] == []


def test_the_jobs_of_a_work_team_are_listed(service: Any, sagemaker: Any, make_job: Callable[..., str]) -> None:
    worker = service.add_worker("ada")
    make_job("one", workers=2)
    make_job("two")
    service.answer("two", worker, most=1)
    arn = service.settings.arn("workteam/private-crowd/annotators")
    pages = list(
        sagemaker.get_paginator("list_labeling_jobs_for_workteam").paginate(
            WorkteamArn=arn, PaginationConfig={"PageSize": 1}
        )
    )
    one, two = [page["LabelingJobSummaryList"][0] for page in pages]
    assert (one["LabelingJobName"], one["NumberOfHumanWorkersPerDataObject"]) == ("one", 2)
    assert one["LabelCounters"] == {"HumanLabeled": 0, "PendingHuman": 3, "Total": 3}
    assert two["LabelCounters"] == {"HumanLabeled": 1, "PendingHuman": 2, "Total": 3}
    assert two["WorkRequesterAccountId"] == "000000000000"
    code = sagemaker.describe_labeling_job(LabelingJobName="one")["JobReferenceCode"]
    found = sagemaker.list_labeling_jobs_for_workteam(WorkteamArn=arn, JobReferenceCodeContains=code[3:20])
    assert [job["LabelingJobName"] for job in found["LabelingJobSummaryList"]] == ["one"]
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.list_labeling_jobs_for_workteam(WorkteamArn=arn + "-none")
