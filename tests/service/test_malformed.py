"""Whatever is sent, the service answers: no 5xx, nothing that hangs, errors in AWS's form, and it goes on working.

Driven by botocore's shapes of every operation that is registered, and by the portal's own routes. A failure prints
what was sent and how to send it again.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from botocore.awsrequest import AWSRequest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from tests.service.running import LAMBDA, RunningService, _job_request, add_team, read_credentials, running
from tests.service.shapes import JUNK, SCALARS, TEXTS, WRONG_BYTES, as_json, spoiled, valued
from trueground.service.app import create_app
from trueground.service.aws.model import loop_model, service_model
from trueground.service.aws.registry import LOOP_OPERATIONS, OPERATIONS
from trueground.service.security import token_hash
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import sessions
from trueground.storage import file_uri

SLOWEST = 20.0
"""Seconds after which an answer counts as a hang. Far above what any takes: other tests may run beside this one."""
QUICK, LONG = 250, 8000
# AWS's common errors, which no model lists.
COMMON = {
    "ValidationException", "SerializationException", "UnknownOperationException", "RequestEntityTooLargeException",
    "InvalidSignatureException", "IncompleteSignatureException", "MissingAuthenticationTokenException",
    "UnrecognizedClientException", "AccessDeniedException", "ThrottlingException",
}  # fmt: skip
# No S3 here: a closed port, met at once and not asked again.
NO_S3 = {
    "key": "x",
    "secret": "y",
    "endpoint_url": "http://127.0.0.1:9",
    "config_kwargs": {"retries": {"total_max_attempts": 1}, "connect_timeout": 1},
}


def search(examples: int) -> Any:
    """Settings of a search. The quick set repeats itself; the long one looks elsewhere each time."""
    return settings(
        max_examples=examples,
        derandomize=examples < LONG // 4,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


class Target:
    """A running service, filled with one of everything, and clients that keep their connection."""

    def __init__(self, service: RunningService, app: FastAPI) -> None:
        self.service, self.app = service, app
        self.http = httpx.Client(base_url=service.url, timeout=SLOWEST)
        self.sent = 0
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.known_errors = COMMON | {
            name
            for model in (service_model(), loop_model())
            for name in model.shape_names
            if model.shape_for(name).metadata.get("exception")
        }
        folder = file_uri(service.data_root / "in/animals")
        arn = service.settings.arn
        self.pools: dict[str, list[str]] = {
            "Uri": [f"{folder}/{name}" for name in ("input.manifest", "template.html", "labels.json", "pixel.png")]
            + [f"{folder}/no", folder]
            + ["s3://bucket/key", "file:///etc/passwd", "file:///", f"{folder}/../../../etc/passwd"],
            "Path": [file_uri(service.data_root / "out"), "s3://bucket/out", f"{folder}/input.manifest", "file:///x"],
            "Arn": [arn("labeling-job/animals"), arn("workteam/private-crowd/annotators"), arn("workforce/default"),
                    arn("workteam/public-crowd/default"), arn("workteam/vendor-crowd/x"), arn("flow-definition/x"),
                    arn("human-task-ui/x"), LAMBDA + "PRE-ImageMultiClass", LAMBDA + "ACS-ImageMultiClass",
                    LAMBDA + "PRE-BoundingBox", arn("labeling-job/no"), "arn:aws:iam::000000000000:role/labeling",
                    "arn:aws:sns:us-east-1:000000000000:topic", arn("")],
            "Name": ["animals", "annotators", "default", "no", "digits", "animal", "a" * 63],
            "InputContent": ['{"a": 1}', "{}", "[]", "{", '"x"', '{"a": 1e999}', "null", '{"taskObject": "file:///etc/passwd"}'],
            "NextToken": ["W10=", "WyJhIiwgMV0=", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwKzAwOjAwIiwgMV0=", "WzEsIDJd", "x", "="],
            "Content": ["<crowd-form>{{ task.input }}<input name=q></crowd-form>", "{{",
                        "{% for x in (1..9) %}{{ x }}{% endfor %}"],
            "Task": ['{"source": "a text"}', '{"source-ref": "s3://bucket/x.png"}', "[]", "{", '{"source": 1e999}'],
        }  # fmt: skip

    def pool(self, member: str) -> list[str]:
        return next((values for end, values in self.pools.items() if member.endswith(end)), [])

    def call(self, target: str, body: bytes, headers: dict[str, str] | None = None, path: str = "/") -> httpx.Response:
        """Send a request of the API, rightly signed, and check the form of its answer."""
        request = AWSRequest("POST", self.service.url + path, data=body)
        request.headers["X-Amz-Target"] = target
        request.headers["Content-Type"] = "application/x-amz-json-1.1"
        # As AWS's own clients do, so that no two requests are the same to the byte.
        request.headers["amz-sdk-invocation-id"] = secrets.token_hex(8)
        for name, value in (headers or {}).items():
            del request.headers[name]
            request.headers[name] = value
        self.service.sign(request)
        self.sent += 1
        answer = self.http.post(path, content=body, headers=dict(request.headers))
        assert answer.status_code < 500, f"{answer.status_code} {answer.text}"
        content = json.loads(answer.text, parse_constant=_no_constant)
        if answer.status_code != 200:
            assert answer.status_code >= 400, answer.status_code
            assert set(content) == {"__type", "message"} and isinstance(content["message"], str), content
            assert content["__type"] in self.known_errors, content
            assert content["__type"] != "InvalidSignatureException", "the test did not sign rightly"
        self.outcomes[target, content.get("__type", "answered")] += 1
        return answer

    def call_loops(self, name: str, content: Any) -> httpx.Response:
        """Send a request of ``sagemaker-a2i-runtime``, its members where the model has them."""
        model = loop_model().operation_model(name)
        path, query, body = model.http["requestUri"], [], b""
        members = model.input_shape.members
        if isinstance(content, dict):
            for member, value in content.items():
                location = members[member].serialization.get("location") if member in members else None
                if location == "uri":
                    path = path.replace(f"{{{member}}}", quote(_clean(value) or "x", safe="").replace(".", "%2E"))
                elif location == "querystring":
                    query.append(f"{member}={quote(_clean(value)[:2000], safe='')}")
            content = {key: value for key, value in content.items() if "location" not in _serialization(members, key)}
        if model.http["method"] == "POST":
            body = as_json(content)
        path = path.replace("{HumanLoopName}", "x") + (f"?{'&'.join(query)}" if query else "")
        request = AWSRequest(model.http["method"], self.service.url + path, data=body)
        request.headers["Content-Type"] = "application/json"
        request.headers["amz-sdk-invocation-id"] = secrets.token_hex(8)
        self.service.sign(request)
        self.sent += 1
        headers = dict(request.headers)
        answer = self.http.request(model.http["method"], path, content=body, headers=headers)
        assert answer.status_code < 500, f"{answer.status_code} {answer.text}"
        found = json.loads(answer.text or "{}", parse_constant=_no_constant)
        if answer.status_code >= 300:
            assert answer.headers["x-amzn-errortype"] in self.known_errors, answer.headers
            assert answer.headers["x-amzn-errortype"] != "InvalidSignatureException", "the test did not sign rightly"
            assert isinstance(found["Message"], str)
        self.outcomes[name, answer.headers.get("x-amzn-errortype", "answered")] += 1
        return answer

    def still_works(self) -> None:
        assert self.call("SageMaker.DescribeLabelingJob", b'{"LabelingJobName": "animals"}').status_code == 200


def _serialization(members: Any, name: str) -> dict[str, Any]:
    return dict(members[name].serialization) if name in members else {}


def _no_constant(text: str) -> None:
    raise AssertionError(f"{text} is not JSON")


@contextmanager
def serve_target(folder: Path) -> Iterator[Target]:
    (folder / "data").mkdir()
    options = ServiceSettings(home=folder / "home", data_root=folder / "data", s3_options=NO_S3)
    app = create_app(options)
    with running(app) as url, closing(Database(options.database_url)) as db:
        add_team(db, options)
        service = RunningService(url, options, read_credentials(options), db)
        service.client().create_labeling_job(**_job_request(options.data_root, "animals", objects=50, workers=3))
        yield Target(service, app)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with serve_target(tmp_path_factory.mktemp("malformed").resolve()) as target:
        yield target


@pytest.fixture
def fresh_target(tmp_path: Path) -> Iterator[Target]:
    """A service that nobody has sent anything: among requests to the other, an UpdateWorkforce with a SourceIpConfig of
    other networks may have been right, and then nobody here can work.
    """
    with serve_target(tmp_path.resolve()) as target:
        yield target


def call_operations(target: Target, examples: int) -> None:
    """Requests of the right form and of nearly the right form, to every operation."""
    good = _job_request(target.service.data_root, "animals", objects=50, workers=3)

    @search(examples)
    @given(data=st.data())
    def call(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(OPERATIONS)))
        shape = service_model().operation_model(name).input_shape
        base = valued(shape, target.pool)
        if name == "CreateLabelingJob":
            fresh = st.integers(0, 10**9).map(lambda number: {**good, "LabelingJobName": f"job-{number}"})
            base = st.one_of(base, fresh, fresh)
        target.call(f"SageMaker.{name}", as_json(data.draw(spoiled(base))))

    @search(examples // 4)
    @given(data=st.data())
    def call_loops(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(LOOP_OPERATIONS)))
        base = valued(loop_model().operation_model(name).input_shape, target.pool)
        target.call_loops(name, data.draw(spoiled(base)))

    call()
    call_loops()
    target.still_works()


def test_malformed_requests_are_refused_in_the_form_of_aws(target: Target) -> None:
    call_operations(target, QUICK)


@pytest.mark.slow
def test_ten_thousand_malformed_requests_are_refused_in_the_form_of_aws(target: Target) -> None:
    before = target.sent
    call_operations(target, LONG)
    call_wire(target, 2500)
    assert target.sent - before >= 10_000
    answered = {name for name, outcome in target.outcomes if outcome == "answered"}
    assert {"SageMaker.CreateLabelingJob", "SageMaker.CreateWorkteam", "SageMaker.AddTags"} <= answered


HEADER_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)


def call_wire(target: Target, examples: int) -> None:
    """Bodies that are no JSON, wrong targets, content types and paths."""
    names = st.sampled_from(sorted(OPERATIONS)).map(lambda name: f"SageMaker.{name}")
    targets = st.one_of(names, names, HEADER_TEXT, st.sampled_from(["", "SageMaker.", "SageMaker.ListModels", "a.b.c"]))
    types = st.one_of(
        st.just("application/x-amz-json-1.1"),
        st.sampled_from(["text/plain", "application/xml", "multipart/form-data; boundary=", "application/cbor", "x"]),
        HEADER_TEXT,
    )
    extra = st.dictionaries(
        st.sampled_from(["X-Amz-Extra", "Accept", "Content-Encoding", "X-Forwarded-For", "Cookie", "Origin", "Range"]),
        HEADER_TEXT,
        max_size=2,
    )
    paths = st.sampled_from(["/", "/aws", "/aws/", "/?x=%ff&y", "/aws?%00"])

    @search(examples)
    @given(targets, WRONG_BYTES, types, extra, paths)
    def call(name: str, body: bytes, kind: str, headers: dict[str, str], path: str) -> None:
        target.call(name, body, {"Content-Type": kind, **headers}, path)

    call()
    target.still_works()


def test_bodies_targets_and_types_that_nobody_expects_are_refused(target: Target) -> None:
    call_wire(target, QUICK)


# -- the portal ---------------------------------------------------------------------------------------------------


class Visitor:
    """Someone signed in to the portal, for good: each request comes with a session that works.

    With a team and a job of their own, which no other test has stopped or deleted.
    """

    def __init__(self, target: Target, role: str) -> None:
        self.target, self.service = target, target.service
        self.name = f"{role}-{secrets.token_hex(4)}"
        arn = self.service.add_team(self.name)
        self.worker_id = self.service.add_worker(self.name, role=role, team=self.name)
        request = _job_request(self.service.data_root, self.name, WorkteamArn=arn)
        self.service.client().create_labeling_job(**request)
        self.http = httpx.Client(base_url=self.service.url, timeout=SLOWEST)
        token, self.csrf = self._session()
        self.token = token

    def _session(self) -> tuple[str, str]:
        token, csrf = secrets.token_urlsafe(8), secrets.token_urlsafe(8)
        with self.service.db.write() as connection:
            connection.execute(
                insert(sessions).values(
                    token_hash=token_hash(token),
                    worker_id=self.worker_id,
                    csrf_token=csrf,
                    created_at=now(),
                    expires_at=now() + timedelta(hours=1),
                )
            )
        return token, csrf

    def send(self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        if "signout" in path or method == "DELETE" or "session" in path:
            self.token, self.csrf = self._session()
        sent = {"Cookie": f"trueground_session={self.token}", "X-CSRF-Token": self.csrf, **(headers or {})}
        self.target.sent += 1
        answer = self.http.request(method, path, headers=sent, **options)
        assert answer.status_code < 500, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        if answer.status_code in range(300, 400):
            location = answer.headers.get("location", "/")
            assert location.startswith(("/", self.service.url)) and not location.startswith("//"), location
        if answer.content and answer.headers.get("content-type", "").startswith("application/json"):
            json.loads(answer.text, parse_constant=_no_constant)
        return answer


def portal_operations(app: FastAPI) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of every route, as the app describes itself."""
    return [
        (method.upper(), path, description)
        for path, methods in app.openapi()["paths"].items()
        for method, description in methods.items()
    ]


