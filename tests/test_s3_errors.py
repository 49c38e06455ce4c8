"""Each way in which S3 fails is one clear line, and only what may go away is tried again."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faulty_s3 import Fault, FaultyS3, serve_faulty_s3
from trueground.cli import main
from trueground.errors import InputError, PlacedError, UnavailableError
from trueground.storage import Storage

FILE = "s3://data/m.manifest"
NEW = "s3://data/new"


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyS3]:
    with serve_faulty_s3("data") as found:
        found.client().put_object(Bucket="data", Key="m.manifest", Body=b'{"source": "a"}\n')
        yield found


@pytest.fixture
def s3(server: FaultyS3) -> Iterator[FaultyS3]:
    yield server
    server.heal()


def _open(storage: Storage, uri: str) -> None:
    with storage.open(uri) as handle:
        handle.read()


def _write_all(storage: Storage, uri: str) -> None:
    storage.write_all({f"{uri}/1": b"1", f"{uri}/2": b"2"})


USES: dict[str, Callable[[Storage, str], Any]] = {
    "open": _open,
    "read_bytes": Storage.read_bytes,
    "read_small": lambda storage, uri: storage.read_small(uri, 100),
    "read_text": Storage.read_text,
    "size": Storage.size,
    "exists": Storage.exists,
    "list": lambda storage, uri: list(storage.list(uri)),
    "write_bytes": lambda storage, uri: storage.write_bytes(uri, b"x"),
    "write_all": _write_all,
    "delete": Storage.delete,
}
WRITES = ("write_bytes", "write_all", "delete")


def uri_of(use: str, file: str = FILE, new: str = NEW) -> str:
    return new if use in WRITES else file


LASTING: list[tuple[Fault, str]] = [
    ((403, "AccessDenied", "Access Denied"), "denied"),
    ((403, "InvalidAccessKeyId", "The key does not exist"), "denied|rejects the credentials"),
    ((403, "SignatureDoesNotMatch", "The signature does not match"), "denied|rejects the credentials"),
    ((400, "ExpiredToken", "The token has expired"), "rejects"),
    ((400, "AuthorizationHeaderMalformed", "the region is wrong"), "another region|rejects the request"),
]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(("fault", "problem"), LASTING, ids=lambda value: value[1] if isinstance(value, tuple) else "")
def test_what_trying_again_does_not_help_is_told_at_once(s3: FaultyS3, use: str, fault: Fault, problem: str) -> None:
    s3.fail(fault, forever=True)
    with pytest.raises(InputError, match=problem) as caught:
        USES[use](Storage(s3_options=s3.options), uri_of(use))
    assert str(caught.value.file).startswith("s3://data/") and caught.value.hint
    # One for each of the two files of write_all; botocore itself asks where a bucket is.
    tried = [request for request in s3.requests if not request.endswith("/data")]
    assert len(tried) <= 2, s3.requests


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "fault", [(500, "InternalError", "Oops"), (503, "SlowDown", "Slower, please"), "slow"], ids=str
)
def test_what_may_go_away_is_tried_again(s3: FaultyS3, use: str, fault: Fault) -> None:
    storage = Storage(s3_options=s3.options)
    s3.fail(fault)
    USES[use](storage, uri_of(use))
    assert len(s3.requests) >= 2


@pytest.mark.parametrize("use", ["open", "read_bytes", "list", "write_bytes"])
@pytest.mark.parametrize(
    ("fault", "problem"), [((500, "InternalError", "Oops"), "not available: 500"), ("slow", "did not answer in time")]
)
def test_what_does_not_go_away_is_one_line_after_all_tries(s3: FaultyS3, use: str, fault: Fault, problem: str) -> None:
    options = s3.options
    options["config_kwargs"] = {"read_timeout": 0.2, "retries": {"mode": "standard", "total_max_attempts": 2}}
    s3.fail(fault, forever=True)
    with pytest.raises(UnavailableError, match=problem) as caught:
        USES[use](Storage(s3_options=options), uri_of(use))
    assert str(caught.value.file).startswith("s3://data/") and caught.value.hint and len(s3.requests) >= 2


@pytest.mark.parametrize("use", USES)
def test_a_bucket_that_is_not_there_or_cannot_be_is_named(s3: FaultyS3, use: str) -> None:
    storage = Storage(s3_options=s3.options)
    with pytest.raises(InputError, match="there is no bucket 'nowhere'") as caught:
        USES[use](storage, "s3://nowhere/m.manifest")
    assert str(caught.value.file).startswith("s3://nowhere/")
    for name in ("my bucket", "b!", "x" * 300):
        with pytest.raises(InputError, match="is not a valid bucket name"):
            USES[use](storage, f"s3://{name}/m.manifest")


@pytest.mark.parametrize("use", USES)
def test_missing_credentials_are_named(s3: FaultyS3, use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    storage = Storage(s3_options={"endpoint_url": s3.url, "client_kwargs": {"region_name": "us-east-1"}})
    with pytest.raises(InputError, match="no AWS credentials were found"):
        USES[use](storage, uri_of(use))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InputError, match=r"credentials cannot be read.*nobody"):
        USES[use](Storage(s3_options={"endpoint_url": s3.url}), uri_of(use))


@pytest.mark.parametrize("use", USES)
def test_a_server_that_is_not_there_is_told(use: str) -> None:
    options = {"key": "x", "secret": "x", "endpoint_url": "http://127.0.0.1:9", "client_kwargs": {"region_name": "x"}}
    options["config_kwargs"] = {"retries": {"mode": "standard", "total_max_attempts": 1}}
    with pytest.raises(UnavailableError, match=r"cannot be reached.*Check the network and the endpoint"):
        USES[use](Storage(s3_options=options), uri_of(use))


def test_an_answer_that_breaks_off_is_asked_for_again(s3: FaultyS3) -> None:
    storage = Storage(s3_options=s3.options)
    s3.faults[:] = [iter((None, "cut"))]  # type: ignore[arg-type]  # the size first
    assert storage.read_bytes(FILE) == b'{"source": "a"}\n'
    s3.fail("cut", forever=True)
    with pytest.raises(UnavailableError, match="broke off"):
        storage.read_bytes(FILE)


def test_an_upload_that_fails_in_the_middle_leaves_the_old_file(s3: FaultyS3) -> None:
    storage = Storage(s3_options=s3.options)
    storage.write_bytes("s3://data/kept", b"old")
    with pytest.raises(PlacedError), storage.writer("s3://data/kept") as handle:
        handle.write(b"n" * 60 * 1024 * 1024)
        s3.fail((403, "AccessDenied", "no"), forever=True)
    s3.heal()
    assert storage.read_bytes("s3://data/kept") == b"old"
    assert [name for name in storage.list("s3://data") if "kept" in name] == ["s3://data/kept"]


@pytest.mark.parametrize(
    ("fault", "uri", "expected"),
    [
        (None, "s3://nowhere/m.manifest", "there is no bucket 'nowhere'"),
        (None, "s3://my bucket/m.manifest", "'my bucket' is not a valid bucket name"),
        (None, "s3://data/none", "there is no such manifest"),
        ((403, "AccessDenied", "Access Denied"), FILE, "access to S3 is denied"),
        ((500, "InternalError", "Oops"), FILE, "S3 is not available: 500"),
    ],
)
def test_the_command_line_tells_it_in_one_line(
    s3: FaultyS3,
    fault: Fault | None,
    uri: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if fault is not None:
        s3.fail(fault, forever=True)
    environment = {
        "AWS_ENDPOINT_URL_S3": s3.url,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "2",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["trueground", "manifest", "check", uri, "--media", "text"])
    with pytest.raises(SystemExit) as ended:
        main()
    output = capsys.readouterr()
    assert ended.value.code == 1 and output.out == ""
    (line,) = output.err.strip().split("\n")
    assert line.startswith(f"error: {uri}: ") and expected in line
