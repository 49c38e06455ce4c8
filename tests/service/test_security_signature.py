"""A request of the API counts only if it is signed, with a key in use, now, and for the first time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any

import httpx
import pytest
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from sqlalchemy import func, select, update

from tests.service.chaos import Proxy
from trueground.service.aws.registry import OPERATIONS
from trueground.service.engine import once
from trueground.service.engine.errors import Invalid
from trueground.service.store.database import Database, now
from trueground.service.store.tables import used_signatures


@pytest.fixture(scope="module")
def service(shared_service: Any) -> Any:
    return shared_service


class Recorded:
    """A signed request as someone on the way could have kept it."""

    def __init__(self, service: Any, operation: str, body: bytes) -> None:
        self.service = service
        headers = {"X-Amz-Target": f"SageMaker.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        self.request = AWSRequest("POST", service.url + "/", data=body, headers=headers)
        service.sign(self.request)

    def send(self, **headers: str) -> httpx.Response:
        content = self.request.data
        return httpx.post(self.service.url + "/", content=content, headers={**dict(self.request.headers), **headers})


def add_tag(service: Any, key: str) -> bytes:
    arn = service.settings.arn("workteam/private-crowd/annotators")
    return f'{{"ResourceArn": "{arn}", "Tags": [{{"Key": "{key}", "Value": ""}}]}}'.encode()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The moments in which a client may ask again by right are over at once."""
    monkeypatch.setattr(once, "RETRY_SECONDS", 0.0)


@pytest.mark.usefixtures("hurried")
def test_a_recorded_request_that_changes_something_is_refused(service: Any) -> None:
    recorded = Recorded(service, "AddTags", add_tag(service, "once"))
    assert recorded.send().status_code == 200
    for again in (recorded.send(), recorded.send(**{"amz-sdk-request": "attempt=2"})):
        assert (again.status_code, again.json()["__type"]) == (403, "InvalidSignatureException")
        assert again.json()["message"].startswith("Signature already used")


@pytest.mark.parametrize("seconds", [0.0, 5.0])
def test_a_recorded_request_does_nothing(service: Any, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "RETRY_SECONDS", seconds)
    client, key = service.client(), f"gone-{seconds}"
    arn = service.settings.arn("workteam/private-crowd/annotators")
    recorded = Recorded(service, "AddTags", add_tag(service, key))
    assert recorded.send().status_code == 200
    client.delete_tags(ResourceArn=arn, TagKeys=[key])
    recorded.send()
    assert key not in {tag["Key"] for tag in client.list_tags(ResourceArn=arn)["Tags"]}


@pytest.mark.usefixtures("hurried")
def test_every_operation_that_changes_something_refuses_a_replay(service: Any) -> None:
    changing = [name for name in OPERATIONS if not name.startswith(("Describe", "List", "Render"))]
    assert len(changing) >= 6
    for name in changing:
        # Wrong as a request, but signed rightly: the signature is used up all the same.
        recorded = Recorded(service, name, b"[]")
        assert recorded.send().json()["__type"] == "SerializationException", name
        assert recorded.send().json()["__type"] == "InvalidSignatureException", name


def test_a_request_that_only_reads_may_come_again(service: Any) -> None:
    recorded = Recorded(service, "ListLabelingJobs", b"{}")
    assert [recorded.send().status_code for _ in range(2)] == [200, 200]


def test_a_client_that_lost_the_answer_is_told_it_again(service: Any) -> None:
    """boto3 signs a retry within the same second with the same signature."""
    line = Proxy(int(service.url.rpartition(":")[2]))
    definitions = [{"OidcMemberDefinition": {"Groups": ["lost"]}}]
    with closing(line):
        for number in range(6):
            config = Config(retries={"total_max_attempts": 4, "mode": "standard"})
            client = service.client(endpoint_url=f"http://127.0.0.1:{line.port}", config=config)
            same_second(0.3)
            line.tear(1, keep=0.0)
            try:
                answer = client.create_workteam(
                    WorkteamName=f"lost-{number}", Description="x", MemberDefinitions=definitions
                )
            except client.exceptions.ResourceInUse:
                continue  # the retry was late, and came with another signature: AWS's own answer to it
            assert answer["ResponseMetadata"]["RetryAttempts"] == 1
            assert answer["WorkteamArn"].endswith(f"lost-{number}")
            return
    raise AssertionError("no retry came within the same second")


