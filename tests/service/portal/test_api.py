"""The portal's JSON API and pages, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.service.running import RunningService
from trueground.service.portal.frame_policy import SANDBOX


@pytest.fixture
def ada(service: RunningService) -> httpx.Client:
    service.add_worker("ada")
    client = httpx.Client(base_url=service.url)
    sign_in(client)
    return client


def sign_in(client: httpx.Client, username: str = "ada") -> None:
    answer = client.post("/api/session", json={"username": username, "password": "secret"})
    assert answer.status_code == 200
    client.headers["X-CSRF-Token"] = answer.json()["csrfToken"]


def next_task(client: httpx.Client) -> Any:
    answer = client.post("/api/work/next", json={})
    assert answer.status_code == 200, answer.text
    return answer.json()["assignment"]


def give(client: httpx.Client, task: Any, label: str = "dog") -> httpx.Response:
    body = {"answerContent": {"crowd-image-classifier": {"label": label}}, "secondsActive": 2.5}
    return client.post(f"/api/assignments/{task['id']}/answer", json=body)


def test_a_worker_answers_until_nothing_is_left(
    service: RunningService, ada: httpx.Client, make_job: Callable[..., Any]
) -> None:
    make_job("animals", objects=3)
    assert ada.get("/api/work").json()["jobs"][0]["available"] == 3
    for count in (1, 2, 3):
        answer = give(ada, next_task(ada))
        assert answer.json() == {"accepted": True, "repeated": False, "answeredByMe": count}
    assert next_task(ada) is None
    service.wait_for("animals", "Completed")


def test_a_repeated_answer_changes_nothing_and_is_told_so(ada: httpx.Client, make_job: Callable[..., Any]) -> None:
    make_job("animals", objects=2)
    task = next_task(ada)
    give(ada, task)
    again = give(ada, task)
    assert again.json() == {"accepted": True, "repeated": True, "answeredByMe": 1}


def test_another_answer_to_the_same_task_is_a_conflict_that_shows_the_stored_one(
    ada: httpx.Client, make_job: Callable[..., Any]
) -> None:
    make_job("animals", objects=2)
    task = next_task(ada)
    give(ada, task)
    other = give(ada, task, "cat")
    assert (other.status_code, other.json()["error"]) == (409, "answered")
    assert other.json()["stored"]["answerContent"] == {"crowd-image-classifier": {"label": "dog"}}
    assert other.json()["stored"]["editable"] is True
    # The worker may replace it; somebody who saw neither may not do so unawares.
    body = {"answerContent": {"crowd-image-classifier": {"label": "cat"}}, "secondsActive": 1.0}
    path = f"/api/assignments/{task['id']}/answer"
    assert ada.put(path, json=body).status_code == 200
    bird = {"answerContent": {"crowd-image-classifier": {"label": "bird"}}, "revision": 0}
    late = ada.put(path, json=bird)
    assert (late.status_code, late.json()["stored"]["answerContent"]) == (409, body["answerContent"])
    assert ada.put(path, json={**bird, "revision": 1}).status_code == 200


def test_a_released_task_comes_back_and_its_answer_is_refused(ada: httpx.Client, make_job: Callable[..., Any]) -> None:
    make_job("animals", objects=1)
    task = next_task(ada)
    assert ada.post(f"/api/assignments/{task['id']}/release").status_code == 204
    late = give(ada, task)
    assert (late.status_code, late.json()["error"]) == (409, "released")
    assert next_task(ada)["objectId"] == task["objectId"]


def test_strangers_get_nothing(service: RunningService, make_job: Callable[..., Any], ada: httpx.Client) -> None:
    make_job("animals")
    stranger = httpx.Client(base_url=service.url)
    for path in ("/api/work", "/api/session", "/api/jobs"):
        assert stranger.get(path).status_code == 401
    for path in ("/", "/jobs", "/work/animals"):
        answer = stranger.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/signin?next=")
    assert stranger.post("/api/session", json={"username": "ada", "password": "no"}).status_code == 401


def test_a_request_without_the_pages_token_is_refused(ada: httpx.Client, make_job: Callable[..., Any]) -> None:
    make_job("animals")
    del ada.headers["X-CSRF-Token"]
    assert ada.post("/api/work/next", json={}).status_code == 403


def test_a_worker_sees_no_managers_page(ada: httpx.Client) -> None:
    assert ada.get("/jobs").status_code == 403
    assert ada.get("/api/jobs").status_code == 403


def test_another_worker_cannot_answer_or_see_the_task(
    service: RunningService, ada: httpx.Client, make_job: Callable[..., Any]
) -> None:
    make_job("animals")
    service.add_worker("eve", team=None)
    eve = httpx.Client(base_url=service.url)
    sign_in(eve, "eve")
    task = next_task(ada)
    assert give(eve, task).status_code == 404
    assert eve.post(f"/api/assignments/{task['id']}/release").status_code == 404
    assert eve.get("/work/animals").status_code == 404
    assert eve.get("/api/work").json() == {"jobs": []}


def test_the_frame_is_sandboxed_and_its_media_links_work_without_a_session(
    service: RunningService, ada: httpx.Client, make_job: Callable[..., Any]
) -> None:
    make_job("animals")
    task = next_task(ada)
    page = httpx.get(service.url + task["frameUrl"])
    policy = page.headers["content-security-policy"]
    assert policy.startswith(f"sandbox {SANDBOX};")
    assert "allow-same-origin" not in policy
    assert "connect-src 'none'" in policy
    assert "assets.crowd.aws" not in page.text
    link = page.text.split('src="')[-1].split('"')[0]
    media = httpx.get(service.url + link)
    assert media.headers["content-type"] == "image/png"
    assert "sandbox" in media.headers["content-security-policy"]


def test_a_forged_link_opens_nothing(service: RunningService, ada: httpx.Client, make_job: Callable[..., Any]) -> None:
    make_job("animals")
    url = next_task(ada)["frameUrl"]
    assert httpx.get(f"{service.url}{url[:-2]}xx").status_code == 404
    # A token for a frame is no token for a file.
    assert httpx.get(f"{service.url}{url.replace('/frame/', '/media/')}").status_code == 404
    assert httpx.get(f"{service.url}/static/../api.py").status_code == 404


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "/signin", "/a\r\nb: c"]
)
def test_signing_in_leads_to_our_own_pages_only(service: RunningService, ada: httpx.Client, target: str) -> None:
    form = {"username": "ada", "password": "secret", "next": target}
    answer = httpx.post(f"{service.url}/signin", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_signing_in_leads_back_to_where_one_wanted_to_go(service: RunningService, ada: httpx.Client) -> None:
    form = {"username": "ada", "password": "secret", "next": "/work/animals"}
    assert httpx.post(f"{service.url}/signin", data=form).headers["location"] == "/work/animals"


def test_signing_out_ends_the_session(service: RunningService, ada: httpx.Client) -> None:
    cookie = dict(ada.cookies)
    ada.post("/signout")
    assert httpx.get(f"{service.url}/api/work", cookies=cookie).status_code == 401


def test_a_manager_sees_who_did_what_and_what_an_airflow_task_waits_for(
    service: RunningService, ada: httpx.Client, make_job: Callable[..., Any]
) -> None:
    tags = {"dag": "label_x", "run": "r", "task": "round_1.label"}
    make_job("animals", objects=2, Tags=[{"Key": f"trueground:{key}", "Value": value} for key, value in tags.items()])
    give(ada, next_task(ada))
    service.add_worker("boss", role="manager", team=None)
    boss = httpx.Client(base_url=service.url)
    sign_in(boss, "boss")
    assert "animals" in boss.get("/jobs").text
    facts = boss.get("/api/jobs/animals").json()
    assert facts["workers"][0]["username"] == "ada"
    # The claimed 2.5 s are more than passed since the task was taken.
    assert 0 <= facts["workers"][0]["median_seconds"] < 2.5
    assert "animals" in boss.get("/airflow/task", params=tags).text
    twin = "/api/airflow/task"
    assert boss.get(twin, params=tags).json()["job"]["name"] == "animals"
    assert boss.get(twin, params={**tags, "task": "other"}).json() == {"job": None}
    assert "has started none" in boss.get("/airflow/task", params={**tags, "task": "other"}).text
    assert boss.get("/jobs/nothing").status_code == 404


def test_a_long_body_and_a_wrong_body_are_refused(ada: httpx.Client, make_job: Callable[..., Any]) -> None:
    make_job("animals")
    task = next_task(ada)
    wrong = ada.post(f"/api/assignments/{task['id']}/answer", json={"answerContent": "dog"})
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid")
