"""Requests that no honest client sends: of other sites, too large, too slow, with a Host, path or target that lies."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.service.running import RunningService, add_team, read_credentials, running
from trueground.service import guard
from trueground.service.app import create_app
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database

ANSWER = {"answerContent": {"crowd-image-classifier": {"label": "dog"}}, "secondsActive": 1}
OPEN = {("post", "/api/session"), ("delete", "/api/session"), ("post", "/signin"), ("post", "/signout")}
"""What changes something without a token of the page: it begins a session, or ends one, which harms nobody."""
SIGNED = {("post", "/turk/answer")}
"""What takes no session at all, but a signed token in its body; without one, nothing is taken."""
UNSAFE = ("post", "put", "patch", "delete")


@pytest.fixture
def app(settings: ServiceSettings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def service(app: FastAPI, settings: ServiceSettings) -> Iterator[RunningService]:
    with running(app) as url, closing(Database(settings.database_url)) as db:
        add_team(db, settings)
        yield RunningService(url, settings, read_credentials(settings), db)


@pytest.fixture
def visitor(service: RunningService) -> Iterator[Callable[..., httpx.Client]]:
    """``visitor("ada", role="worker")``: someone signed in, whose requests carry the cookie and nothing else."""
    opened = []

    def make(username: str, **account: Any) -> httpx.Client:
        service.add_worker(username, **account)
        client = httpx.Client(base_url=service.url, timeout=30)
        signed_in = client.post("/api/session", json={"username": username, "password": "secret"})
        client.headers["X-CSRF-Token"] = signed_in.json()["csrfToken"]
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()


def raw(service: RunningService, *lines: str, body: bytes = b"", seconds: float = 10) -> str:
    """Send bytes as they are; what comes back until the service closes the connection."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as line:
        line.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        found = b""
        while chunk := line.recv(65536):
            found += chunk
        return found.decode("latin-1")


# -- other sites --------------------------------------------------------------------------------------------------


def plausible(schema: dict[str, Any], app: FastAPI) -> Any:
    """The least value that a schema lets through."""
    if "$ref" in schema:
        return plausible(app.openapi()["components"]["schemas"][schema["$ref"].rpartition("/")[2]], app)
    if "anyOf" in schema:
        return plausible(schema["anyOf"][0], app)
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [""])[0])
    kind = schema.get("type")
    if kind == "object":
        return {name: plausible(inner, app) for name, inner in schema.get("properties", {}).items()}
    if kind == "string":
        return "x" * max(1, int(schema.get("minLength", 1)))
    plain: dict[str | None, Any] = {"integer": 1, "number": 1, "boolean": True, "array": [], None: {}}
    return plain[kind]


@pytest.mark.parametrize("role", ["worker", "reviewer", "manager", "admin"])
def test_no_route_changes_anything_for_a_request_without_the_pages_token(
    app: FastAPI, service: RunningService, visitor: Any, make_job: Callable[..., str], role: str
) -> None:
    job = make_job("animals", objects=9)
    ada = visitor("ada", role=role)
    task = ada.post("/api/work/next", json={}).json()["assignment"]
    known = {"assignment_id": task["id"], "name": job, "job": job}
    del ada.headers["X-CSRF-Token"]
    checked = 0
    for path, methods in app.openapi()["paths"].items():
        for method, description in methods.items():
            if method not in UNSAFE or (method, path) in OPEN:
                continue
            address = re.sub(r"{(\w+)}", lambda found: known.get(found[1], "x"), path)
            bodies = description.get("requestBody", {}).get("content", {})
            options: dict[str, Any] = {}
            for kind, content in bodies.items():
                filled = plausible(content["schema"], app)
                options = {"json": filled} if kind == "application/json" else {"data": filled}
            answer = ada.request(method, address, **options)
            if (method, path) in SIGNED:
                assert answer.status_code == 409, (method, path, answer.text)
                continue
            unknown = set(re.findall(r"{(\w+)}", path)) - known.keys()
            # An answer that depends on the body or the resource would say that the token was not looked at first.
            assert answer.status_code == 403 or (unknown and answer.status_code == 404), (method, path, answer.text)
            checked += 1
    assert checked >= 4
    assert ada.get("/api/work").json()["jobs"][0]["answeredByMe"] == 0


