"""The task page that Mechanical Turk shows in a frame, and what it takes in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from tests.service.mturk_server import MTurkServer
from tests.service.public_work import ADA, ANSWER, BEN, PUBLIC, data, made
from tests.service.running import RunningService
from trueground.service.portal.frame_policy import SANDBOX
from trueground.service.security import SecretBox
from trueground.service.store.tables import assignments


def test_a_preview_shows_the_task_and_takes_nothing(
    public_service: RunningService, turk: MTurkServer, page: httpx.Client, public_request: Callable[..., dict[str, Any]]
) -> None:
    hit = made(public_service, turk, public_request())
    shown = page.get(turk.page_of(hit))
    assert shown.status_code == 200
    assert "This is a preview" in shown.text and "$0.03" in shown.text
    assert "<form" not in shown.text
    frame = page.get(data(shown.text, "src"))
    assert "crowd-image-classifier" in frame.text
    with public_service.db.read() as connection:
        assert connection.execute(select(assignments)).all() == []


def test_only_mechanical_turk_may_show_the_page_in_a_frame(
    public_service: RunningService, turk: MTurkServer, page: httpx.Client, public_request: Callable[..., dict[str, Any]]
) -> None:
    hit = made(public_service, turk, public_request())
    shown = page.get(turk.page_of(hit))
    policy = shown.headers["content-security-policy"]
    assert f"frame-ancestors {turk.url};" in policy and f"form-action {turk.url};" in policy
    assert shown.headers["referrer-policy"] == "no-referrer"
    frame = page.get(data(shown.text, "src")).headers["content-security-policy"]
    assert f"frame-ancestors 'self' {turk.url}" in frame and f"sandbox {SANDBOX}" in frame
    assert "frame-ancestors 'self';" in page.get("/signin").headers["content-security-policy"]


def test_a_public_job_from_its_request_to_its_output(
    public_service: RunningService, turk: MTurkServer, page: httpx.Client, public_request: Callable[..., dict[str, Any]]
) -> None:
    hit = made(public_service, turk, public_request(workers=2))
    for worker in (ADA, BEN):
        accepted = turk.accept(hit, worker)
        shown = page.get(turk.page_of(hit, accepted)).text
        assert data(shown, "action") == f"{turk.url}/mturk/externalSubmit"
        answer = {"place": data(shown, "data-place"), "answerContent": ANSWER, "secondsActive": 1.5}
        assert page.post("/turk/answer", json=answer).status_code == 204
        assert page.post("/turk/answer", json=answer).status_code == 204  # sent again, it changes nothing
        httpx.post(data(shown, "action"), data={"assignmentId": accepted, "answered": "yes"}).raise_for_status()

    public_service.wait_for("animals", "Completed")

    statuses = [assignment["AssignmentStatus"] for assignment in turk.assignments.values()]
    assert statuses == ["Approved", "Approved"]
    out = public_service.data_root / "out/animals"
    (response,) = (out / "annotations/worker-response").rglob("*.json")
    entries = json.loads(response.read_text())["answers"]
    assert all(re.fullmatch(r"public\.us-east-1\.[0-9a-f]{16}", entry["workerId"]) for entry in entries)
    assert [entry["workerMetadata"] for entry in entries] == [{}, {}]
    texts = [path.read_text() for path in out.rglob("*") if path.is_file()]
    assert not any(ADA in text or BEN in text for text in texts)
    assert json.loads((out / "manifests/output/output.manifest").read_text())["animal"] == 1
    assert (
        public_service.client().describe_labeling_job(LabelingJobName="animals")["HumanTaskConfig"]["WorkteamArn"]
        == PUBLIC
    )


def test_who_comes_back_after_answering_can_still_hand_in_the_hit(
    public_service: RunningService, turk: MTurkServer, page: httpx.Client, public_request: Callable[..., dict[str, Any]]
) -> None:
    hit = made(public_service, turk, public_request())
    accepted = turk.accept(hit, ADA)
    shown = page.get(turk.page_of(hit, accepted)).text
    assert "<iframe" in page.get(turk.page_of(hit, accepted)).text  # before that, the same task
    page.post("/turk/answer", json={"place": data(shown, "data-place"), "answerContent": ANSWER})
    again = page.get(turk.page_of(hit, accepted)).text
    assert "We have your answer" in again and 'name="assignmentId"' in again
    assert "<iframe" not in again


def test_who_comes_when_all_answers_are_given_is_asked_to_return_the_hit(
    public_service: RunningService, turk: MTurkServer, page: httpx.Client, public_request: Callable[..., dict[str, Any]]
) -> None:
    hit = made(public_service, turk, public_request())
    first = turk.accept(hit, ADA)
    page.get(turk.page_of(hit, first))
    turk.assignments[first]["AssignmentStatus"] = "Returned"
    second = turk.accept(hit, BEN)
    shown = page.get(turk.page_of(hit, second)).text
    assert "Please return the HIT" in shown
    assert "<form" not in shown and "<iframe" not in shown


@pytest.mark.parametrize(
    "change",
    [("turkSubmitTo=http%3A%2F%2F127.0.0.1", "turkSubmitTo=https%3A%2F%2Fevil.example"),
     ("workerId=A", "workerId=%3Cb%3E"), ("hitId=3", "hitId=4"), ("assignmentId=3", "assignmentId=%2F")],
    ids=["turkSubmitTo", "workerId", "hitId", "assignmentId"],
)  # fmt: skip
def test_parameters_that_mechanical_turk_would_not_send_are_refused(
    public_service: RunningService,
    turk: MTurkServer,
    page: httpx.Client,
    public_request: Callable[..., dict[str, Any]],
    change: tuple[str, str],
) -> None:
    hit = made(public_service, turk, public_request())
    address = turk.page_of(hit, turk.accept(hit, ADA))
    assert change[0] in address
    assert page.get(address.replace(*change)).status_code == 400


def test_forged_and_expired_addresses_open_nothing(public_service: RunningService, page: httpx.Client) -> None:
    signer = SecretBox.load(public_service.settings.home).signer()
    assert page.get("/turk/abc.def").status_code == 404
    assert page.get("/turk/" + signer.sign("turk", {"j": 1, "p": 0}, -1)).status_code == 404
    assert page.get("/turk/" + signer.sign("frame", {"j": 1, "p": 0}, 60)).status_code == 404
    place = signer.sign("turk place", {"a": "x", "w": "y"}, -1)
    assert page.post("/turk/answer", json={"place": place, "answerContent": {}}).status_code == 409
