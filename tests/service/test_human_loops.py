"""Human loops from their start to their output, over real HTTP with real boto3."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError
from sqlalchemy import select

from trueground.service.aws.errors import AwsError, status_of
from trueground.service.aws.model import loop_model, service_model
from trueground.service.engine import answering, leasing
from trueground.service.store.tables import answers, data_objects

LOOPS = "arn:aws:sagemaker:us-east-1:000000000000:human-loop/"
INPUT = {"words": "use lambda", "start_time": 948.51}
TEXTRACT = {"AwsManagedHumanLoopRequestSource": "AWS/Textract/AnalyzeDocument/Forms/V1"}


@pytest.fixture
def start(a2i: Any) -> Callable[..., str]:
    """``start(flow_arn, name, content)``; returns the loop's ARN."""

    def make(flow: str, name: str = "first", content: Any = INPUT, **members: Any) -> str:
        text = content if isinstance(content, str) else json.dumps(content)
        arn: str = a2i.start_human_loop(
            HumanLoopName=name, FlowDefinitionArn=flow, HumanLoopInput={"InputContent": text}, **members
        )["HumanLoopArn"]
        return arn

    return make


@pytest.fixture
def wait(a2i: Any) -> Callable[..., dict[str, Any]]:
    """``wait(name, *statuses)``: describe the loop until it has one of them."""

    def until(name: str, *statuses: str, seconds: float = 120) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while True:
            loop: dict[str, Any] = a2i.describe_human_loop(HumanLoopName=name)
            if loop["HumanLoopStatus"] in statuses:
                return loop
            assert time.monotonic() < end, f"{name} is still {loop['HumanLoopStatus']}"
            time.sleep(0.05)

    return until


def _take(service: Any, worker: str, flow: str = "transcripts") -> Any:
    return leasing.next_assignment(service.db, worker, flow)


def _answer(service: Any, worker: str, text: str, flow: str = "transcripts") -> None:
    lease = _take(service, worker, flow)
    assert lease is not None
    answering.submit_answer(service.db, lease.id, worker, {"transcription": text}, 2.5)


def _output(loop: dict[str, Any]) -> dict[str, Any]:
    with open(urlsplit(loop["HumanLoopOutput"]["OutputS3Uri"]).path) as handle:
        content: dict[str, Any] = json.load(handle)
        return content