def test_a_token_of_another_session_is_of_no_use(service: RunningService, visitor: Any, make_job: Any) -> None:
    make_job("animals")
    ada, eve = visitor("ada"), visitor("eve")
    task = ada.post("/api/work/next", json={}).json()["assignment"]
    ada.headers["X-CSRF-Token"] = eve.headers["X-CSRF-Token"]
    assert ada.post(f"/api/assignments/{task['id']}/answer", json=ANSWER).status_code == 403
    for wrong in ("", "é", "x" * 5000):
        headers = {"X-CSRF-Token": wrong.encode()}
        assert ada.post(f"/api/assignments/{task['id']}/answer", json=ANSWER, headers=headers).status_code == 403


def test_no_page_of_another_site_can_sign_anybody_in_or_out(
    app: FastAPI, service: RunningService, visitor: Any
) -> None:
    ada = visitor("ada")
    form = {"username": "ada", "password": "secret"}
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            if method in UNSAFE:
                address = re.sub(r"{\w+}", "x", path)
                answer = ada.request(method, address, data=form, headers={"Sec-Fetch-Site": "cross-site"})
                assert answer.status_code == 403 and "set-cookie" not in answer.headers, (method, path)
    assert ada.get("/api/work").status_code == 200
    for site in ("same-origin", "same-site", "none"):
        answer = httpx.post(f"{service.url}/signin", data=form, headers={"Sec-Fetch-Site": site})
        assert answer.status_code == 303


def test_a_link_from_another_site_still_opens_a_page(visitor: Any) -> None:
    assert visitor("ada").get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_the_session_cookie_is_for_the_service_alone(service: RunningService) -> None:
    service.add_worker("ada")
    form = {"username": "ada", "password": "secret"}
    for cookie in httpx.post(f"{service.url}/signin", data=form).headers.get_list("set-cookie"):
        assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "domain" not in cookie.lower()


# -- sessions -----------------------------------------------------------------------------------------------------


def test_a_session_that_was_planted_before_signing_in_is_not_taken_over(service: RunningService) -> None:
    service.add_worker("ada")
    planted = "planted-by-an-attacker"
    with httpx.Client(base_url=service.url, cookies={"trueground_session": planted}) as victim:
        victim.post("/api/session", json={"username": "ada", "password": "secret"})
        tokens = [cookie.value for cookie in victim.cookies.jar if cookie.name == "trueground_session"]
    assert any(token != planted for token in tokens)
    assert httpx.get(f"{service.url}/api/work", cookies={"trueground_session": planted}).status_code == 401


def test_signing_in_as_someone_else_ends_the_session_that_was_there(service: RunningService, visitor: Any) -> None:
    ada = visitor("ada")
    service.add_worker("eve")
    before = ada.cookies["trueground_session"]
    ada.post("/api/session", json={"username": "eve", "password": "secret"})
    assert ada.cookies["trueground_session"] != before
    assert httpx.get(f"{service.url}/api/work", cookies={"trueground_session": before}).status_code == 401


# -- where a redirect leads, and what stands in headers -----------------------------------------------------------

ELSEWHERE = [
    "https://evil.example", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example",
    "/\tevil.example", "/\t/evil.example", "\t//evil.example", "http:evil.example", "javascript:alert(1)",
    "evil.example", " //evil.example", "/ok\r\nLocation: https://evil.example", "/\r\n\r\n<script>",
    "/%0d%0aset-cookie:a=b", "/@evil.example", "/.evil.example",
]  # fmt: skip


def test_signing_in_never_leads_to_another_site(service: RunningService) -> None:
    service.add_worker("ada")
    for target in ELSEWHERE:
        check_target(service, target)


