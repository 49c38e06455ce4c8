"""Human loops, held tasks and the way back to Airflow on the pages of managers; on both stores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import update

from tests.service.running import RunningService, _flow_request, _job_request, _running_service, postgresql_database
from trueground.service.engine import answering, leasing, own_work
from trueground.service.portal import airflow_links
from trueground.service.settings import ServiceSettings
from trueground.service.store.tables import assignments

RUN = "manual__2026-01-05T08:30:00+00:00"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("service").resolve()
    (folder / "data").mkdir()
    with ExitStack() as stack:
        url = stack.enter_context(postgresql_database()) if request.param == "postgresql" else None
        settings = ServiceSettings(
            home=folder / "home",
            store_url=url,
            data_root=folder / "data",
            poll_interval=0.1,
            stop_grace=0.1,
            airflow_url="https://airflow.example.org",
        )
        service = stack.enter_context(_running_service(settings))
        service.add_worker("max", role="manager", team=None)
        yield service


@pytest.fixture(scope="module")
def max_(service: RunningService) -> httpx.Client:
    client = httpx.Client(base_url=service.url)
    client.post("/api/session", json={"username": "max", "password": "secret"}).raise_for_status()
    return client


def worker(service: RunningService, name: str) -> str:
    return service.add_worker(name)


def start(service: RunningService, flow: str, names: list[str], **origin: str) -> None:
    client = service.client("sagemaker-a2i-runtime")
    if origin:
        header = urlencode(origin)
        client.meta.events.register(
            "before-sign.sagemaker-a2i-runtime.StartHumanLoop",
            lambda request, **_: request.headers.add_header("X-Trueground-Origin", header),
        )
    for name in names:
        client.start_human_loop(
            HumanLoopName=name,
            FlowDefinitionArn=service.settings.arn(f"flow-definition/{flow}"),
            HumanLoopInput={"InputContent": json.dumps({"words": name})},
        )
    service.db.version += 1


def make_flow(service: RunningService, name: str, **members: Any) -> None:
    sagemaker = service.client()
    sagemaker.create_flow_definition(**_flow_request(service, sagemaker, name, 1, **members))


def answer_one(service: RunningService, worker_id: str, flow: str) -> None:
    lease = leasing.next_assignment(service.db, worker_id, flow)
    assert lease is not None
    answering.submit_answer(service.db, lease.id, worker_id, {"transcription": "yes"}, 2.0)


def wait_for(client: httpx.Client, path: str, **wanted: Any) -> dict[str, Any]:
    """The JSON at a path once it has these values; the finisher looks at loops in the background."""
    for _ in range(600):
        found: dict[str, Any] = client.get(path).json()
        if all(found[key] == value for key, value in wanted.items()):
            return found
        httpx.get(str(client.base_url) + "/healthz")
    raise AssertionError(f"{path}: {found}")


def test_reviews_are_on_the_managers_pages_with_their_progress(service: RunningService, max_: httpx.Client) -> None:
    make_flow(service, "words")
    ada = worker(service, "ada-words")
    assert "Reviews of predictions" in max_.get("/jobs").text
    before = max_.get("/api/reviews/words").json()
    assert (before["status"], before["objects"]) == ("Waiting", 0)
    start(service, "words", ["w-1", "w-2", "w-3"])
    answer_one(service, ada, "words")
    found = wait_for(max_, "/api/reviews/words", answered=1)
    assert (found["status"], found["objects"], found["answers"], found["answers_wanted"]) == ("InProgress", 3, 1, 3)
    assert [one["answers"] for one in found["workers"]] == [1] and found["runs"] == []
    page = max_.get("/reviews/words").text
    assert "Check the transcript" in page and ">1 <small>of 3</small>" in page
    service.client("sagemaker-a2i-runtime").stop_human_loop(HumanLoopName="w-3")
    wait_for(max_, "/api/reviews/words", withheld=1)
    answer_one(service, ada, "words")
    found = wait_for(max_, "/api/reviews/words", answered=2)
    assert (found["status"], found["answers_wanted"]) == ("Completed", 2)


def test_reviews_leave_the_work_list_when_they_are_over(service: RunningService, max_: httpx.Client) -> None:
    make_flow(service, "leaving")
    ada = worker(service, "ada-leaving")
    client = httpx.Client(base_url=service.url)
    client.post("/api/session", json={"username": "ada-leaving", "password": "secret"})

    def names() -> list[str]:
        return [job["name"] for job in client.get("/api/work").json()["jobs"]]

    assert "leaving" not in names(), "nothing was asked yet"
    start(service, "leaving", ["l-1"])
    assert "leaving" in names()
    answer_one(service, ada, "leaving")
    wait_for(max_, "/api/reviews/leaving", status="Completed")
    assert "leaving" not in names()
    start(service, "leaving", ["l-2"])
    assert "leaving" in names()


def test_a_task_of_airflow_shows_the_reviews_that_it_started(service: RunningService, max_: httpx.Client) -> None:
    make_flow(service, "shared")
    ada = worker(service, "ada-shared")
    start(service, "shared", ["s-0"])
    start(service, "shared", ["s-1", "s-2"], dag="review", run=RUN, task="start", map="-1")
    start(service, "shared", ["s-3"], dag="review", run=RUN, task="check", map="-1")
    start(service, "shared", ["s-4"], dag="review", run="another", task="start", map="-1")
    answer_one(service, ada, "shared")

    def reviews(task: str, run: str = RUN) -> list[tuple[str, int]]:
        answer = max_.get("/api/airflow/task", params={"dag": "review", "run": run, "task": task}).json()
        assert answer["job"] is None
        return [(one["name"], one["objects"]) for one in answer.get("reviews", [])]

    assert reviews("start") == [("shared", 2)]
    assert reviews("check") == [("shared", 1)]
    # The sensor that waits for them has started none.
    assert reviews("wait") == [("shared", 3)]
    assert reviews("start", "a third") == []
    page = max_.get("/airflow/task", params={"dag": "review", "run": RUN, "task": "start"}).text
    assert ">0 <small>of 2</small>" in page, "the answer to another loop does not count"
    assert "https://airflow.example.org/dags/review/runs/manual__2026-01-05T08%3A30%3A00%2B00%3A00" in page
    assert len(max_.get("/api/reviews/shared").json()["runs"]) == 2


@pytest.mark.parametrize("header", ["", "dag=a", "dag=a&run=b&task=%00", "x" * 3000, "%ff=&&=="])
def test_a_header_that_says_nothing_useful_is_passed_over(
    service: RunningService, max_: httpx.Client, header: str
) -> None:
    flow = f"odd-{len(header)}-{abs(hash(header)) % 1000}"
    make_flow(service, flow)
    client = service.client("sagemaker-a2i-runtime")
    client.meta.events.register(
        "before-sign.sagemaker-a2i-runtime.StartHumanLoop",
        lambda request, **_: request.headers.add_header("X-Trueground-Origin", header),
    )
    client.start_human_loop(
        HumanLoopName=flow,
        FlowDefinitionArn=service.settings.arn(f"flow-definition/{flow}"),
        HumanLoopInput={"InputContent": "{}"},
    )
    assert max_.get(f"/api/reviews/{flow}").json()["runs"] == []


def test_managers_see_who_holds_what_until_when(service: RunningService, max_: httpx.Client) -> None:
    service.client().create_labeling_job(**_job_request(service.data_root, "holding", objects=4))
    make_flow(service, "held")
    start(service, "held", ["h-loop"])
    ada, bob = worker(service, "ada-held"), worker(service, "bob-held")
    service.db.version += 1
    first = leasing.next_assignment(service.db, ada, "holding", [], "1" * 12)
    aside = leasing.next_assignment(service.db, bob, "holding")
    loop = leasing.next_assignment(service.db, bob, "held")
    assert first and aside and loop
    own_work.pause(service.db, aside.id, bob)
    page = max_.get("/jobs/holding").text
    assert "Who holds what" in page and "open in a browser" in page and "put aside" in page
    assert "ada-held" in page and f"{first.expires_at:%H:%M} UTC" in page
    assert "h-loop" in max_.get("/reviews/held").text
    # Also of a browser that was closed: the lease stays, and says so.
    with service.db.write() as connection:
        connection.execute(update(assignments).where(assignments.c.id == first.id).values(pages=None))
    assert "left open" in max_.get("/jobs/holding").text
    people = max_.get("/people").text
    assert "2 tasks" in people and "1 task" in people
    service.add_worker("root-held", role="admin", team=None)
    root = httpx.Client(base_url=service.url)
    root.post("/api/session", json={"username": "root-held", "password": "secret"})
    assert "h-loop" in root.get(f"/people/{bob}").text


def test_a_job_links_to_its_run_and_is_stopped_after_a_look_at_what_is_lost(
    service: RunningService, max_: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {"trueground:dag": "label digits", "trueground:run": RUN, "trueground:task": "round_1.label"}
    request = _job_request(service.data_root, "stopping", objects=5, workers=2)
    request["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    service.client().create_labeling_job(**request)
    ada, bob = worker(service, "ada-stop"), worker(service, "bob-stop")
    service.answer("stopping", ada, most=3)
    service.answer("stopping", bob, most=1)
    assert leasing.next_assignment(service.db, bob, "stopping") is not None
    page = max_.get("/jobs/stopping").text
    assert "https://airflow.example.org/dags/label%20digits/runs/manual__2026-01-05T08%3A30%3A00%2B00%3A00" in page
    asked = max_.get("/jobs/stopping/stop")
    for text in (
        "unlabeled</dt><dd>2</dd>",
        "asked for</dt><dd>2</dd>",
        "hold now</dt><dd>1</dd>",
        "stay</dt><dd>4</dd>",
    ):
        assert text in asked.text, text
    assert max_.post("/jobs/stopping/stop", data={"token": "forged"}).status_code == 403
    assert max_.get("/api/jobs/stopping").json()["status"] == "InProgress"
    token = asked.text.split('name="token" value="')[1].split('"')[0]
    for _ in range(2):
        assert max_.post("/jobs/stopping/stop", data={"token": token}).status_code == 303
    service.wait_for("stopping", "Stopped")
    assert "Only an open job can be stopped" in max_.get("/jobs/stopping/stop").text
    assert "stopping/stop" not in max_.get("/jobs/stopping").text
    # Without an address of Airflow the run is named, and not linked.
    monkeypatch.setattr(airflow_links, "airflow_base", lambda request: None)
    page = max_.get("/jobs/stopping").text
    assert "label digits" in page and "/runs/" not in page
