"""The portal in a real Chromium: what an annotator does with the keyboard, and what a template cannot do."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.browsing import create_job, shot, signed_in, visible_task
from tests.service.running import RunningService, _running_service
from trueground.service.settings import ServiceSettings

pytestmark = pytest.mark.browser
GO = re.compile("Start|Continue where you were")
"""The link to a job, for a worker who left it half done as well."""

SPY = """
<script>
  document.addEventListener('all-crowd-elements-ready', () => {
    const found = [];
    for (const steal of [() => document.cookie, () => parent.document.body.innerHTML, () => localStorage.length]) {
      try { steal(); found.push('reached'); } catch (error) { found.push(error.name); }
    }
    document.body.dataset.found = found.join(' ');
    const note = (what) => () => { document.body.dataset.fetched = what; };
    fetch('/api/work').then(note('reached'), note('refused'));
  });
</script>
"""


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with one job of eight pictures, whose template tries to break out."""
    folder = tmp_path_factory.mktemp("portal").resolve()
    (folder / "data").mkdir()
    with _running_service(ServiceSettings(home=folder / "home", data_root=folder / "data")) as service:
        service.add_worker("ada")
        service.add_worker("zoe")
        service.add_worker("boss", role="manager", team=None)
        create_job(service, "which-digit", 8, more=SPY)
        yield service


def test_five_digits_with_the_keyboard(browser: Browser, portal: RunningService) -> None:
    page = signed_in(browser, portal, "ada", viewport={"width": 1440, "height": 900})
    shot(page, "work-list-1440")
    page.get_by_role("link", name=GO).click()
    visible_task(page)
    shot(page, "task-1440")
    for count, digit in enumerate("31415", start=1):
        frame = visible_task(page)
        page.keyboard.press(digit)
        expect(frame.get_by_role("radio", name=digit)).to_have_attribute("aria-checked", "true")
        page.keyboard.press("Enter")
        expect(page.locator("#done")).to_have_text(str(count))
    visible_task(page)
    waits = page.evaluate(
        "performance.getEntriesByName('submitted').map((mark, number) => "
        "performance.getEntriesByName('revealed')[number + 1].startTime - mark.startTime)"
    )
    print("milliseconds from submit to the next task:", [round(wait) for wait in waits])
    expect(page.locator("#work")).to_have_attribute("data-unsaved", "0")
    page.goto(portal.url)
    expect(page.get_by_text("5 answered by you")).to_be_visible()


def test_enter_without_a_choice_submits_nothing(browser: Browser, portal: RunningService) -> None:
    page = signed_in(browser, portal, "zoe")
    page.get_by_role("link", name=GO).click()
    frame = visible_task(page)
    page.keyboard.press("Enter")
    expect(frame.get_by_text("Choose a category first.")).to_be_visible()
    expect(page.locator("#done")).to_have_text("0")


def test_a_template_reaches_neither_session_nor_portal_nor_network(browser: Browser, portal: RunningService) -> None:
    page = signed_in(browser, portal, "zoe")
    page.get_by_role("link", name=GO).click()
    body = visible_task(page).locator("body")
    expect(body).to_have_attribute("data-fetched", "refused")
    assert body.get_attribute("data-found") == "SecurityError SecurityError SecurityError"
    # The frame by itself, outside the portal's page, is as closed: the policy travels with it.
    alone = page.context.new_page()
    alone.goto(portal.url + page.locator("#frames iframe:not(.ahead)").get_attribute("src"))
    # There its parent is itself.
    expect(alone.locator("body")).to_have_attribute("data-found", "SecurityError reached SecurityError")


def test_the_task_fits_a_phone(browser: Browser, portal: RunningService) -> None:
    page = signed_in(browser, portal, "zoe", viewport={"width": 390, "height": 844})
    shot(page, "work-list-390")
    page.get_by_role("link", name=GO).click()
    frame = visible_task(page)
    shot(page, "task-390")
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(wide)
    assert not frame.locator("body").evaluate(f"() => {wide}")


def test_a_lost_connection_loses_no_answer(browser: Browser, portal: RunningService) -> None:
    page = signed_in(browser, portal, "zoe")
    page.get_by_role("link", name=GO).click()
    visible_task(page)
    before = int(page.locator("#done").inner_text())
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    page.keyboard.press("7")
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator("#notice")).to_be_hidden(timeout=15_000)
    page.goto(portal.url)
    expect(page.get_by_text(f"{before + 1} answered by you")).to_be_visible()


@pytest.mark.parametrize("width", [1440, 390])
def test_every_page_can_be_looked_at(browser: Browser, portal: RunningService, width: int) -> None:
    page = signed_in(browser, portal, "boss", viewport={"width": width, "height": 900})
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    for name, path in (
        ("jobs", "/jobs"),
        ("job", "/jobs/which-digit"),
        ("no-job", "/airflow/task?dag=label_digits&run=r&task=train"),
        ("not-found", "/nowhere"),
        ("people", "/people"),
        ("account", "/account"),
    ):
        page.goto(portal.url + path)
        shot(page, f"{name}-{width}")
        assert not page.evaluate(wide), f"{path} scrolls sideways at {width} pixels"
    worker = signed_in(browser, portal, "ada", viewport={"width": width, "height": 900})
    for name, path in (("work-list", "/"), ("statistics", "/statistics"), ("forbidden", "/jobs")):
        worker.goto(portal.url + path)
        shot(worker, f"{name}-{width}")
        assert not worker.evaluate(wide), f"{path} scrolls sideways at {width} pixels"
    stranger = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    stranger.goto(portal.url)
    shot(stranger, f"signin-{width}")
    assert not stranger.evaluate(wide)