def check_target(service: RunningService, target: str) -> None:
    form = {"username": "ada", "password": "secret", "next": target}
    answer = httpx.post(f"{service.url}/signin", data=form)
    assert answer.status_code == 303 and "evil" not in answer.headers.get("set-cookie", "")
    landed = httpx.URL(service.url).join(answer.headers["location"])
    assert (landed.host, landed.port) == (httpx.URL(service.url).host, httpx.URL(service.url).port)
    assert not answer.headers["location"].startswith(("//", "/\\")) and "a=b" not in str(
        answer.headers.get("set-cookie")
    )
    page = httpx.get(f"{service.url}/signin", params={"next": target}).text
    assert 'value="//' not in page and 'value="http' not in page and "javascript:" not in page


@pytest.mark.parametrize("path", ["/work/%0d%0aX-Evil:1", "/work/a%0d%0aX-Evil:1?b=%0d%0aX-Evil:1", "//evil.example/x"])
def test_an_address_writes_no_header_and_leads_nowhere_else(service: RunningService, path: str) -> None:
    head = raw(service, f"GET {path} HTTP/1.1", "Host: a", "Connection: close").partition("\r\n\r\n")[0]
    assert "\r\nx-evil" not in head.lower()
    for location in re.findall(r"(?im)^location: (.*?)\r?$", head):
        assert location.startswith("/signin?next=%2F")


# -- the Host -----------------------------------------------------------------------------------------------------


NO_HOSTS = [
    "evil.example; script-src *", "a b", "a,b", "a'b", 'a"><script>', "user@evil.example", "a/../b", "a?b", "a#b",
    "a:99999999", "[::1", "*", "", "é", "a;sandbox",
]  # fmt: skip


