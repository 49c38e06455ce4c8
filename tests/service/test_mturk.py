"""Jobs of the public workforce: Mechanical Turk's API on one side, our task page in its frame on the other."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from html import unescape
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from sqlalchemy import select, update

from tests.service.conftest import RunningService, _running_service
from tests.service.mturk_server import MTurkServer, mturk_server
from trueground.service.engine import assignment, jobs, public_workers
from trueground.service.engine.errors import Invalid
from trueground.service.engine.mturk import PublicWork
from trueground.service.engine.public_request import PRICES, check_public, reward
from trueground.service.security import SecretBox
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import answers, assignments, labeling_jobs, public_tasks, workers

PUBLIC = "arn:aws:sagemaker:us-east-1:394669845002:workteam/public-crowd/default"
PRICE = {"AmountInUsd": {"Dollars": 0, "Cents": 3, "TenthFractionsOfACent": 6}}
FREE = ["FreeOfPersonallyIdentifiableInformation", "FreeOfAdultContent"]
ANSWER = {"crowd-image-classifier": {"label": "dog"}}
ADA, BEN = "A1ADALOVELACE", "A2BENJAMIN"


@pytest.fixture
def turk(monkeypatch: pytest.MonkeyPatch) -> Iterator[MTurkServer]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    with mturk_server() as server:
        yield server


@pytest.fixture
def public_settings(settings: ServiceSettings, turk: MTurkServer) -> ServiceSettings:
    return replace(settings, mturk_endpoint=turk.url, public_url="https://labels.example.org", poll_interval=0.05)


@pytest.fixture
def public_service(public_settings: ServiceSettings) -> Iterator[RunningService]:
    with _running_service(public_settings) as service:
        yield service


@pytest.fixture
def public_request(job_request: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A request for a job of the public workforce; classifiers replace those that it states."""

    def make(objects: int = 1, workers: int = 1, classifiers: list[str] = FREE, **members: Any) -> dict[str, Any]:
        members = {"WorkteamArn": PUBLIC, "PublicWorkforceTaskPrice": PRICE, **members}
        request = job_request("animals", objects, workers, **members)
        request["InputConfig"]["DataAttributes"] = {"ContentClassifiers": classifiers}
        return request

    return make


@pytest.fixture
def work(store: Database, public_settings: ServiceSettings) -> PublicWork:
    """What the background thread does, step by step, on both databases."""
    return PublicWork(store, public_settings, SecretBox.load(public_settings.home))


@pytest.fixture
def public_job(
    store: Database, public_settings: ServiceSettings, public_request: Callable[..., dict[str, Any]]
) -> Callable[..., None]:
    def make(*args: Any, **options: Any) -> None:
        jobs.create_job(store, public_settings.storage(), public_settings, public_request(*args, **options))

    return make


def task_of(db: Database, position: int = 0) -> public_workers.PublicTask:
    with db.read() as connection:
        job_id = connection.scalar(select(labeling_jobs.c.id))
    return public_workers.public_task(db, job_id, position)  # type: ignore[arg-type]


def label(work: PublicWork, db: Database, turk: MTurkServer, worker: str, position: int = 0) -> str:
    """A worker accepts, answers and hands in; the id of their assignment at Mechanical Turk."""
    task = task_of(db, position)
    assert task.hit_id is not None
    accepted = turk.accept(task.hit_id, worker)
    hand_in(work, db, worker, position)
    turk.submit(accepted)
    return accepted


def hand_in(work: PublicWork, db: Database, worker: str, position: int = 0) -> None:
    worker_id = public_workers.worker_of(db, work._box, worker)
    place = public_workers.take(db, worker_id, task_of(db, position))
    assert place.lease is not None
    public_workers.hand_in(db, place.lease.id, worker_id, ANSWER, 2.0)


def look_again(db: Database) -> None:
    """Some minutes pass, after which HITs are looked at again of which nobody handed anything in here."""
    with db.write() as connection:
        connection.execute(update(public_tasks).values(checked_at=now() - timedelta(minutes=6)))


