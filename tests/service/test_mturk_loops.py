"""Human loops of the public workforce."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from sqlalchemy import update

from tests.service.mturk_server import MTurkServer
from tests.service.public_work import ADA, BEN, FREE, PRICE, PUBLIC, data, given, look_again, states
from tests.service.running import ROLE, RunningService
from trueground.service.engine import flow_definitions, human_loops, human_task_uis, jobs, public_workers
from trueground.service.engine.errors import Conflict, Invalid
from trueground.service.engine.loop_ends import LoopEnds
from trueground.service.engine.mturk import PublicWork
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import data_objects
from trueground.storage import file_uri

TEMPLATE = '<crowd-form><crowd-input name="words" value="{{ task.input.words }}"></crowd-input></crowd-form>'
ANSWER = {"words": "hello"}


def ask(settings: ServiceSettings, **human: Any) -> dict[str, Any]:
    """A CreateFlowDefinition request for the public workforce."""
    config = {
        "WorkteamArn": PUBLIC,
        "HumanTaskUiArn": settings.arn("human-task-ui/words"),
        "TaskTitle": "Check the words",
        "TaskDescription": "Correct what was heard wrongly.",
        "TaskCount": 1,
        "PublicWorkforceTaskPrice": PRICE,
        **human,
    }
    return {
        "FlowDefinitionName": "words",
        "HumanLoopConfig": {key: value for key, value in config.items() if value is not None},
        "OutputConfig": {"S3OutputPath": file_uri(settings.data_root / "reviews")},
        "RoleArn": ROLE,
    }


@pytest.fixture
def flow(store: Database, public_settings: ServiceSettings) -> Callable[..., None]:
    """Create the flow definition in the store."""

    def make(**human: Any) -> None:
        ui = {"HumanTaskUiName": "words", "UiTemplate": {"Content": TEMPLATE}}
        human_task_uis.create_ui(store, public_settings, ui)
        request = ask(public_settings, **human)
        flow_definitions.create_flow(store, public_settings.storage(), public_settings, request)

    return make


@pytest.fixture
def loop(store: Database, public_settings: ServiceSettings) -> Callable[..., str]:
    """Start a human loop in the store."""

    def start(name: str = "first", classifiers: list[str] = FREE, words: str = "helo") -> str:
        request = {
            "HumanLoopName": name,
            "FlowDefinitionArn": public_settings.arn("flow-definition/words"),
            "HumanLoopInput": {"InputContent": json.dumps({"words": words})},
            "DataAttributes": {"ContentClassifiers": classifiers},
        }
        return human_loops.start_loop(store, public_settings, request)

    return start


@pytest.fixture
def ends(store: Database, public_settings: ServiceSettings) -> LoopEnds:
    """What brings loops to their end, step by step."""
    return LoopEnds(store, public_settings.storage(), public_settings)


def task_of(db: Database, position: int = 0) -> public_workers.PublicTask:
    return public_workers.public_task(db, 1, position)


def hand_in(work: PublicWork, db: Database, turk: MTurkServer, worker: str, position: int = 0) -> str:
    """A worker accepts, answers and hands in; the id of their assignment at Mechanical Turk."""
    task = task_of(db, position)
    accepted = turk.accept(str(task.hit_id), worker)
    worker_id = public_workers.worker_of(db, work._box, worker)
    place = public_workers.take(db, worker_id, task)
    assert place.lease is not None
    public_workers.hand_in(db, place.lease.id, worker_id, ANSWER, 2.0)
    return accepted


# What requests must say.


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"PublicWorkforceTaskPrice": None}, "HumanLoopConfig.PublicWorkforceTaskPrice is missing"),
        ({"PublicWorkforceTaskPrice": {"AmountInUsd": {"Cents": 3}}}, "0.030 dollars is not a price"),
        ({"PublicWorkforceTaskPrice": {"AmountInUsd": {"Dollars": 2, "Cents": 40}}}, "2.400 dollars is not a price"),
        ({"TaskAvailabilityLifetimeInSeconds": 43_201}, "43200 (12 hours) at most"),
        ({"WorkteamArn": PUBLIC.replace("394669845002", "123456789012")}, "there is no work team"),
    ],
)
def test_a_member_that_does_not_suit_the_public_workforce_is_refused_by_name(
    flow: Callable[..., None], turk: MTurkServer, members: dict[str, Any], message: str
) -> None:
    if "WorkteamArn" in members:
        members = {**members, "PublicWorkforceTaskPrice": None}
    with pytest.raises(Invalid, match=re.escape(message)):
        flow(**members)


def test_reviews_of_forms_may_cost_more(store: Database, public_settings: ServiceSettings) -> None:
    human_task_uis.create_ui(store, public_settings, {"HumanTaskUiName": "words", "UiTemplate": {"Content": TEMPLATE}})
    request = ask(public_settings, PublicWorkforceTaskPrice={"AmountInUsd": {"Dollars": 2, "Cents": 40}})
    request["HumanLoopRequestSource"] = {"AwsManagedHumanLoopRequestSource": "AWS/Textract/AnalyzeDocument/Forms/V1"}
    flow_definitions.create_flow(store, public_settings.storage(), public_settings, request)


def test_a_tag_that_chooses_among_workers_is_refused(store: Database, public_settings: ServiceSettings) -> None:
    request = {**ask(public_settings), "Tags": [{"Key": "trueground:role", "Value": "reviewer"}]}
    with pytest.raises(Invalid, match="the tag trueground:role cannot be honoured"):
        flow_definitions.create_flow(store, public_settings.storage(), public_settings, request)


def test_the_public_workforce_is_refused_where_none_is_set_up(
    service: RunningService, sagemaker: Any, flow_request: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(ClientError, match=r"HumanLoopConfig.WorkteamArn cannot be.*TRUEGROUND_MTURK_ENDPOINT"):
        sagemaker.create_flow_definition(**flow_request(WorkteamArn=PUBLIC, PublicWorkforceTaskPrice=PRICE))
    with pytest.raises(ClientError, match="PublicWorkforceTaskPrice cannot be honoured: only the public"):
        sagemaker.create_flow_definition(**flow_request(PublicWorkforceTaskPrice=PRICE))


@pytest.mark.parametrize("classifiers", [[], ["FreeOfAdultContent"]])
def test_input_that_may_hold_personal_data_is_shown_to_nobody(
    flow: Callable[..., None], loop: Callable[..., str], classifiers: list[str]
) -> None:
    flow()
    with pytest.raises(Invalid, match=r"DataAttributes\.ContentClassifiers must contain FreeOfPersonally"):
        loop(classifiers=classifiers)


def test_a_loop_that_the_account_cannot_pay_for_is_refused_and_one_that_was_started_is_not(
    flow: Callable[..., None], loop: Callable[..., str], turk: MTurkServer
) -> None:
    flow(TaskCount=3)
    turk.balance = "0.10"
    with pytest.raises(Invalid, match=r"3 answers cost 0\.11 dollars.*has 0\.10"):
        loop()
    turk.balance = "0.11"
    arn = loop()
    turk.balance = "0.00"
    assert loop() == arn
    with pytest.raises(Conflict):
        loop(words="other")


# What Mechanical Turk is asked, on both databases.


def test_each_loop_gets_one_hit_as_its_flow_definition_says(
    work: PublicWork, turk: MTurkServer, flow: Callable[..., None], loop: Callable[..., str]
) -> None:
    flow(TaskCount=2, TaskTimeLimitInSeconds=120, TaskKeywords=["words"])
    loop("first")
    loop("second", FREE[:1])
    work.tick()
    work.tick()
    first, second = turk.named("CreateHIT")
    assert (first["MaxAssignments"], first["Reward"], first["AssignmentDurationInSeconds"]) == (2, "0.03", 120)
    assert (first["Title"], first["Keywords"]) == ("Check the words", "words")
    assert 21_500 < first["LifetimeInSeconds"] <= 21_600  # six hours, unless the flow definition says
    assert "QualificationRequirements" not in first
    assert second["QualificationRequirements"][0]["QualificationTypeId"] == "00000000000000000060"


def test_a_loop_that_is_stopped_ends_its_hit_and_keeps_what_was_handed_in(
    work: PublicWork,
    store: Database,
    turk: MTurkServer,
    ends: LoopEnds,
    flow: Callable[..., None],
    loop: Callable[..., str],
    public_settings: ServiceSettings,
) -> None:
    flow(TaskCount=2)
    loop("first")
    loop("second")
    work.tick()
    accepted = hand_in(work, store, turk, ADA)
    human_loops.stop_loop(store, "first")
    human_loops.stop_loop(store, "second")
    ends.tick()
    # Mechanical Turk has yet to confirm who handed that in.
    assert human_loops.describe_loop(store, public_settings, "first").status == "Stopping"
    work.tick()
    assert states(store) == ["closing", "over"]
    turk.submit(accepted)
    work.tick()
    ends.tick()
    found = human_loops.describe_loop(store, public_settings, "first")
    assert (found.status, found.output_uri is not None) == ("Stopped", True)
    assert human_loops.describe_loop(store, public_settings, "second").output_uri is None
    assert turk.assignments[accepted]["AssignmentStatus"] == "Approved"
    look_again(store)
    work.tick()
    assert states(store) == ["over", "over"]


def test_a_loop_whose_time_is_over_is_offered_no_longer(
    work: PublicWork,
    store: Database,
    turk: MTurkServer,
    ends: LoopEnds,
    flow: Callable[..., None],
    loop: Callable[..., str],
    public_settings: ServiceSettings,
) -> None:
    flow()
    loop("asked")
    work.tick()
    loop("not-asked")
    with store.write() as connection:
        connection.execute(update(data_objects).values(available_until=now() - timedelta(seconds=1)))
    work.tick()
    ends.tick()
    assert len(turk.hits) == 1
    assert turk.status(next(iter(turk.hits.values()))) == "Reviewable"
    for name in ("asked", "not-asked"):
        found = human_loops.describe_loop(store, public_settings, name)
        assert (found.status, found.failure_code) == ("Failed", "Expired")


def test_a_labeling_job_of_the_same_name_keeps_its_own_tasks(
    work: PublicWork,
    store: Database,
    turk: MTurkServer,
    flow: Callable[..., None],
    loop: Callable[..., str],
    public_request: Callable[..., dict[str, Any]],
    public_settings: ServiceSettings,
) -> None:
    flow()
    loop()
    request = {**public_request(), "LabelingJobName": "words"}
    jobs.create_job(store, public_settings.storage(), public_settings, request)
    work.tick()
    worker_id = public_workers.worker_of(store, work._box, ADA)
    for job_id in (2, 1):
        place = public_workers.take(store, worker_id, public_workers.public_task(store, job_id, 0))
        assert place.lease is not None
        assert place.lease.job_id == job_id


def test_a_loop_from_its_start_to_its_output(
    public_service: RunningService, turk: MTurkServer, page: httpx.Client
) -> None:
    client, a2i = public_service.client(), public_service.client("sagemaker-a2i-runtime")
    client.create_human_task_ui(HumanTaskUiName="words", UiTemplate={"Content": TEMPLATE})
    arn = client.create_flow_definition(**ask(public_service.settings, TaskCount=2))["FlowDefinitionArn"]
    kept = client.describe_flow_definition(FlowDefinitionName="words")["HumanLoopConfig"]
    assert (kept["PublicWorkforceTaskPrice"], kept["WorkteamArn"]) == (PRICE, PUBLIC)
    request: dict[str, Any] = {
        "HumanLoopName": "first",
        "FlowDefinitionArn": arn,
        "HumanLoopInput": {"InputContent": '{"words": "helo wörld"}'},
    }
    with pytest.raises(ClientError, match="FreeOfPersonallyIdentifiableInformation") as refused:
        a2i.start_human_loop(**request)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    a2i.start_human_loop(**request, DataAttributes={"ContentClassifiers": FREE})
    end = time.monotonic() + 10
    while not turk.hits or "wanted" in states(public_service.db):
        assert time.monotonic() < end
        time.sleep(0.05)
    (hit,) = turk.hits

    assert "helo wörld" in page.get(data(page.get(turk.page_of(hit)).text, "src")).text
    for worker in (ADA, BEN):
        accepted = turk.accept(hit, worker)
        shown = page.get(turk.page_of(hit, accepted)).text
        answer = {"place": data(shown, "data-place"), "answerContent": ANSWER, "secondsActive": 1.5}
        assert page.post("/turk/answer", json=answer).status_code == 204
        httpx.post(data(shown, "action"), data={"assignmentId": accepted, "answered": "yes"}).raise_for_status()
    while (found := a2i.describe_human_loop(HumanLoopName="first"))["HumanLoopStatus"] == "InProgress":
        assert time.monotonic() < end + 10
        time.sleep(0.05)

    assert found["HumanLoopStatus"] == "Completed"
    output = json.loads(public_service.settings.storage().read_bytes(found["HumanLoopOutput"]["OutputS3Uri"]))
    assert [entry["answerContent"] for entry in output["humanAnswers"]] == [ANSWER, ANSWER]
    assert [entry["workerMetadata"] for entry in output["humanAnswers"]] == [{}, {}]
    assert ADA not in json.dumps(output) and BEN not in json.dumps(output)
    assert len(given(public_service.db)) == 2
    assert {entry["AssignmentStatus"] for entry in turk.assignments.values()} == {"Approved"}