def body_of(app: FastAPI, description: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The content type and the properties of the body that a route takes."""
    for kind, content in description.get("requestBody", {}).get("content", {}).items():
        schema = content.get("schema", {})
        for inner in (schema, *schema.get("anyOf", [])):
            if "$ref" in inner:
                found = app.openapi()["components"]["schemas"][inner["$ref"].rpartition("/")[2]]
                return kind, found.get("properties", {})
        return kind, schema.get("properties", {})
    return None


PLAUSIBLE = {
    "string": st.one_of(st.sampled_from(["animals", "annotators", "worker", "a reason", "a@b.example"]), TEXTS),
    "integer": st.integers(-1, 100),
    "number": st.floats(-1, 100),
    "boolean": st.booleans(),
    "array": st.lists(st.sampled_from(["annotators", "x"]), max_size=3),
    "object": st.dictionaries(st.sampled_from(["crowd-image-classifier", "a"]), JUNK, max_size=2),
}


def visit(visitor: Visitor, examples: int) -> None:
    app, service = visitor.target.app, visitor.service
    operations = portal_operations(app)
    task = visitor.http.post(
        "/api/work/next",
        json={},
        headers={"Cookie": f"trueground_session={visitor.token}", "X-CSRF-Token": visitor.csrf},
    ).json()["assignment"]
    frame = task["frameUrl"].rpartition("/")[2]
    known = [
        visitor.name,
        task["id"],
        frame,
        frame[:-3],
        visitor.worker_id,
        "annotators",
        "default",
        "0",
        "-1",
        "9" * 30,
    ]
    parts = st.one_of(st.sampled_from(known), TEXTS.map(lambda text: text.encode("utf-8", "replace").decode()))
    headers = st.dictionaries(
        st.sampled_from(["Accept", "Range", "Referer", "Origin", "X-Forwarded-For", "Content-Type", "If-None-Match"]),
        HEADER_TEXT,
        max_size=2,
    )

    @search(examples)
    @given(data=st.data())
    def call(data: st.DataObject) -> None:
        method, path, description = data.draw(st.sampled_from(operations))
        query = {}
        for parameter in description.get("parameters", []):
            if parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", quote(data.draw(parts), safe=""))
            elif parameter["in"] == "query" and data.draw(st.integers(0, 4)):
                query[parameter["name"]] = data.draw(parts)
        options: dict[str, Any] = {"params": query} if query else {}
        sent = data.draw(headers)
        if (body := body_of(app, description)) is not None:
            kind, properties = body
            fields = {
                name: st.one_of(PLAUSIBLE.get(schema.get("type", ""), SCALARS), JUNK)
                for name, schema in properties.items()
            }
            content = data.draw(spoiled(st.fixed_dictionaries({}, optional=fields), most=1))
            if data.draw(st.integers(0, 9)) == 0:
                options["content"] = data.draw(WRONG_BYTES)
            elif kind == "application/json" or not isinstance(content, dict):
                options["content"] = as_json(content)
            else:
                options["content"] = "&".join(
                    f"{quote(_clean(name), safe='')}={quote(_clean(value), safe='')}" for name, value in content.items()
                ).encode()
            sent.setdefault("Content-Type", kind)
        visitor.send(method, path, headers=sent, **options)

    call()
    # As someone new: what was sent may have been a right request to end the account.
    fresh = Visitor(visitor.target, "worker")
    assert fresh.send("GET", "/api/work").status_code == 200, service.url


def _clean(value: Any) -> str:
    return str(value).encode("utf-8", "replace").decode()


@pytest.mark.parametrize("role", ["worker", "manager"])
def test_malformed_visits_of_the_portal_are_refused(target: Target, role: str) -> None:
    visit(Visitor(target, role), QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["worker", "manager"])
def test_thousands_of_malformed_visits_of_the_portal_are_refused(fresh_target: Target, role: str) -> None:
    visit(Visitor(fresh_target, role), 3000)


@pytest.mark.parametrize("value", ["", "x", "a" * 5000, "é", "%00", '"', "a=b; trueground_session=c"])
def test_a_cookie_that_nobody_gave_out_is_a_strangers(target: Target, value: str) -> None:
    headers = {"Cookie": f"trueground_session={value}".encode()}
    assert target.http.get("/api/work", headers=headers).status_code == 401
