"""Several tabs and browsers of one worker, in a real Chromium: what each shows, and what becomes of answers."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browsing import create_job, shot, signed_in, visible_task
from tests.e2e.test_browser_work import answer, rows, saved
from tests.service.running import RunningService, _running_service
from trueground.service.settings import ServiceSettings
from trueground.service.store.tables import answers, assignments

pytestmark = pytest.mark.browser
Start = Callable[..., Page]
REMARK = '<label>Remark <input name="remark"></label>'


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("portal").resolve()
    (folder / "data").mkdir()
    with _running_service(ServiceSettings(home=folder / "home", data_root=folder / "data")) as service:
        yield service


@pytest.fixture
def start(request: pytest.FixtureRequest, browser: Browser, portal: RunningService) -> Start:
    """A job and a worker of its own for each test: ``start(objects)`` gives the page with the first task."""

    def make(objects: int) -> Page:
        job = request.node.name.removeprefix("test_").replace("_", "-")[:50].strip("-")
        portal.add_worker(f"w-{job}", team=f"t-{job}")
        team = portal.add_team(f"t-{job}")
        create_job(portal, job, objects, more=REMARK, WorkteamArn=team, NumberOfHumanWorkersPerDataObject=1)
        page = signed_in(browser, portal, f"w-{job}", viewport={"width": 1200, "height": 900})
        page.goto(f"{portal.url}/work/{job}")
        visible_task(page)
        return page

    return make


def job_of(page: Page) -> str:
    return page.url.rsplit("/", 1)[-1].split("?")[0]


def shown(page: Page) -> str:
    """The assignment on the screen."""
    visible_task(page)
    source = page.locator("#frames iframe:not(.ahead)").get_attribute("src") or ""
    signed = source.split("?")[0].rsplit("/", 1)[-1].split(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(signed + "=" * (-len(signed) % 4)))[0]["a"])


def second_tab(page: Page) -> Page:
    other = page.context.new_page()
    other.goto(page.url)
    return other


def other_browser(page: Page) -> Page:
    context = page.context.browser.new_context()  # type: ignore[union-attr]
    context.add_cookies(page.context.cookies())  # type: ignore[arg-type]
    other = context.new_page()
    other.goto(page.url)
    return other


def states(portal: RunningService, page: Page) -> list[str]:
    return sorted(row.state for row in rows(portal, job_of(page), assignments))


def test_two_tabs_show_two_tasks_and_closing_one_leaves_the_other_its_own(start: Start, portal: RunningService) -> None:
    page = start(6)
    first = shown(page)
    other = second_tab(page)
    assert shown(other) != first
    other.close(run_before_unload=False)
    answer(page, "3")
    saved(page)
    expect(page.locator("#done")).to_have_text("1")
    answer(page, "4")
    saved(page)
    assert len(rows(portal, job_of(page), answers)) == 2
    # What the closed tab held comes to this one, until all are done.
    for digit in "5678":
        answer(page, digit)
    expect(page.get_by_text("All done here")).to_be_visible()
    saved(page)
    assert len(rows(portal, job_of(page), answers)) == 6


def test_a_tab_for_which_nothing_is_left_says_where_the_tasks_are(start: Start) -> None:
    page = start(2)
    expect(page.locator("#frames iframe")).to_have_count(2)
    other = second_tab(page)
    expect(other.get_by_text("The rest is open in another tab")).to_be_visible()
    shot(other, "other-tab-1200")
    page.close(run_before_unload=False)
    visible_task(other)
    expect(other.locator("#left")).to_have_text("2")


def test_tabs_that_come_back_at_once_after_a_crash_share_what_was_held(start: Start) -> None:
    page = start(6)
    expect(page.locator("#frames iframe")).to_have_count(2)
    context, url = page.context, page.url
    # As after a crash: the page that is gone told nobody.
    page.evaluate("window.addEventListener('pagehide', (event) => event.stopImmediatePropagation(), { capture: true })")
    page.route("**/release", lambda route: route.abort())
    page.close()
    tabs = [context.new_page(), context.new_page()]
    for tab in tabs:
        tab.evaluate("(url) => { setTimeout(() => { location.href = url; }, 10); }", url)
    for tab in tabs:
        tab.wait_for_url(url)
        visible_task(tab)
    for _ in range(100):
        if shown(tabs[0]) != shown(tabs[1]):
            break
        tabs[0].wait_for_timeout(100)
    assert shown(tabs[0]) != shown(tabs[1])


def test_two_answers_of_two_browsers_are_shown_and_the_worker_chooses(start: Start, portal: RunningService) -> None:
    page = start(6)
    job = job_of(page)
    other = other_browser(page)
    expect(other.get_by_text("Go on where you were")).to_be_visible()
    assert shown(other) == shown(page)
    answer(page, "3")
    saved(page)
    answer(other, "8")
    dialog = other.get_by_role("dialog", name="You answered this task already")
    expect(dialog).to_be_visible()
    expect(dialog.locator("#conflict-stored")).to_have_text("3")
    expect(dialog.locator("#conflict-given")).to_have_text("8")
    shot(other, "conflict-1200")
    # The page dies before the worker has chosen: the question comes again.
    other.reload()
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Replace it with the new one").click()
    expect(dialog).to_be_hidden()
    other.wait_for_load_state("networkidle")
    given = [(row.revision, row.content["crowd-image-classifier"]["label"]) for row in rows(portal, job, answers)]
    assert given == [(0, "3"), (1, "8")]
    other.reload()
    visible_task(other)
    expect(dialog).to_be_hidden()


def test_the_same_answer_in_two_browsers_is_no_conflict(start: Start, portal: RunningService) -> None:
    page = start(4)
    other = other_browser(page)
    assert shown(other) == shown(page)
    for one in (page, other):
        answer(one, "3")
        saved(one)
    expect(other.get_by_role("dialog")).to_be_hidden()
    assert len(rows(portal, job_of(page), answers)) == 1


def test_closing_one_browser_gives_back_nothing_that_the_other_shows(start: Start, portal: RunningService) -> None:
    page = start(4)
    task = shown(page)
    other = other_browser(page)
    assert shown(other) == task
    other.wait_for_load_state("networkidle")
    page.close(run_before_unload=False)
    answer(other, "5")
    saved(other)
    expect(other.locator("#notice")).to_be_hidden()
    assert "submitted" in states(portal, other)


def test_counts_do_not_drop_when_the_page_is_loaded_again(start: Start) -> None:
    page = start(6)
    expect(page.locator("#frames iframe")).to_have_count(2)
    visible_task(page).get_by_label("Remark").fill("half done")
    expect(page.locator("#draft")).to_have_text("Draft saved", timeout=10_000)
    for _ in range(3):
        page.reload()
        expect(visible_task(page).get_by_label("Remark")).to_have_value("half done")
        expect(page.locator("#left")).to_have_text("6")
        expect(page.locator("#frames iframe")).to_have_count(2)
    page.get_by_role("link", name=re.compile("All work")).click()
    expect(page.get_by_text("6 for you")).to_be_visible()
    page.get_by_role("link", name="Continue where you were").click()
    expect(page.get_by_text("Go on where you were")).to_be_visible()
    expect(visible_task(page).get_by_label("Remark")).to_have_value("half done")
