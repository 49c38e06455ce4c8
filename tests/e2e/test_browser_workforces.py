"""People of other workforces in a real Chromium: by their own sign-in provider, and in Mechanical Turk's frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.service.mturk_server import mturk_server
from tests.service.oidc_servers import mock_provider
from tests.service.running import RunningService, _job_request, _running_service
from trueground.service.settings import ServiceSettings

pytestmark = pytest.mark.browser

PUBLIC = "arn:aws:sagemaker:us-east-1:394669845002:workteam/public-crowd/default"


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    (tmp_path / "data").mkdir()
    return ServiceSettings(home=tmp_path / "home", data_root=(tmp_path / "data").resolve(), poll_interval=0.1)


def create_job(service: RunningService, **members: Any) -> None:
    request = _job_request(service.data_root, "animals", 1, **members)
    request["InputConfig"]["DataAttributes"] = {
        "ContentClassifiers": ["FreeOfPersonallyIdentifiableInformation", "FreeOfAdultContent"]
    }
    service.client().create_labeling_job(**request)


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_somebody_signs_in_with_their_provider_labels_and_signs_out_of_both(
    settings: ServiceSettings, tab: Page
) -> None:
    with _running_service(settings) as service, mock_provider(f"{service.url}/oauth2/idpresponse") as provider:
        provider.set_user("ada", "labelers")
        sagemaker = service.client()
        sagemaker.delete_workteam(WorkteamName="annotators")
        sagemaker.create_workforce(WorkforceName="partners", OidcConfig=provider.config)
        team = sagemaker.create_workteam(
            WorkteamName="partners-team",
            WorkforceName="partners",
            Description="People of our partners",
            MemberDefinitions=[{"OidcMemberDefinition": {"Groups": ["labelers"]}}],
        )
        create_job(service, WorkteamArn=team["WorkteamArn"])

        tab.goto(f"{service.url}/work/animals")
        tab.get_by_role("link", name="Sign in with partners").click()
        tab.get_by_placeholder("sub").fill("ada")
        tab.get_by_role("button", name="Authorize").click()
        expect(tab).to_have_url(f"{service.url}/work/animals")
        expect(tab.get_by_text("Ada Lovelace")).to_be_visible()

        task = tab.frame_locator("#frames iframe")
        task.get_by_text("dog", exact=True).click()
        task.get_by_role("button", name="Submit").click()
        expect(tab.get_by_role("heading", name="All done here")).to_be_visible()
        service.wait_for("animals", "Completed")

        tab.get_by_role("button", name="Sign out", exact=True).first.click()
        tab.get_by_role("button", name="End session").click()
        expect(tab).to_have_url(f"{service.url}/signin")
        tab.goto(f"{service.url}/work/animals")
        expect(tab.get_by_role("link", name="Sign in with partners")).to_be_visible()


def test_a_worker_of_mechanical_turk_labels_in_its_frame_and_is_paid(
    settings: ServiceSettings, tab: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    with mturk_server() as turk:
        settings = replace(settings, mturk_endpoint=turk.url, public_url="https://labels.example.org")
        with _running_service(settings) as service:
            price = {"AmountInUsd": {"Cents": 1, "TenthFractionsOfACent": 2}}
            create_job(service, WorkteamArn=PUBLIC, PublicWorkforceTaskPrice=price)
            wait_for(lambda: turk.hits)
            hit = next(iter(turk.hits))
            accepted = turk.accept(hit, "A1ADALOVELACE")

            tab.goto(f"{turk.url}/hit/{hit}/{accepted}?service={service.url}")
            page = tab.frame_locator("iframe")
            task = page.frame_locator("iframe")
            task.get_by_text("dog", exact=True).click()
            task.get_by_role("button", name="Submit").click()
            expect(page.locator("#thanks")).to_be_visible()

            service.wait_for("animals", "Completed")
            wait_for(lambda: turk.assignments[accepted]["AssignmentStatus"] == "Approved")

            # Another site cannot show the same page.
            tab.goto(service.url + "/signin")
            tab.set_content(f'<iframe src="{service.url}{turk.page_of(hit)}"></iframe>')
            expect(tab.frame_locator("iframe").get_by_text("This is a preview")).to_have_count(0)