def test_a_host_that_is_none_is_refused(service: RunningService) -> None:
    for host in NO_HOSTS:
        for path in ("/signin", "/frame/x", "/healthz"):
            answer = raw(service, f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close")
            assert answer.startswith("HTTP/1.1 400 "), (host, answer[:200])
            assert "script-src *" not in answer and "<script>" not in answer


def test_two_hosts_are_refused(service: RunningService) -> None:
    answer = raw(service, "GET /signin HTTP/1.1", "Host: a", "Host: b", "Connection: close")
    assert answer.startswith("HTTP/1.1 400 ")


@pytest.mark.parametrize("host", ["label.example", "label.example:8700", "127.0.0.1:80", "[::1]:80", "my_host-1.lan"])
def test_the_policy_of_a_frame_names_the_host_and_nothing_more(
    service: RunningService, visitor: Any, make_job: Any, host: str
) -> None:
    make_job("animals")
    task = visitor("ada").post("/api/work/next", json={}).json()["assignment"]
    answer = httpx.get(service.url + task["frameUrl"], headers={"Host": host})
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["connect-src"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert "allow-same-origin" not in policy["sandbox"] and "allow-top-navigation" not in policy["sandbox"]
    for name in ("script-src", "style-src", "img-src", "media-src", "font-src"):
        sources = policy[name].split()
        assert all(source.startswith((f"{host}/", "'unsafe-inline'", "data:", "blob:")) for source in sources), sources


def test_every_page_forbids_scripts_from_elsewhere_and_frames_of_elsewhere(
    service: RunningService, visitor: Any, make_job: Any
) -> None:
    make_job("animals")
    boss = visitor("boss", role="manager")
    for path in ("/signin", "/jobs", "/jobs/animals", "/nothing", "/jobs/nothing"):
        answer = boss.get(path)
        assert answer.status_code in (200, 404), path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'self'" in policy and "base-uri 'none'" in policy
        assert "unsafe-inline" not in policy and "unsafe-eval" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "no-store" in answer.headers["cache-control"]


# -- bodies -------------------------------------------------------------------------------------------------------


@pytest.fixture
def settings_with_small_bodies(settings: ServiceSettings) -> None:
    object.__setattr__(settings, "body_limit", 20_000)


def chunked(size: int) -> Iterator[bytes]:
    for _ in range(size // 10_000):
        yield b"x" * 10_000


@pytest.mark.usefixtures("settings_with_small_bodies")
@pytest.mark.parametrize(
    "path", ["/", "/aws", "/api/session", "/signin", "/api/work/next", "/api/assignments/x/answer"]
)
def test_a_body_over_the_limit_is_refused_with_a_length_and_without(
    service: RunningService, visitor: Any, path: str
) -> None:
    ada = visitor("ada")
    read = "application/x-www-form-urlencoded" if path == "/signin" else "application/json"
    for make in (lambda: b"x" * 3_000_000, lambda: chunked(3_000_000)):
        for kind in ("application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"):
            try:
                answer = ada.post(path, content=make(), headers={"Content-Type": kind})
            except (httpx.WriteError, httpx.ReadError):
                continue  # the service hung up before it was through
            # What is of a wrong type is refused before it is read.
            assert answer.status_code == 413 or (answer.status_code == 400 and kind != read), kind
    assert ada.get("/api/work").status_code == 200


@pytest.mark.usefixtures("settings_with_small_bodies")
def test_the_api_refuses_a_large_body_in_the_form_of_aws(service: RunningService) -> None:
    answer = service.send("ListLabelingJobs", b'{"NameContains": "' + b"x" * 200_000 + b'"}')
    assert (answer.status_code, answer.json()["__type"]) == (413, "RequestEntityTooLargeException")


@pytest.mark.parametrize("path", ["/", "/api/session", "/signin"])
def test_a_body_that_does_not_come_holds_no_connection(
    service: RunningService, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.3)
    begin = time.monotonic()
    kind = "application/x-www-form-urlencoded" if path == "/signin" else "application/json"
    head = ["Host: a", f"Content-Type: {kind}", "Content-Length: 100"]
    answer = raw(service, f"POST {path} HTTP/1.1", *head, body=b"{", seconds=10)
    assert answer.startswith("HTTP/1.1 408 ") and time.monotonic() - begin < 8


def test_an_answer_that_nests_too_deep_is_refused(service: RunningService, visitor: Any, make_job: Any) -> None:
    make_job("animals")
    ada = visitor("ada")
    task = ada.post("/api/work/next", json={}).json()["assignment"]
    body = b'{"answerContent": {"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}}"
    answer = ada.post(f"/api/assignments/{task['id']}/answer", content=body)
    assert answer.status_code == 400


# -- paths --------------------------------------------------------------------------------------------------------


OUTSIDE = [
    "/static/../api.py", "/static/..%2fapi.py", "/static/%2e%2e/api.py", "/static/....//api.py", "/static/.%00.css",
    "/static/%2e%2e%2f%2e%2e%2fsecurity.py", "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/.a.css",
    "/static/crowd/%2e%2e/../api.py", "/media/..%2f..%2fetc%2fpasswd", "/frame/../../etc/passwd", "/../../etc",
    "/jobs/..%2f..%2fetc", "/work/%2e%2e%2f%2e%2e", "/static/..\\api.py", "/static/%5c..%5capi.py",
]  # fmt: skip


def test_no_path_leads_out_of_what_is_served(service: RunningService, visitor: Any) -> None:
    cookie = visitor("boss", role="manager").cookies["trueground_session"]
    for path in OUTSIDE:
        lines = [f"GET {path} HTTP/1.1", "Host: a", f"Cookie: trueground_session={cookie}", "Connection: close"]
        answer = raw(service, *lines)
        assert answer.split()[1] in ("404", "400", "303", "405"), (path, answer[:200])
        assert "import" not in answer and "root:" not in answer, path


def test_no_name_is_a_path(service: RunningService, job_request: Callable[..., Any]) -> None:
    request = job_request("animals")
    for name in ("..", "../../x", "a/b", "a\\b", "a\0b", "%2e%2e", ".", "a" * 64, "a\nb", "-a"):
        request["LabelingJobName"] = name
        answer = service.send("CreateLabelingJob", json.dumps(request).encode())
        assert (answer.status_code, answer.json()["__type"]) == (400, "ValidationException"), name
    assert not (service.data_root / "out").exists()
