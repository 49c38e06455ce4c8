"""What CreateLabelingJob and its neighbours refuse: by name, whole, before anybody is asked anything."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from sqlalchemy import func, select

from tests.service.running import TEMPLATE
from trueground.service.store.tables import data_objects, labeling_jobs
from trueground.storage import file_uri

MakeRequest = Callable[..., dict[str, Any]]
LAMBDA = "arn:aws:lambda:us-east-1:432418664414:function:"
TEAMS = "arn:aws:sagemaker:us-east-1:000000000000:workteam/"
KMS = "arn:aws:kms:us-east-1:000000000000:key/1"


# One service for the whole module: nothing that is tested here changes it.
@pytest.fixture(scope="module")
def settings(shared_service: Any) -> Any:
    return shared_service.settings


@pytest.fixture(scope="module")
def service(shared_service: Any) -> Any:
    return shared_service


@pytest.fixture(scope="module")
def sagemaker(service: Any) -> Any:
    return service.client()


@pytest.fixture(scope="module")
def unchecked(service: Any) -> Any:
    """A client that sends what it is given; the service has to find out."""
    return service.client(config=Config(parameter_validation=False, retries={"total_max_attempts": 1}))


def refusal(client: Any, request: dict[str, Any], code: str = "ValidationException") -> str:
    # No request like another: what comes again within a second is told what it was told before.
    request = {"Tags": [{"Key": "request", "Value": secrets.token_hex(8)}], **request}
    with pytest.raises(ClientError) as caught:
        client.create_labeling_job(**request)
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return str(caught.value.response["Error"]["Message"])


def assert_nothing_made(service: Any) -> None:
    with service.db.read() as connection:
        assert connection.scalar(select(func.count()).select_from(labeling_jobs)) == 0
        assert connection.scalar(select(func.count()).select_from(data_objects)) == 0
    assert not (service.data_root / "out").exists()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"LabelingJobAlgorithmsConfig": {"LabelingJobAlgorithmSpecificationArn": "arn:aws:sagemaker:x"}},
         "LabelingJobAlgorithmSpecificationArn cannot be honoured"),
        ({"InputConfig": {"DataSource": {"SnsDataSource": {"SnsTopicArn": "arn:aws:sns:x:000000000000:t.fifo"}}}},
         "SnsDataSource.SnsTopicArn cannot be honoured"),
        ({"Tags": [{"Key": "trueground:streaming", "Value": "maybe"}]}, "trueground:streaming must be yes or no"),
        ({"Tags": [{"Key": "trueground:streaming", "Value": "yes"},
                   {"Key": "trueground:gold-policy", "Value": "ask-again"}]}, "gold-policy cannot be ask-again"),
        ({"InputConfig": {"DataSource": {}}}, "S3DataSource is missing"),
        ({"OutputConfig": {"S3OutputPath": "file://DATA/x", "KmsKeyId": KMS}},
         "OutputConfig.KmsKeyId cannot be honoured"),
        ({"OutputConfig": {"S3OutputPath": "s3://bucket/x", "SnsTopicArn": "arn:aws:sns:us-east-1:000000000000:t"}},
         "OutputConfig.SnsTopicArn cannot be honoured"),
        ({"PublicWorkforceTaskPrice": {"AmountInUsd": {"Cents": 3}}}, "PublicWorkforceTaskPrice cannot be honoured"),
        ({"UiConfig": {"HumanTaskUiArn": "arn:aws:sagemaker:us-east-1:000000000000:human-task-ui/x"}},
         "HumanTaskUiArn cannot be honoured"),
        ({"UiConfig": {}}, "UiTemplateS3Uri is missing"),
        ({"WorkteamArn": "arn:aws:sagemaker:us-east-1:394669845002:workteam/public-crowd/default"},
         "there is no public workforce here"),
        ({"WorkteamArn": TEAMS + "public-crowd/default"}, "only private and vendors' work teams"),
        ({"WorkteamArn": TEAMS + "vendor-crowd/acme"}, "there is no work team 'acme'"),
        ({"WorkteamArn": TEAMS + "private-crowd/nobody"}, "there is no work team 'nobody'"),
        ({"WorkteamArn": TEAMS.replace("us-east-1", "eu-west-1") + "private-crowd/annotators"}, "not of this service"),
        ({"PreHumanTaskLambdaArn": LAMBDA + "my-function"}, "PreHumanTaskLambdaArn cannot be honoured"),
        ({"AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": LAMBDA + "ACS-3DPointCloudX"}},
         "AnnotationConsolidationLambdaArn cannot be honoured"),
        ({"LabelAttributeName": "source-ref"}, "cannot be 'source-ref'"),
        ({"LabelAttributeName": "animal-metadata"}, "cannot end with -metadata"),
        ({"LabelAttributeName": "animal-ref"}, "cannot end with -ref"),
        ({"TaskTimeLimitInSeconds": 28_801}, "TaskTimeLimitInSeconds can be 28800 at most"),
        ({"TaskAvailabilityLifetimeInSeconds": 2_592_001}, "can be 2592000 (30 days) at most"),
        ({"LabelCategoryConfigS3Uri": None}, "LabelCategoryConfigS3Uri is missing"),
        ({"LabelCategoryConfigS3Uri": "file:///etc/passwd"}, "outside the data root"),
        ({"UiConfig": {"UiTemplateS3Uri": "file:///etc/passwd"}}, "outside the data root"),
        ({"OutputConfig": {"S3OutputPath": "file:///etc"}}, "outside the data root"),
        ({"OutputConfig": {"S3OutputPath": "https://example.com/x"}}, "cannot read the scheme 'https'"),
    ],
)  # fmt: skip
def test_a_member_that_cannot_be_honoured_is_refused_by_name(
    service: Any, sagemaker: Any, job_request: MakeRequest, members: dict[str, Any], message: str
) -> None:
    if path := members.get("OutputConfig", {}).get("S3OutputPath"):
        members["OutputConfig"]["S3OutputPath"] = path.replace("DATA", str(service.data_root))
    assert message in refusal(sagemaker, job_request(**members))
    assert_nothing_made(service)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"LabelingJobName": "no_underscores"},
         "Value 'no_underscores' at 'labelingJobName' failed to satisfy constraint: Member must satisfy regular "
         "expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"),
        ({"LabelingJobName": "x" * 64}, "Member must have length less than or equal to 63"),
        ({"RoleArn": None}, "Value null at 'roleArn' failed to satisfy constraint: Member must not be null"),
        ({"OutputConfig": {"S3OutputPath": "/tmp/x"}}, "at 'outputConfig.s3OutputPath' failed"),
        ({"HumanTaskConfig.NumberOfHumanWorkersPerDataObject": 10}, "Member must have value less than or equal to 9"),
        ({"HumanTaskConfig.TaskKeywords": []}, "Member must have length greater than or equal to 1"),
        ({"HumanTaskConfig.TaskKeywords": ["x"] * 6}, "at 'humanTaskConfig.taskKeywords' failed"),
        ({"StoppingConditions": {"MaxPercentageOfInputDatasetLabeled": 101}}, "less than or equal to 100"),
        ({"Tags": [{"Key": "a!b", "Value": ""}]}, "at 'tags.1.member.key' failed"),
        ({"InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": "s3://" + "x" * 1100}}}},
         "length less than or equal to 1024"),
    ],
)  # fmt: skip
def test_a_member_of_the_wrong_shape_is_refused_in_the_words_of_aws(
    service: Any, unchecked: Any, job_request: MakeRequest, change: dict[str, Any], message: str
) -> None:
    request = job_request()
    for path, value in change.items():
        *parents, name = path.split(".")
        place = request
        for parent in parents:
            place = place[parent]
        place[name] = value
    found = refusal(unchecked, request)
    assert found.startswith("1 validation error detected: Value ") and message in found
    assert_nothing_made(service)


def test_every_constraint_that_is_broken_is_told_at_once(unchecked: Any, job_request: MakeRequest) -> None:
    request = job_request()
    request["LabelAttributeName"] = "a b"
    request["HumanTaskConfig"]["TaskTimeLimitInSeconds"] = 1
    found = refusal(unchecked, request)
    assert found.startswith("2 validation errors detected: ")
    assert "labelAttributeName" in found and "humanTaskConfig.taskTimeLimitInSeconds" in found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "input.manifest:2: not JSON"),
        ("[1]", "input.manifest:2: not a JSON object"),
        ('{"x": NaN}', "NaN is not JSON"),
        ('{"x": 1}', 'neither "source" nor "source-ref"'),
        ('{"source": "a", "source-ref": "s3://b/c"}', "source: source and source-ref stand together"),
        ('{"source": "a text for a picture job"}', "source-ref: the task type needs this key"),
        ('{"source-ref": 7}', "source-ref: a text that is not empty is needed"),
        ('{"source-ref": "file:///etc/passwd"}', "source-ref: file:///etc/passwd: the path lies outside the data root"),
        ('{"source-ref": "http://169.254.169.254/latest"}', "cannot read the scheme 'http'"),
        ('{"source-ref": "DATA/missing.png"}', "there is no file"),
        ('{"source-ref": "DATA/in/../../secret.png"}', "outside the data root"),
        ('{"source-ref": "s3://b/c", "$x": 1}', "$x: names that begin with $ are reserved"),
        ('{"source-ref": "s3://b/c", "x": "' + "y" * 20_001 + '"}', "more than the 20,000"),
        ('{"source-ref": "s3://b/c", "x": ["' + '", "'.join(["z" * 1000] * 100) + '"]}', "more than the 100,000"),
        ('{"source": " "}', "source: a text that is not empty is needed"),
        ('{"source": "cut \\ud83d"}', "\\ud83d is half of a character"),
        ("\udcff", "not UTF-8 at byte 0"),
    ],
)  # fmt: skip
def test_a_broken_line_of_the_manifest_is_named_and_nothing_is_made(
    service: Any, sagemaker: Any, job_request: MakeRequest, line: str, message: str
) -> None:
    request = job_request(objects=1)
    path = service.data_root / "in/animals/input.manifest"
    line = line.replace("DATA", file_uri(service.data_root))
    path.write_bytes(path.read_bytes() + line.encode("utf-8", "surrogateescape") + b"\n")
    found = refusal(sagemaker, request)
    assert message in found and "input.manifest:2" in found
    assert_nothing_made(service)


def test_a_link_cannot_lead_out_of_the_data_root(service: Any, sagemaker: Any, job_request: MakeRequest) -> None:
    (service.data_root / "link.png").symlink_to("/etc/passwd")
    request = job_request(objects=[{"source-ref": file_uri(service.data_root / "link.png")}])
    assert "outside the data root" in refusal(sagemaker, request)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("input.manifest", "", "the manifest is empty"),
        ("input.manifest", None, "there is no such manifest"),
        ("template.html", None, "there is no such file"),
        ("template.html", "<p>nothing to submit</p>", "no <crowd-form>"),
        (
            "template.html",
            "<crowd-form>\n{{ task.input. }}</crowd-form>",
            "template.html:2: the task template cannot be",
        ),
        ("template.html", "<crowd-form>{{ 'x' | grant_read_access }}<input name=q></crowd-form>", "not a valid S3 URI"),
        (
            "template.html",
            "<crowd-form>{{ 'file:///x' | grant_read_access }}<input name=q></crowd-form>",
            "outside the data root",
        ),
        (
            "template.html",
            TEMPLATE.replace("crowd-image-classifier", "crowd-entity-annotation"),
            "template.html:3: <crowd-entity-annotation> is an element of AWS",
        ),
        ("template.html", TEMPLATE.replace("image-cl", "image-kl"), "did you mean <crowd-image-classifier>?"),
        ("template.html", "<crowd-form>\n<p>?</p></crowd-form>", "the form has neither an input with a name"),
        ("template.html", "<crowd-form><input name=q></crowd-form>", "labels of this task type come from"),
        (
            "template.html",
            TEMPLATE.replace("{{ task.input.labels | to_json | escape }}", "['Cat','dog']"),
            "template.html:3: <crowd-image-classifier> offers 'Cat', and the label category file has only 'cat', 'dog'",
        ),
        (
            "template.html",
            TEMPLATE.replace("task.input.labels | to_json", "task.input.labels | join: ';'"),
            "the attribute categories of <crowd-image-classifier>",
        ),
        ("template.html", TEMPLATE.replace("header=", "overlay='{}' header="), "overlay of <crowd-image-classifier>"),
        ("labels.json", None, "there is no such label category file"),
        ("labels.json", "a folder", "there is no such file"),
        ("template.html", "a folder", "there is no such file"),
        ("labels.json", "{", "labels.json: not JSON"),
        ("labels.json", '{"labels": [{"label": "a"}, {"label": "a"}]}', "'a' stands there twice"),
        ("labels.json", '{"labels": [{"label": "a"}]}', "at least two labels"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    service: Any, sagemaker: Any, job_request: MakeRequest, file: str, content: str | None, message: str
) -> None:
    request = job_request()
    path = service.data_root / "in/animals" / file
    if content is None or content == "a folder":
        path.unlink()
    if content == "a folder":
        path.mkdir()
    elif content is not None:
        path.write_text(content)
    found = refusal(sagemaker, request)
    assert message in found and file in found
    assert_nothing_made(service)


def test_what_is_not_there_is_told_with_the_error_of_aws(sagemaker: Any) -> None:
    for call, code in (
        (lambda: sagemaker.describe_labeling_job(LabelingJobName="none"), "ResourceNotFound"),
        (lambda: sagemaker.stop_labeling_job(LabelingJobName="none"), "ResourceNotFound"),
        (lambda: sagemaker.describe_workteam(WorkteamName="none"), "ValidationException"),
        (lambda: sagemaker.describe_workforce(WorkforceName="none"), "ValidationException"),
    ):
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == code
        assert "none" in caught.value.response["Error"]["Message"]


def test_an_operation_that_is_not_offered_is_refused_by_name(sagemaker: Any) -> None:
    with pytest.raises(ClientError) as caught:
        sagemaker.list_models()
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"
    assert "ListModels" in caught.value.response["Error"]["Message"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_an_unknown_member_is_refused(service: Any) -> None:
    response = service.send("DescribeLabelingJob", {"LabelingJobName": "x", "Bogus": 1})
    assert response.status_code == 400
    assert "at 'bogus' failed to satisfy constraint: there is no such member" in response.json()["message"]


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"null", b"\xff", b'{"LabelingJobName": 1}', b'{"LabelingJobName": ["x"]}', b"[" * 100_000,
     b'{"CreationTimeAfter": 1e300}', b'{"CreationTimeAfter": "x"}', b'{"MaxResults": true}', b'{"MaxResults": 1.5}'],
)  # fmt: skip
def test_a_body_of_the_wrong_type_is_a_serialization_error(service: Any, body: bytes) -> None:
    operation = "ListLabelingJobs" if b"M" in body or b"C" in body else "DescribeLabelingJob"
    response = service.send(operation, body)
    assert (response.status_code, response.json()["__type"]) == (400, "SerializationException")


@pytest.mark.parametrize("text", ["a\u0000b", "a\ud800b"])
def test_text_that_no_database_keeps_is_refused(service: Any, text: str) -> None:
    definitions = [{"OidcMemberDefinition": {"Groups": ["new"]}}]
    request = {"WorkteamName": "new", "Description": text, "MemberDefinitions": definitions}
    response = service.send("CreateWorkteam", request)
    assert response.status_code == 400 and "at 'description' failed" in response.json()["message"]


def test_a_body_over_the_limit_is_refused(service: Any) -> None:
    response = service.send("DescribeLabelingJob", b'"' + b"x" * service.settings.body_limit + b'"')
    assert (response.status_code, response.json()["__type"]) == (413, "RequestEntityTooLargeException")
