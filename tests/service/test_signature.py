"""Signature V4: only requests that are signed with a key of the store, now, and unchanged since, are answered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

from trueground.service.engine import keys
from trueground.service.security import SecretBox

LIST: dict[str, Any] = {}


# One service for the whole module: nothing that is tested here changes what another test needs.
@pytest.fixture(scope="module")
def service(shared_service: Any) -> Any:
    return shared_service


def answer(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["__type"]


def test_a_rightly_signed_request_is_answered_with_a_request_id(service: Any) -> None:
    response = service.send("ListLabelingJobs", LIST)
    assert response.status_code == 200 and response.json() == {"LabelingJobSummaryList": []}
    assert response.headers["x-amzn-requestid"]
    assert response.headers["content-type"] == "application/x-amz-json-1.1"


@pytest.mark.parametrize("path", ["/aws", "/aws/", "/?a=b&c=%20d"])
def test_each_path_and_query_is_covered_by_the_signature(service: Any, path: str) -> None:
    assert service.send("ListLabelingJobs", LIST, path=path).status_code == 200


def test_an_unsigned_request_is_refused(service: Any) -> None:
    response = service.send("ListLabelingJobs", LIST, sign=lambda request: None)
    assert answer(response) == (403, "MissingAuthenticationTokenException")


def test_a_wrong_secret_is_refused(service: Any) -> None:
    with pytest.raises(ClientError, match="does not match the signature you provided") as caught:
        service.client(aws_secret_access_key="x" * 40).list_labeling_jobs()
    assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_an_unknown_key_is_refused(service: Any) -> None:
    with pytest.raises(ClientError, match="security token included in the request is invalid") as caught:
        service.client(aws_access_key_id="AKIAIOSFODNN7EXAMPLE").list_labeling_jobs()
    assert caught.value.response["Error"]["Code"] == "UnrecognizedClientException"


def test_a_session_token_that_nobody_gave_out_is_refused(service: Any) -> None:
    with pytest.raises(ClientError, match="security token included in the request is invalid"):
        service.client(aws_session_token="made-up").list_labeling_jobs()


def test_a_key_works_until_it_is_revoked(service: Any) -> None:
    key_id, secret = keys.create_key(service.db, SecretBox.load(service.settings.home), "second")
    client = service.client(aws_access_key_id=key_id, aws_secret_access_key=secret)
    client.list_labeling_jobs()
    keys.revoke_key(service.db, key_id)
    with pytest.raises(ClientError, match="UnrecognizedClient"):
        client.list_labeling_jobs()


def change(name: str, value: str) -> Callable[[Any], Callable[[AWSRequest], None]]:
    """Sign rightly, then change a header."""

    def made(service: Any) -> Callable[[AWSRequest], None]:
        def sign(request: AWSRequest) -> None:
            service.sign(request)
            del request.headers[name]
            request.headers[name] = value

        return sign

    return made


@pytest.mark.parametrize(
    ("name", "value"),
    [("X-Amz-Target", "SageMaker.StopLabelingJob"), ("X-Amz-Extra", "not signed"), ("Content-Type", "text/plain")],
)
def test_a_header_changed_on_the_way_is_noticed(service: Any, name: str, value: str) -> None:
    response = service.send("ListLabelingJobs", LIST, sign=change(name, value)(service))
    assert answer(response) == (403, "InvalidSignatureException")


def test_a_body_changed_on_the_way_is_noticed(service: Any) -> None:
    def sign(request: AWSRequest) -> None:
        service.sign(request)
        request.data = b'{"MaxResults": 1}'

    assert answer(service.send("ListLabelingJobs", LIST, sign=sign)) == (403, "InvalidSignatureException")


def test_an_unsigned_payload_is_refused(service: Any) -> None:
    def sign(request: AWSRequest) -> None:
        request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
        service.sign(request)

    assert answer(service.send("ListLabelingJobs", LIST, sign=sign)) == (403, "InvalidSignatureException")


def test_a_signature_for_another_service_is_refused(service: Any) -> None:
    response = service.send("ListLabelingJobs", LIST, sign=lambda request: service.sign(request, service="s3"))
    assert answer(response) == (403, "InvalidSignatureException")
    assert "correct service: 'sagemaker'" in response.json()["message"]


@pytest.mark.parametrize(("minutes", "text"), [(-16, "Signature expired: "), (16, "Signature not yet current: ")])
def test_a_signature_of_another_time_is_refused(
    service: Any, monkeypatch: pytest.MonkeyPatch, minutes: int, text: str
) -> None:
    from botocore import auth

    def sign(request: AWSRequest) -> None:
        wrong = datetime.now(UTC) + timedelta(minutes=minutes)
        monkeypatch.setattr(auth, "get_current_datetime", lambda: wrong)
        service.sign(request)
        monkeypatch.undo()

    response = service.send("ListLabelingJobs", LIST, sign=sign)
    assert answer(response) == (403, "InvalidSignatureException")
    assert response.json()["message"].startswith(text)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("AWS4-HMAC-SHA256 Credential=a/b", "header requires 'Signature' parameter. Authorization header requires"),
        ("AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=x", "exactly 5 slash-delimited elements"),
        ("Basic YTpi", "Unsupported signing algorithm"),
    ],
)  # fmt: skip
def test_half_a_signature_is_told_what_it_misses(service: Any, header: str, message: str) -> None:
    def sign(request: AWSRequest) -> None:
        request.headers["Authorization"] = header

    response = service.send("ListLabelingJobs", LIST, sign=sign)
    assert answer(response) == (400, "IncompleteSignatureException")
    assert message in response.json()["message"]


def test_no_secret_is_stored_in_the_clear_or_logged(service: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "trueground")
    service.client().list_labeling_jobs()
    with pytest.raises(ClientError):
        service.client().describe_labeling_job(LabelingJobName="none")
    secret = service.credentials["aws_secret_access_key"]
    files = [path for path in service.settings.home.iterdir() if path.name.startswith("store.db")]
    assert files and not any(secret.encode() in path.read_bytes() for path in files)
    assert "DescribeLabelingJob" in caplog.text and secret not in caplog.text
    for name in ("secret.key", "credentials"):
        assert (service.settings.home / name).stat().st_mode & 0o777 == 0o600