def same_second(seconds: float) -> None:
    """Wait until so much is left of the current second that a retry may fall into it."""
    while time.time() % 1 > seconds:
        time.sleep(0.01)


def test_a_retry_of_what_is_still_done_is_asked_to_wait_and_not_done_again(store: Database) -> None:
    guard, until = once.Once(store), now() + timedelta(minutes=15)
    started, go_on = threading.Event(), threading.Event()

    def act() -> int:
        started.set()
        assert go_on.wait(10)
        return 7

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(guard.do, "token", until, "call", act)
        assert started.wait(10)
        with pytest.raises(once.Unfinished):
            guard.do("token", until, "call", act)
        go_on.set()
        assert first.result() == 7
    assert guard.do("token", until, "call", lambda: 8) == 7


def test_a_token_is_used_once_by_all_processes(store: Database) -> None:
    url = store._writer.url.render_as_string(hide_password=False)
    with closing(Database(url)) as other:
        here, there, until = once.Once(store), once.Once(other), now() + timedelta(minutes=15)
        assert here.do("a", until, "call", lambda: 1) == 1
        with pytest.raises(once.Unfinished):
            there.do("a", until, "call", lambda: 2)
        assert there.do("b", until, "call", lambda: 3) == 3


def test_what_failed_the_first_time_is_tried_again(store: Database) -> None:
    guard, until = once.Once(store), now() + timedelta(minutes=15)

    def fail() -> None:
        raise Invalid("so not")

    with pytest.raises(Invalid, match="so not"):
        guard.do("a", until, "call", fail)
    assert guard.do("a", until, "another call", lambda: 1) == 1
    assert guard.do("a", until, "another call", lambda: 2) == 1


def test_an_equal_call_in_the_same_second_is_no_retry_and_gets_no_answer_of_another(service: Any) -> None:
    """To delete and create again within a second must not end with the first answer and nothing created."""
    client = service.client(config=Config(retries={"total_max_attempts": 5, "mode": "standard"}))
    arn = service.settings.arn("workteam/private-crowd/annotators")
    for number in range(3):
        key = f"twice-{number}"
        client.add_tags(ResourceArn=arn, Tags=[{"Key": key, "Value": ""}])
        client.delete_tags(ResourceArn=arn, TagKeys=[key])
        client.add_tags(ResourceArn=arn, Tags=[{"Key": key, "Value": ""}])
        assert key in {tag["Key"] for tag in client.list_tags(ResourceArn=arn)["Tags"]}


def test_a_token_that_expired_is_forgotten(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "TIDY_SECONDS", 0.0)
    guard, until = once.Once(store), now() + timedelta(minutes=15)
    guard.do("a", until, "call", lambda: None)
    with store.write() as connection:
        connection.execute(update(used_signatures).values(expires_at=now()))
    guard.do("b", until, "call", lambda: None)
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(used_signatures)) == 1


def test_the_store_keeps_no_signature_in_the_clear(service: Any) -> None:
    recorded = Recorded(service, "AddTags", add_tag(service, "hidden"))
    recorded.send()
    signature = recorded.request.headers["Authorization"].rpartition("Signature=")[2]
    files = [path for path in service.settings.home.iterdir() if path.name.startswith("store.db")]
    assert files and not any(signature.encode() in path.read_bytes() for path in files)


SIGNERS: list[tuple[str, Callable[[Any, AWSRequest], None]]] = [
    ("unsigned", lambda service, request: None),
    ("wrong secret", lambda service, request: service.sign(request, aws_secret_access_key="x" * 40)),
    ("unknown key", lambda service, request: service.sign(request, aws_access_key_id="TGIA" + "A" * 16)),
    ("other service", lambda service, request: service.sign(request, service="s3")),
]


@pytest.mark.parametrize("signer", [signer for _, signer in SIGNERS], ids=[name for name, _ in SIGNERS])
def test_no_operation_answers_a_request_that_is_not_signed_rightly(
    service: Any, signer: Callable[[Any, AWSRequest], None]
) -> None:
    for name in OPERATIONS:
        response = service.send(name, {}, sign=lambda request: signer(service, request))
        assert response.status_code == 403, name
        assert response.json()["__type"].endswith("Exception") and "Signature" not in response.headers
