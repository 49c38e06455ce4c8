"""Jobs of the public workforce: what a request must say, and what Mechanical Turk is asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import select, update

from tests.service.mturk_server import MTurkServer
from tests.service.public_work import (
    ADA,
    ANSWER,
    BEN,
    FREE,
    PRICE,
    given,
    hand_in,
    label,
    look_again,
    made,
    states,
    task_of,
)
from tests.service.running import RunningService
from trueground.service.engine import jobs, leasing, public_workers
from trueground.service.engine.errors import Invalid
from trueground.service.engine.mturk import PublicWork
from trueground.service.engine.public_request import PRICES, check_public, reward
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import assignments, labeling_jobs, workers

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
    leasing.expire_leases(store, task_of(store).job_id)
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


def test_the_team_of_the_public_workforce_is_not_listed_among_the_private_ones(
    public_service: RunningService, turk: MTurkServer, public_request: Callable[..., dict[str, Any]]
) -> None:
    made(public_service, turk, public_request())
    listed = public_service.client().list_workteams()["Workteams"]
    assert [team["WorkteamName"] for team in listed] == ["annotators"]
