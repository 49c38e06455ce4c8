"""Managers in a real Chromium: reviews beside labeling jobs, who holds what, and stopping a job."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.browsing import create_job, shot, signed_in, visible_task
from tests.service.running import RunningService, _flow_request, _running_service
from trueground.service.engine import answering, leasing
from trueground.service.settings import ServiceSettings

pytestmark = pytest.mark.browser
RUN = "manual__2026-01-05T08:30:00+00:00"


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("portal").resolve()
    (folder / "data").mkdir()
    settings = ServiceSettings(home=folder / "home", data_root=folder / "data", airflow_url="https://airflow.example")
    with _running_service(settings) as service:
        service.add_worker("mia", role="manager", team=None)
        yield service


def start_loops(portal: RunningService, count: int) -> None:
    sagemaker = portal.client()
    sagemaker.create_flow_definition(**_flow_request(portal, sagemaker, "transcripts", 1))
    client = portal.client("sagemaker-a2i-runtime")
    header = urlencode({"dag": "review_calls", "run": RUN, "task": "start"})
    client.meta.events.register(
        "before-sign.sagemaker-a2i-runtime.StartHumanLoop",
        lambda request, **_: request.headers.add_header("X-Trueground-Origin", header),
    )
    for number in range(count):
        client.start_human_loop(
            HumanLoopName=f"call-{number}",
            FlowDefinitionArn=portal.settings.arn("flow-definition/transcripts"),
            HumanLoopInput={"InputContent": json.dumps({"words": f"call {number}"})},
        )


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_a_manager_follows_reviews_as_labeling_jobs(
    browser: Browser, portal: RunningService, width: int, scheme: str
) -> None:
    if width == 1440:
        start_loops(portal, 3)
        ada = portal.add_worker("ada")
        portal.db.version += 1
        lease = leasing.next_assignment(portal.db, ada, "transcripts", [], "a" * 12)
        assert lease is not None
        answering.submit_answer(portal.db, lease.id, ada, {"transcription": "hello"}, 8.0)
        assert leasing.next_assignment(portal.db, ada, "transcripts", [], "a" * 12) is not None
    page = signed_in(browser, portal, "mia", viewport={"width": width, "height": 1000}, color_scheme=scheme)
    page.goto(f"{portal.url}/jobs")
    expect(page.get_by_role("heading", name="Reviews of predictions")).to_be_visible()
    shot(page, f"jobs-with-reviews-{width}-{scheme}")
    page.get_by_role("link", name="Check the transcript").click()
    expect(page.locator("dt", has_text="Reviewed by people").locator("..")).to_contain_text("1 of 3")
    expect(page.get_by_role("heading", name="Who holds what")).to_be_visible()
    expect(page.get_by_text("open in a browser")).to_be_visible()
    expect(page.get_by_role("link", name=RUN)).to_have_attribute(
        "href", "https://airflow.example/dags/review_calls/runs/manual__2026-01-05T08%3A30%3A00%2B00%3A00"
    )
    shot(page, f"reviews-{width}-{scheme}")
    page.goto(f"{portal.url}/airflow/task?{urlencode({'dag': 'review_calls', 'run': RUN, 'task': 'wait'})}")
    expect(page.locator("dt", has_text="Reviewed by people").locator("..")).to_contain_text("1 of 3")


@pytest.mark.parametrize(("width", "scheme"), [(1440, "dark"), (390, "light")])
def test_a_manager_stops_a_job_after_a_look_at_what_is_lost(
    browser: Browser, portal: RunningService, width: int, scheme: str
) -> None:
    job, team = f"digits-{width}", f"team-{width}"
    arn = portal.add_team(team)
    portal.add_worker(f"bob-{width}", team=team)
    create_job(portal, job, 4, WorkteamArn=arn, NumberOfHumanWorkersPerDataObject=3)
    worker = signed_in(browser, portal, f"bob-{width}", viewport={"width": 1200, "height": 900})
    worker.goto(f"{portal.url}/work/{job}")
    visible_task(worker)
    worker.keyboard.press("3")
    worker.keyboard.press("Enter")
    expect(worker.locator("#done")).to_have_text("1")
    expect(worker.locator("#work")).to_have_attribute("data-unsaved", "0")
    page = signed_in(browser, portal, "mia", viewport={"width": width, "height": 1000}, color_scheme=scheme)
    page.goto(f"{portal.url}/jobs/{job}")
    expect(page.get_by_text("3 answers per object are asked for")).to_be_visible()
    expect(page.get_by_text("open in a browser").first).to_be_visible()
    shot(page, f"job-held-{width}-{scheme}")
    page.get_by_role("link", name="Stop …").click()
    expect(page.get_by_role("heading", name="Stop this job?")).to_be_visible()
    expect(page.locator("dt", has_text="stay unlabeled").locator("..")).to_contain_text("3")
    expect(page.locator("dt", has_text="fewer answers").locator("..")).to_contain_text("1")
    shot(page, f"stop-{width}-{scheme}")
    page.get_by_role("button", name="Stop the job").click()
    expect(page.locator("h1 .status")).to_have_text("stopped", timeout=60_000)
    expect(page.locator("dt", has_text="With fewer answers").locator("..")).to_contain_text("1")