def given(db: Database) -> list[Any]:
    with db.read() as connection:
        return list(connection.execute(select(answers)).all())


def states(db: Database) -> list[str]:
    with db.read() as connection:
        return list(connection.scalars(select(public_tasks.c.state).order_by(public_tasks.c.position)))


# What a request must say.


def test_the_public_workforce_is_refused_where_none_is_set_up(
    service: RunningService, public_request: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(ClientError, match=r"WorkteamArn cannot be honoured.*TRUEGROUND_MTURK_ENDPOINT"):
        service.client().create_labeling_job(**public_request())


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"classifiers": ["FreeOfAdultContent"]}, "InputConfig.DataAttributes.ContentClassifiers must contain"),
        ({"PublicWorkforceTaskPrice": None}, "PublicWorkforceTaskPrice is missing"),
        ({"PublicWorkforceTaskPrice": {"AmountInUsd": {"Cents": 3}}}, "0.030 dollars is not a price"),
        ({"PublicWorkforceTaskPrice": {"AmountInUsd": {"Dollars": 2}}}, "2.000 dollars is not a price"),
        ({"TaskAvailabilityLifetimeInSeconds": 43_201}, "43200 (12 hours) at most"),
        ({"Tags": [{"Key": "trueground:qualification", "Value": "3"}]}, "the tag trueground:qualification cannot be"),
        ({"Tags": [{"Key": "trueground:workers-max", "Value": "3"}]}, "the tag trueground:workers-max cannot be"),
    ],
)
def test_a_member_that_does_not_suit_the_public_workforce_is_refused_by_name(
    public_settings: ServiceSettings,
    public_request: Callable[..., dict[str, Any]],
    members: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(Invalid, match=re.escape(message)):
        check_public(public_request(**members), public_settings)


def test_boxes_and_masks_have_higher_lowest_prices(
    public_settings: ServiceSettings, public_request: Callable[..., dict[str, Any]]
) -> None:
    function = "arn:aws:lambda:us-east-1:432418664414:function:PRE-"
    check_public(public_request(PreHumanTaskLambdaArn=function + "BoundingBox"), public_settings)
    with pytest.raises(Invalid, match=r"choose one of 0\.840"):
        check_public(public_request(PreHumanTaskLambdaArn=function + "SemanticSegmentation"), public_settings)


def test_a_private_team_has_no_price(service: RunningService, job_request: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(ClientError, match="PublicWorkforceTaskPrice cannot be honoured"):
        service.client().create_labeling_job(**job_request(PublicWorkforceTaskPrice=PRICE))


def test_a_job_that_the_account_cannot_pay_for_is_refused(
    public_service: RunningService, turk: MTurkServer, public_request: Callable[..., dict[str, Any]]
) -> None:
    turk.balance = "0.10"
    with pytest.raises(ClientError, match=r"3 answers cost 0\.11 dollars.*has 0\.10"):
        public_service.client().create_labeling_job(**public_request(objects=3))
    turk.balance = "0.11"
    # Not the same request, which would get the same answer.
    public_service.client().create_labeling_job(**public_request(objects=3, TaskDescription="Say what you see."))


def test_every_price_of_the_menu_is_a_whole_number_of_cents_for_the_worker() -> None:
    rewards = []
    for tenths in PRICES:
        amount = {"Dollars": tenths // 1000, "Cents": tenths % 1000 // 10, "TenthFractionsOfACent": tenths % 10}
        rewards.append(reward({"HumanTaskConfig": {"PublicWorkforceTaskPrice": {"AmountInUsd": amount}}}))
    assert rewards[:7] == ["0.01", "0.02", "0.03", "0.04", "0.05", "0.06", "0.10"]
    assert rewards[-1] == "1.00"
    assert all(
        float(found) * 1.2 == pytest.approx(tenths / 1000) for found, tenths in zip(rewards, PRICES, strict=True)
    )


# What Mechanical Turk is asked, on both databases.


def test_each_object_gets_one_hit_as_the_job_says(
    work: PublicWork, turk: MTurkServer, public_job: Callable[..., None]
) -> None:
    public_job(objects=3, workers=2)
    work.tick()
    work.tick()
    assert len(turk.hits) == 3
    hit = turk.named("CreateHIT")[0]
    assert (hit["MaxAssignments"], hit["Reward"], hit["AssignmentDurationInSeconds"]) == (2, "0.03", 60)
    assert 21_500 < hit["LifetimeInSeconds"] <= 21_600  # six hours, unless the job says
    assert (hit["Title"], hit["Keywords"]) == ("Which animal is it?", "animals")
    assert "<ExternalURL>https://labels.example.org/turk/" in hit["Question"]
    assert "QualificationRequirements" not in hit
    assert len({call["UniqueRequestToken"] for call in turk.named("CreateHIT")}) == 3


def test_data_that_may_hold_adult_content_is_for_workers_who_want_it(
    work: PublicWork, turk: MTurkServer, public_job: Callable[..., None]
) -> None:
    public_job(classifiers=FREE[:1])
    work.tick()
    (requirement,) = turk.named("CreateHIT")[0]["QualificationRequirements"]
    assert requirement["QualificationTypeId"] == "00000000000000000060"


def test_the_classifiers_may_be_a_tag(work: PublicWork, turk: MTurkServer, public_job: Callable[..., None]) -> None:
    public_job(classifiers=[], Tags=[{"Key": "trueground:content-classifiers", "Value": "+".join(FREE)}])
    work.tick()
    assert "QualificationRequirements" not in turk.named("CreateHIT")[0]


def test_no_more_hits_are_open_than_the_job_allows_at_once(
    work: PublicWork, store: Database, turk: MTurkServer, public_job: Callable[..., None]
) -> None:
    public_job(objects=3, MaxConcurrentTaskCount=1)
    work.tick()
    work.tick()
    assert len(turk.hits) == 1
    label(work, store, turk, ADA)
    work.tick()  # takes the answer in
    work.tick()  # ends the HIT, and asks for the next
    work.tick()
    assert len(turk.hits) == 2


def test_a_hit_whose_answer_was_lost_is_found_again_and_made_once(
    work: PublicWork, store: Database, turk: MTurkServer, public_job: Callable[..., None]
) -> None:
    public_job(objects=12)
    turk.lose_answers.add("CreateHIT")
    work.tick()
    assert states(store) == ["wanted"] * 12
    work.tick()
    assert states(store) == ["open"] * 12
    assert len(turk.hits) == 12
    assert {task_of(store, position).hit_id for position in range(12)} == set(turk.hits)


def test_what_was_handed_in_is_an_answer_once_mechanical_turk_confirms_it(
    work: PublicWork, store: Database, turk: MTurkServer, public_job: Callable[..., None]
) -> None:
    public_job()
    work.tick()
    hand_in(work, store, ADA)
    work.tick()
    assert given(store) == []
    assert turk.named("ApproveAssignment") == []

    accepted = turk.accept(str(task_of(store).hit_id), ADA)
    turk.submit(accepted)
    work.tick()

    (answer,) = given(store)
    assert answer.content == ANSWER
    assert turk.assignments[accepted]["AssignmentStatus"] == "Approved"
    work.tick()
    assert len(turk.named("ApproveAssignment")) == 1


def test_an_invented_worker_gives_no_answer_and_blocks_the_place_for_a_while_only(
    work: PublicWork, store: Database, turk: MTurkServer, public_job: Callable[..., None]
) -> None:
    public_job()
    work.tick()
    hand_in(work, store, "A9INVENTED")
    ben = public_workers.worker_of(store, work._box, BEN)
    assert public_workers.take(store, ben, task_of(store)) == public_workers.Place(None)

    with store.write() as connection:
        connection.execute(update(assignments).values(expires_at=now() - timedelta(seconds=1)))
    assignment.expire_leases(store, task_of(store).job_id)
    label(work, store, turk, BEN)
    work.tick()
    assert [answer.worker_id for answer in given(store)] == [ben]


def test_who_hands_in_at_mechanical_turk_alone_is_neither_approved_nor_rejected(
    work: PublicWork, store: Database, turk: MTurkServer, public_job: Callable[..., None]
) -> None:
    public_job()
    work.tick()
    accepted = turk.accept(str(task_of(store).hit_id), ADA)
    turk.submit(accepted)
    work.tick()
    assert turk.assignments[accepted]["AssignmentStatus"] == "Submitted"
    assert given(store) == []


def test_an_approval_that_was_lost_is_made_up_for(
    work: PublicWork,
    store: Database,
    turk: MTurkServer,
    public_job: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    public_job(workers=2)
    work.tick()
    with monkeypatch.context() as broken:
        broken.setattr(MTurkServer, "ApproveAssignment", lambda self, asked: 1 / 0)
        accepted = label(work, store, turk, ADA)
        work.tick()
    assert len(given(store)) == 1
    look_again(store)
    work.tick()
    assert turk.assignments[accepted]["AssignmentStatus"] == "Approved"
    assert len(given(store)) == 1


def test_a_job_that_is_stopped_ends_its_hits_and_pays_who_was_at_it(
    work: PublicWork, store: Database, turk: MTurkServer, public_job: Callable[..., None]
) -> None:
    public_job(objects=2)
    work.tick()
    task = task_of(store)
    accepted = turk.accept(str(task.hit_id), ADA)
    hand_in(work, store, ADA)
    jobs.stop_job(store, "animals")
    work.tick()
    assert len(turk.named("UpdateExpirationForHIT")) == 2
    assert states(store) == ["closing", "over"]

    with store.write() as connection:
        connection.execute(update(labeling_jobs).values(ended_at=now(), status="Stopped"))
        connection.execute(update(assignments).values(state="expired"))
    turk.submit(accepted)
    look_again(store)
    work.tick()
    assert turk.assignments[accepted]["AssignmentStatus"] == "Approved"
    assert states(store) == ["over", "over"]
    assert turk.named("RejectAssignment") == []


def test_a_hit_that_was_made_unheard_is_ended_with_its_job(
    work: PublicWork, store: Database, turk: MTurkServer, public_job: Callable[..., None]
) -> None:
    public_job()
    turk.lose_answers.add("CreateHIT")
    work.tick()
    jobs.stop_job(store, "animals")
    work.tick()
    (hit,) = turk.hits.values()
    assert turk.status(hit) == "Reviewable"


def test_a_worker_is_the_same_in_every_job_and_their_id_is_kept_nowhere(
    work: PublicWork, store: Database, turk: MTurkServer, public_job: Callable[..., None]
) -> None:
    public_job()
    work.tick()
    first = public_workers.worker_of(store, work._box, ADA)
    assert public_workers.worker_of(store, work._box, ADA) == first
    assert public_workers.worker_of(store, work._box, BEN) != first
    with store.read() as connection:
        rows = connection.execute(select(workers)).all()
    assert ADA not in str(rows)
    assert {row.source for row in rows} == {"mturk"}


# The page in Mechanical Turk's frame.


@pytest.fixture
def page(public_service: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=public_service.url) as client:
        yield client


def made(service: RunningService, turk: MTurkServer, request: dict[str, Any]) -> str:
    """Create the job and wait for its HIT."""
    service.client().create_labeling_job(**request)
    end = time.monotonic() + 10
    while not turk.hits or "wanted" in states(service.db):
        assert time.monotonic() < end
        time.sleep(0.05)
    return next(iter(turk.hits))


def data(text: str, name: str) -> str:
    return unescape(re.search(rf'{name}="([^"]*)"', text)[1])  # type: ignore[index]


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
    assert f"frame-ancestors 'self' {turk.url}" in frame and "sandbox allow-scripts allow-forms" in frame
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


def test_the_team_of_the_public_workforce_is_not_listed_among_the_private_ones(
    public_service: RunningService, turk: MTurkServer, public_request: Callable[..., dict[str, Any]]
) -> None:
    made(public_service, turk, public_request())
    listed = public_service.client().list_workteams()["Workteams"]
    assert [team["WorkteamName"] for team in listed] == ["annotators"]
