"""The JSON of a task's life: drafts, pauses, declining, looking back; and whom it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.service.running import TEAM, RunningService
from trueground.service.engine import accounts, pauses
from trueground.service.engine.errors import Invalid
from trueground.storage import file_uri

CONTENT = {"crowd-image-classifier": {"label": "dog"}}


def sign_in(service: RunningService, username: str, **options: Any) -> httpx.Client:
    service.add_worker(username, **options)
    client = httpx.Client(base_url=service.url)
    answer = client.post("/api/session", json={"username": username, "password": "secret"})
    client.headers["X-CSRF-Token"] = answer.json()["csrfToken"]
    return client


@pytest.fixture
def ada(service: RunningService) -> httpx.Client:
    return sign_in(service, "ada")


def next_task(client: httpx.Client) -> Any:
    return client.post("/api/work/next", json={"job": "animals"}).json()["assignment"]


def test_a_draft_comes_back_with_the_task_that_is_held(ada: httpx.Client, make_job: Callable[..., Any]) -> None:
    make_job("animals")
    task = next_task(ada)
    path = f"/api/assignments/{task['id']}/draft"
    assert ada.get(path).json() == {"draft": None}
    draft = {"answerContent": CONTENT, "secondsActive": 1.5}
    assert ada.put(path, json=draft).status_code == 204
    held = ada.get("/api/work/held", params={"job": "animals"}).json()["assignments"]
    assert [item["id"] for item in held] == [task["id"]]
    assert held[0]["draft"]["answerContent"] == CONTENT
    assert held[0]["draft"]["secondsActive"] == 1.5
    assert ada.get("/api/work/held", params={"job": "plants"}).json() == {"assignments": []}
    assert ada.post(f"/api/assignments/{task['id']}/answer", json=draft).status_code == 200
    assert ada.get(path).json() == {"draft": None}, "what is answered is no draft any more"


def test_a_paused_task_waits_and_is_taken_up_again(ada: httpx.Client, make_job: Callable[..., Any]) -> None:
    make_job("animals", objects=1)
    task = next_task(ada)
    assert ada.post(f"/api/assignments/{task['id']}/pause").status_code == 204
    assert [item["id"] for item in ada.get("/api/work/paused").json()["assignments"]] == [task["id"]]
    assert ada.get("/api/work/held", params={"job": "animals"}).json() == {"assignments": []}
    assert next_task(ada) is None
    assert "Put aside" in ada.get("/").text
    resumed = ada.post(f"/api/assignments/{task['id']}/resume").json()["assignment"]
    assert (resumed["id"], resumed["taskInput"]) == (task["id"], task["taskInput"])
    assert ada.get("/api/work/paused").json() == {"assignments": []}
    answer = ada.post(f"/api/assignments/{task['id']}/answer", json={"answerContent": CONTENT})
    assert answer.json()["answeredByMe"] == 1


def test_a_declined_task_is_not_offered_again_and_needs_a_reason(
    ada: httpx.Client, make_job: Callable[..., Any]
) -> None:
    make_job("animals", objects=1)
    task = next_task(ada)
    path = f"/api/assignments/{task['id']}/decline"
    assert ada.post(path, json={"reason": ""}).status_code == 400
    assert ada.post(path, json={"reason": "no animal"}).status_code == 204
    assert next_task(ada) is None


def test_a_declined_task_counts_as_work_for_the_others_only(
    service: RunningService, ada: httpx.Client, make_job: Callable[..., Any]
) -> None:
    bob = sign_in(service, "bob")
    make_job("animals", objects=1, workers=2)
    task = next_task(ada)
    assert ada.post(f"/api/assignments/{task['id']}/decline", json={"reason": "no animal"}).status_code == 204
    for client, available in ((ada, 0), (bob, 1)):
        assert [job["available"] for job in client.get("/api/work").json()["jobs"]] == [available]


def test_an_answer_is_shown_again_and_changed(ada: httpx.Client, make_job: Callable[..., Any]) -> None:
    make_job("animals", objects=2)
    task = next_task(ada)
    path = f"/api/assignments/{task['id']}/answer"
    ada.post(path, json={"answerContent": CONTENT})
    cat = {"crowd-image-classifier": {"label": "cat"}}
    assert ada.put(path, json={"answerContent": cat, "secondsActive": 0}).json() == {"accepted": True}
    (given,) = ada.get("/api/work/answers", params={"job": "animals"}).json()["answers"]
    assert (given["answerContent"], given["editable"], given["assignmentId"]) == (cat, True, task["id"])
    assert ada.get(given["frameUrl"]).status_code == 200
    assert ada.get("/api/work").json()["jobs"][0]["answeredByMe"] == 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({}, "The answer is empty"),
        ({"crowd-image-classifier": {"label": "Cat"}}, "'Cat' is not one of the categories ['cat', 'dog', 'bird']"),
        ({"words": "dog"}, "no element of the answer has a label; it holds 'words'"),
    ],
)
def test_an_answer_that_no_label_can_be_made_of_is_not_taken(
    service: RunningService, ada: httpx.Client, make_job: Callable[..., Any], content: Any, problem: str
) -> None:
    make_job("animals", objects=1, workers=2)
    task, wrong = next_task(ada), {"answerContent": content, "secondsActive": 1}
    path = f"/api/assignments/{task['id']}/answer"
    answer = ada.post(path, json=wrong)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid") and problem in answer.json()["message"]
    # Somebody else does not learn the categories from it.
    strange = sign_in(service, "eve", team=None).post(path, json=wrong)
    assert "cat" not in strange.text and strange.status_code in (400, 404)
    # A draft may hold anything, and the task is still there to be answered.
    assert ada.put(path.replace("/answer", "/draft"), json=wrong).status_code == 204
    assert ada.post(path, json={"answerContent": CONTENT, "secondsActive": 1}).status_code == 200
    edited = ada.put(path, json=wrong)
    assert edited.status_code == 400 and problem in edited.json()["message"]
    (mine,) = ada.get("/api/work/answers", params={"job": "animals"}).json()["answers"]
    assert mine["answerContent"] == CONTENT


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "draft", {"answerContent": CONTENT}),
        ("PUT", "answer", {"answerContent": CONTENT}),
        ("POST", "pause", {}),
        ("POST", "resume", {}),
        ("POST", "decline", {"reason": "x"}),
        ("GET", "draft", None),
    ],
)
def test_strangers_and_other_workers_are_refused(
    service: RunningService,
    ada: httpx.Client,
    make_job: Callable[..., Any],
    method: str,
    path: str,
    body: dict[str, Any] | None,
) -> None:
    make_job("animals")
    address = f"/api/assignments/{next_task(ada)['id']}/{path}"
    bob = sign_in(service, "bob")
    assert bob.request(method, address, json=body).status_code == 404
    assert httpx.request(method, service.url + address, json=body).status_code == 401
    if method != "GET":
        del ada.headers["X-CSRF-Token"]
        assert ada.request(method, address, json=body).status_code == 403


def test_no_answer_of_the_portal_tells_a_gold_object_from_the_others(
    service: RunningService, ada: httpx.Client, make_job: Callable[..., Any]
) -> None:
    picture, manifest = service.data_root / "gold.png", service.data_root / "gold.manifest"
    picture.write_bytes(b"any")
    metadata = {"class-name": "dog", "confidence": 1.0, "type": "groundtruth/image-classification"}
    line = {"source-ref": file_uri(picture), "animal": 1, "animal-metadata": metadata}
    manifest.write_text((json.dumps(line) + "\n") * 12)
    told = {"gold": file_uri(manifest), "qualification": "2"}
    make_job("animals", Tags=[{"Key": f"trueground:{name}", "Value": value} for name, value in told.items()])
    # In the qualification round every task is a gold object.
    task = next_task(ada)
    assert int(task["objectId"]) < 3
    (held,) = ada.get("/api/work/held", params={"job": "animals"}).json()["assignments"]
    assert ada.post(f"/api/assignments/{task['id']}/pause").status_code == 204
    (paused,) = ada.get("/api/work/paused").json()["assignments"]
    resumed = ada.post(f"/api/assignments/{task['id']}/resume").json()["assignment"]
    assert {shown["objectId"] for shown in (held, paused, resumed)} == {task["objectId"]}


def test_who_left_the_team_gets_no_task_back_that_they_held_or_kept_for_later(
    service: RunningService, ada: httpx.Client, make_job: Callable[..., Any]
) -> None:
    make_job("animals")
    kept = next_task(ada)["id"]
    assert ada.post(f"/api/assignments/{kept}/pause").status_code == 204
    held = next_task(ada)["id"]
    accounts.remove_from_group(service.db, "ada", TEAM)
    assert ada.get("/api/work/held", params={"job": "animals"}).json() == {"assignments": []}
    assert ada.post(f"/api/assignments/{kept}/resume").status_code == 404
    # Work that was done is not lost.
    assert ada.post(f"/api/assignments/{held}/answer", json={"answerContent": CONTENT}).status_code == 200


def test_a_null_character_in_a_reason_is_refused(
    service: RunningService, ada: httpx.Client, make_job: Callable[..., Any]
) -> None:
    make_job("animals")
    task = next_task(ada)["id"]
    assert ada.post(f"/api/assignments/{task}/decline", json={"reason": "all \0 black"}).status_code == 400
    with pytest.raises(Invalid, match="of text"):
        pauses.pause(service.db, "animals", task, "too \0 fast")
    assert ada.post(f"/api/assignments/{task}/decline", json={"reason": "all\nblack"}).status_code == 204