def _code(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_a_loop_ends_when_all_have_answered_and_its_output_has_a2is_form(
    service: Any, make_flow: Any, start: Any, wait: Any
) -> None:
    ada, ben = service.add_worker("ada"), service.add_worker("ben")
    flow = make_flow(count=2)
    assert start(flow) == LOOPS + "first"
    _answer(service, ben, "use Lambda")
    time.sleep(0.3)
    assert not Path(urlsplit(wait("first", "InProgress")["HumanLoopOutput"]["OutputS3Uri"]).path).exists()
    assert _take(service, ben) is None
    _answer(service, ada, "use AWS Lambda")
    loop = wait("first", "Completed")
    assert (loop["HumanLoopArn"], loop["FlowDefinitionArn"]) == (LOOPS + "first", flow)
    folder = loop["CreationTime"].astimezone(UTC).strftime("%Y/%m/%d/%H/%M/%S")
    uri = loop["HumanLoopOutput"]["OutputS3Uri"]
    assert uri == f"file://{service.data_root}/reviews/transcripts/{folder}/first/output.json"
    output = _output(loop)
    assert list(output) == ["flowDefinitionArn", "humanAnswers", "humanLoopName", "inputContent"]
    assert (output["flowDefinitionArn"], output["humanLoopName"], output["inputContent"]) == (flow, "first", INPUT)
    first, second = output["humanAnswers"]
    assert [first["workerId"], second["workerId"]] == [ben, ada]
    assert first["answerContent"] == {"transcription": "use Lambda"}
    assert 0 <= first["timeSpentInSeconds"] <= 2.5
    for member in ("acceptanceTime", "submissionTime"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first[member])
    assert set(first["workerMetadata"]["identityData"]) == {"identityProviderType", "issuer", "sub"}


def test_the_output_of_a_built_in_source_names_it(service: Any, make_flow: Any, start: Any, wait: Any) -> None:
    worker = service.add_worker("ada")
    content = {"aiServiceRequest": {}, "aiServiceResponse": {}, "selectedAiServiceResponse": {"blocks": []}}
    start(make_flow(HumanLoopRequestSource=TEXTRACT), content=content)
    _answer(service, worker, "x")
    output = _output(wait("first", "Completed"))
    assert output["awsManagedHumanLoopRequestSource"] == TEXTRACT["AwsManagedHumanLoopRequestSource"]
    assert output["inputContent"] == content


def test_the_template_sees_the_input_content(service: Any, make_flow: Any, start: Any) -> None:
    service.add_worker("ada")
    start(make_flow())
    with httpx.Client(base_url=service.url) as browser:
        signed_in = browser.post("/api/session", json={"username": "ada", "password": "secret"}).json()
        headers = {"X-CSRF-Token": signed_in["csrfToken"]}
        work = browser.get("/api/work").json()["jobs"]
        assert [(job["name"], job["title"], job["objects"]) for job in work] == [
            ("transcripts", "Check the transcript", 1)
        ]
        task = browser.post("/api/work/next", json={"job": "transcripts"}, headers=headers).json()["assignment"]
        assert task["taskInput"] == INPUT
        assert 'value="use lambda"' in browser.get(task["frameUrl"]).text


def test_a_loop_started_again_with_the_same_input_is_the_same_loop(a2i: Any, make_flow: Any, start: Any) -> None:
    flow = make_flow()
    assert start(flow) == start(flow)
    assert len(a2i.list_human_loops(FlowDefinitionArn=flow)["HumanLoopSummaries"]) == 1
    with pytest.raises(a2i.exceptions.ConflictException, match="another input") as caught:
        start(flow, content={"words": "other"})
    assert _code(caught) == ("ConflictException", 409)
    other = make_flow("other")
    with pytest.raises(a2i.exceptions.ConflictException):
        start(other)


def test_loops_started_at_once_under_one_name_are_one_loop(service: Any, a2i: Any, make_flow: Any) -> None:
    flow = make_flow()
    # Of two requests that are alike to the second, one is told to come again; clients do so by themselves.
    patient = Config(max_pool_connections=16, retries={"total_max_attempts": 8})
    client = service.client("sagemaker-a2i-runtime", config=patient)

    def begin(number: int) -> str:
        text = json.dumps({"words": str(number % 2)})
        try:
            client.start_human_loop(
                HumanLoopName="first", FlowDefinitionArn=flow, HumanLoopInput={"InputContent": text}
            )
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return f"started {number % 2}"

    with ThreadPoolExecutor(12) as pool:
        outcomes = set(pool.map(begin, range(12)))
    assert outcomes in ({"started 0", "ConflictException"}, {"started 1", "ConflictException"})
    with service.db.read() as connection:
        assert len(connection.execute(select(data_objects)).all()) == 1


def test_loops_are_listed_page_by_page(a2i: Any, make_flow: Any, start: Any) -> None:
    flow, other = make_flow(), make_flow("other")
    for name in ("b", "a", "c"):
        start(flow, name)
        time.sleep(0.002)
    start(other, "elsewhere")
    pages = list(
        a2i.get_paginator("list_human_loops").paginate(FlowDefinitionArn=flow, PaginationConfig={"PageSize": 2})
    )
    assert [[loop["HumanLoopName"] for loop in page["HumanLoopSummaries"]] for page in pages] == [["b", "a"], ["c"]]
    newest = a2i.list_human_loops(FlowDefinitionArn=flow, SortOrder="Descending", MaxResults=1)["HumanLoopSummaries"]
    assert [(loop["HumanLoopName"], loop["HumanLoopStatus"]) for loop in newest] == [("c", "InProgress")]
    soon = datetime.now(UTC) + timedelta(hours=1)
    assert len(a2i.list_human_loops(FlowDefinitionArn=flow, CreationTimeBefore=soon)["HumanLoopSummaries"]) == 3
    assert a2i.list_human_loops(FlowDefinitionArn=flow, CreationTimeAfter=soon)["HumanLoopSummaries"] == []
    with pytest.raises(a2i.exceptions.ResourceNotFoundException) as caught:
        a2i.list_human_loops(FlowDefinitionArn=flow + "-none")
    assert _code(caught) == ("ResourceNotFoundException", 404)
    with pytest.raises(a2i.exceptions.ValidationException, match="NextToken"):
        a2i.list_human_loops(FlowDefinitionArn=flow, NextToken="x")


def test_an_input_of_three_mebibytes_is_taken(service: Any, make_flow: Any, start: Any, wait: Any) -> None:
    worker = service.add_worker("ada")
    flow = make_flow()
    # Every character of it doubles where it is sent as JSON.
    text = '{"words": ""}'
    content = text[:-2] + '\\"' * ((3 * 1024 * 1024 - len(text)) // 2) + '"}'
    start(flow, content=content)
    _answer(service, worker, "x")
    assert _output(wait("first", "Completed"))["inputContent"] == json.loads(content)
    # boto3 would refuse it by itself.
    longer = service.client("sagemaker-a2i-runtime", config=Config(parameter_validation=False))
    with pytest.raises(ClientError, match="length less than or equal to 3145728"):
        longer.start_human_loop(
            HumanLoopName="second", FlowDefinitionArn=flow, HumanLoopInput={"InputContent": content + " " * 99}
        )


@pytest.mark.parametrize("content", ["{]", "[1]", '"text"', '{"x": NaN}', "[" * 100_000])
def test_an_input_that_is_no_json_object_is_refused(a2i: Any, make_flow: Any, start: Any, content: str) -> None:
    flow = make_flow()
    with pytest.raises(a2i.exceptions.ValidationException, match="InputContent") as caught:
        start(flow, content=content)
    assert _code(caught) == ("ValidationException", 400)


def test_a_loop_of_an_unknown_flow_definition_or_a_deleted_template_is_refused(
    a2i: Any, sagemaker: Any, make_flow: Any, start: Any
) -> None:
    flow = make_flow()
    with pytest.raises(a2i.exceptions.ValidationException, match="no active flow definition"):
        start(flow + "-none")
    with pytest.raises(a2i.exceptions.ValidationException, match="no flow definition"):
        start(flow.replace("us-east-1", "eu-west-1"))
    sagemaker.delete_human_task_ui(HumanTaskUiName="transcripts-ui")
    with pytest.raises(a2i.exceptions.ValidationException, match="no human task UI"):
        start(flow)


@pytest.mark.parametrize("operation", ["describe_human_loop", "stop_human_loop", "delete_human_loop"])
def test_a_loop_that_is_not_there_is_not_found(a2i: Any, operation: str) -> None:
    with pytest.raises(a2i.exceptions.ResourceNotFoundException) as caught:
        getattr(a2i, operation)(HumanLoopName="none")
    assert _code(caught) == ("ResourceNotFoundException", 404)


def test_an_unstarted_loop_that_is_stopped_vanishes_from_the_work(
    service: Any, a2i: Any, make_flow: Any, start: Any, wait: Any
) -> None:
    worker = service.add_worker("ada")
    start(make_flow())
    a2i.stop_human_loop(HumanLoopName="first")
    assert _take(service, worker) is None
    assert "HumanLoopOutput" not in wait("first", "Stopped")
    with pytest.raises(a2i.exceptions.ValidationException, match="is Stopped"):
        a2i.stop_human_loop(HumanLoopName="first")


def test_a_task_in_work_may_be_finished_after_the_stop_and_its_result_is_kept(
    service: Any, a2i: Any, make_flow: Any, start: Any, wait: Any
) -> None:
    ada, ben = service.add_worker("ada"), service.add_worker("ben")
    start(make_flow(count=2))
    lease = _take(service, ada)
    a2i.stop_human_loop(HumanLoopName="first")
    a2i.stop_human_loop(HumanLoopName="first")
    assert _take(service, ben) is None
    time.sleep(0.3)
    wait("first", "Stopping")
    answering.submit_answer(service.db, lease.id, ada, {"transcription": "kept"}, 1.0)
    loop = wait("first", "Stopped")
    assert [given["answerContent"] for given in _output(loop)["humanAnswers"]] == [{"transcription": "kept"}]


def test_a_task_given_back_after_the_stop_goes_to_nobody(
    service: Any, a2i: Any, make_flow: Any, start: Any, wait: Any
) -> None:
    ada, ben = service.add_worker("ada"), service.add_worker("ben")
    start(make_flow())
    lease = _take(service, ada)
    a2i.stop_human_loop(HumanLoopName="first")
    leasing.release(service.db, lease.id, ada)
    assert _take(service, ben) is None
    assert "HumanLoopOutput" not in wait("first", "Stopped")


def test_a_loop_that_nobody_answers_in_time_expires(service: Any, make_flow: Any, start: Any, wait: Any) -> None:
    ada = service.add_worker("ada")
    start(make_flow(TaskAvailabilityLifetimeInSeconds=1))
    lease = _take(service, ada)
    assert lease is not None
    loop = wait("first", "Failed")
    assert loop["FailureCode"] == "Expired" and "expired" in loop["FailureReason"]
    assert "HumanLoopOutput" not in loop
    assert _take(service, ada) is None


def test_a_loop_that_is_declined_fails(service: Any, a2i: Any, make_flow: Any, start: Any, wait: Any) -> None:
    flow = make_flow()
    start(flow)
    for worker in [service.add_worker(name) for name in ("ada", "ben", "cleo")][:2]:
        answering.decline(service.db, _take(service, worker).id, worker, "too quiet")
    loop = wait("first", "Failed")
    assert loop["FailureCode"] == "ValidationError" and "too quiet" in loop["FailureReason"]
    (summary,) = a2i.list_human_loops(FlowDefinitionArn=flow)["HumanLoopSummaries"]
    assert (summary["HumanLoopStatus"], summary["FailureReason"]) == ("Failed", loop["FailureReason"])


def test_only_an_ended_loop_is_deleted_and_its_answers_stay_in_the_store(
    service: Any, a2i: Any, make_flow: Any, start: Any, wait: Any
) -> None:
    worker = service.add_worker("ada")
    flow = make_flow()
    start(flow)
    with pytest.raises(a2i.exceptions.ValidationException, match="is InProgress"):
        a2i.delete_human_loop(HumanLoopName="first")
    _answer(service, worker, "kept")
    wait("first", "Completed")
    a2i.delete_human_loop(HumanLoopName="first")
    with pytest.raises(a2i.exceptions.ResourceNotFoundException):
        a2i.describe_human_loop(HumanLoopName="first")
    assert a2i.list_human_loops(FlowDefinitionArn=flow)["HumanLoopSummaries"] == []
    with service.db.read() as connection:
        assert connection.scalars(select(answers.c.content)).all() == [{"transcription": "kept"}]
        assert connection.scalars(select(data_objects.c.line)).all() == ["{}"]
    start(flow, content={"words": "again"})
    _answer(service, worker, "new")
    assert _output(wait("first", "Completed"))["inputContent"] == {"words": "again"}


def test_a_flow_definition_is_deleted_when_its_loops_have_ended_and_they_outlive_it(
    a2i: Any, sagemaker: Any, make_flow: Any, start: Any, wait: Any
) -> None:
    flow = make_flow()
    start(flow)
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="has not ended"):
        sagemaker.delete_flow_definition(FlowDefinitionName="transcripts")
    a2i.stop_human_loop(HumanLoopName="first")
    wait("first", "Stopped")
    sagemaker.delete_flow_definition(FlowDefinitionName="transcripts")
    assert a2i.describe_human_loop(HumanLoopName="first")["FlowDefinitionArn"] == flow
    assert len(a2i.list_human_loops(FlowDefinitionArn=flow)["HumanLoopSummaries"]) == 1
    with pytest.raises(a2i.exceptions.ValidationException):
        start(flow, "second")


def test_the_api_of_human_loops_answers_below_a_mount(service: Any, make_flow: Any) -> None:
    flow = make_flow()
    client = service.client("sagemaker-a2i-runtime", endpoint_url=service.url + "/aws")
    client.start_human_loop(HumanLoopName="x", FlowDefinitionArn=flow, HumanLoopInput={"InputContent": "{}"})
    assert client.describe_human_loop(HumanLoopName="x")["HumanLoopStatus"] == "InProgress"
    client.stop_human_loop(HumanLoopName="x")


def test_unsigned_and_wrongly_signed_requests_are_refused(service: Any) -> None:
    for method, path in (("GET", "/human-loops/x"), ("POST", "/human-loops"), ("DELETE", "/aws/human-loops/x")):
        answer = httpx.request(method, service.url + path)
        assert answer.status_code == 403
        assert answer.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"
    client = service.client("sagemaker-a2i-runtime", aws_secret_access_key="wrong")
    with pytest.raises(ClientError) as caught:
        client.describe_human_loop(HumanLoopName="x")
    assert _code(caught) == ("InvalidSignatureException", 403)


@pytest.mark.parametrize(
    ("path", "size"), [("/human-loops", 20_000_000), ("/aws/human-loops", 20_000_000), ("/human-loops/stop", 4_210_000)]
)
def test_a_body_beyond_all_limits_is_refused(service: Any, path: str, size: int) -> None:
    body = b'{"HumanLoopName": "' + b"x" * size + b'"}'
    request = AWSRequest("POST", service.url + path, data=body)
    service.sign(request)
    answer = httpx.post(service.url + path, content=body, headers=dict(request.headers))
    assert answer.status_code == 413


def test_a_body_that_is_no_json_is_refused(service: Any) -> None:
    for body in (b"{", b"[]", b"\xff", b"7"):
        request = AWSRequest("POST", service.url + "/human-loops", data=body)
        service.sign(request)
        answer = httpx.post(service.url + "/human-loops", content=body, headers=dict(request.headers))
        assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (400, "SerializationException")


def test_an_equal_request_within_a_second_is_put_off_with_the_status_of_the_model(
    service: Any, make_flow: Callable[..., str], next_second: Callable[[], None]
) -> None:
    client = service.client("sagemaker-a2i-runtime")
    loop = {
        "HumanLoopName": "first",
        "FlowDefinitionArn": make_flow(),
        "HumanLoopInput": {"InputContent": "{}"},
    }
    next_second()
    client.start_human_loop(**loop)
    with pytest.raises(ClientError) as caught:
        client.start_human_loop(**loop)
    assert caught.value.response["Error"]["Code"] == "ThrottlingException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429


def test_an_errors_own_status_wins_over_that_of_the_model() -> None:
    statuses = [status_of(AwsError("ConflictException", "x", own), loop_model()) for own in (None, 400, 503)]
    assert statuses == [409, 400, 503]
    assert status_of(AwsError("ConflictException", "x"), service_model()) == 400


@pytest.mark.parametrize("time", ["nan", "1e300", "0001-01-01T00:00:00%2B23:59", "[" * 3000, "soon"])
def test_a_time_in_the_query_that_is_none_is_refused(service: Any, time: str) -> None:
    flow = service.settings.arn("flow-definition/any")
    url = f"{service.url}/human-loops?FlowDefinitionArn={flow}&CreationTimeAfter={time}"
    request = AWSRequest("GET", url)
    service.sign(request)
    answer = httpx.get(url, headers=dict(request.headers))
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (400, "SerializationException")
