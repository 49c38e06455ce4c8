"""A working day in a real Chromium: skip, pause, look back, a reload, a session that ends, a clock that is fair."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import delete, select

from tests.e2e.browsing import create_job, shot, signed_in, visible_task
from tests.service.running import RunningService, _running_service
from trueground.service.engine.memory import SEEN_SECONDS
from trueground.service.settings import ServiceSettings
from trueground.service.store.tables import answers, assignments, labeling_jobs, sessions

pytestmark = pytest.mark.browser

FIELDS = """
<label>Remark <input name="remark"></label>
<label><input type="radio" name="sure" value="yes"> yes</label>
<label><input type="radio" name="sure" value="no"> no</label>
<crowd-text-area name="why" label="Why"></crowd-text-area>
"""


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("portal").resolve()
    (folder / "data").mkdir()
    with _running_service(ServiceSettings(home=folder / "home", data_root=folder / "data")) as service:
        yield service


Start = Callable[..., Page]


@pytest.fixture
def start(request: pytest.FixtureRequest, browser: Browser, portal: RunningService) -> Start:
    """A job and a worker of its own for each test: ``start(objects, **members)`` gives the page with the first task."""

    def make(objects: int = 6, *, more: str = FIELDS, **options: Any) -> Page:
        job = request.node.name.replace("_", "-")[:60].strip("-")
        worker = f"worker-{len(job)}-{abs(hash(job)) % 10**6}"
        team = f"team-{abs(hash(job)) % 10**6}"
        portal.add_worker(worker, team=team)
        arn = portal.add_team(team)
        create_job(
            portal, job, objects, more=more, **{"WorkteamArn": arn, "NumberOfHumanWorkersPerDataObject": 1, **options}
        )
        page = signed_in(browser, portal, worker, viewport={"width": 1200, "height": 900})
        page.goto(f"{portal.url}/work/{job}")
        visible_task(page)
        return page

    return make


def answer(page: Page, digit: str) -> None:
    frame = visible_task(page)
    page.keyboard.press(digit)
    expect(frame.get_by_role("radio", name=digit)).to_have_attribute("aria-checked", "true")
    page.keyboard.press("Enter")


def job_of(page: Page) -> str:
    return page.url.rsplit("/", 1)[-1].split("?")[0]


def rows(service: RunningService, job: str, table: Any) -> list[Any]:
    with service.db.read() as connection:
        query = select(table).join(labeling_jobs, labeling_jobs.c.id == table.c.job_id)
        return list(connection.execute(query.where(labeling_jobs.c.name == job)))


def saved(page: Page) -> None:
    expect(page.locator("#work")).to_have_attribute("data-unsaved", "0")


def test_a_skipped_task_does_not_come_again(start: Start, portal: RunningService) -> None:
    page = start(2)
    page.keyboard.press("Shift+D")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    shot(page, "skip-1200")
    dialog.get_by_label("No answer fits").check()
    dialog.get_by_label("In your words").fill("it is a letter")
    dialog.get_by_role("button", name="Skip this task").click()
    answer(page, "4")
    expect(page.get_by_text("All done here")).to_be_visible()
    declined = [row for row in rows(portal, job_of(page), assignments) if row.state == "declined"]
    assert [row.reason for row in declined] == ["No answer fits: it is a letter"]


def test_a_paused_task_is_taken_up_again_with_what_was_filled_in(start: Start, portal: RunningService) -> None:
    page = start()
    job = job_of(page)
    frame = visible_task(page)
    page.keyboard.press("7")
    frame.get_by_label("Remark").fill("blurred")
    frame.get_by_label("Why").fill("a hook at the top")
    frame.get_by_label("no", exact=True).check()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Put aside")).to_be_visible()
    shot(page, "work-list-paused-1200")
    page.get_by_role("link", name="Go on").click()
    frame = visible_task(page)
    expect(frame.get_by_role("radio", name="7")).to_have_attribute("aria-checked", "true")
    expect(frame.get_by_label("Remark")).to_have_value("blurred")
    expect(frame.get_by_label("Why")).to_have_value("a hook at the top")
    expect(frame.get_by_label("no", exact=True)).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.locator("#done")).to_have_text("1")
    saved(page)
    content = rows(portal, job, answers)[0].content
    assert content == {
        "crowd-image-classifier": {"label": "7"},
        "remark": "blurred",
        "why": "a hook at the top",
        "sure": {"yes": False, "no": True},
    }


def test_what_was_filled_in_survives_a_reload_and_a_crash(start: Start, portal: RunningService) -> None:
    page = start()
    frame = visible_task(page)
    frame.get_by_label("Remark").fill("first words")
    expect(page.locator("#draft")).to_have_text("Draft saved", timeout=10_000)
    # Not saved yet when the page goes away.
    frame.get_by_label("Remark").fill("last words")
    page.wait_for_timeout(600)
    page.reload()
    expect(visible_task(page).get_by_label("Remark")).to_have_value("last words")
    visible_task(page).get_by_label("Why").fill("because")
    expect(page.locator("#draft")).to_have_text("Draft saved", timeout=10_000)
    # A crash tells the page nothing; another browser has nothing but what the service keeps.
    fresh = page.context.browser.new_context()  # type: ignore[union-attr]
    fresh.add_cookies(page.context.cookies())  # type: ignore[arg-type]
    other = fresh.new_page()
    other.goto(page.url)
    expect(visible_task(other).get_by_label("Remark")).to_have_value("last words")
    expect(visible_task(other).get_by_label("Why")).to_have_value("because")


def test_an_earlier_answer_is_changed_and_the_task_that_waited_is_still_there(
    start: Start, portal: RunningService
) -> None:
    page = start()
    answer(page, "3")
    answer(page, "1")
    expect(page.locator("#done")).to_have_text("2")
    visible_task(page).get_by_label("Remark").fill("half done")
    saved(page)
    page.get_by_role("button", name="Last answers").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("listitem")).to_have_count(2)
    shot(page, "last-answers-1200")
    dialog.get_by_role("listitem").nth(1).get_by_role("button", name="Change").click()
    frame = visible_task(page)
    expect(frame.get_by_role("radio", name="3")).to_have_attribute("aria-checked", "true")
    shot(page, "editing-1200")
    page.keyboard.press("8")
    page.keyboard.press("Enter")
    expect(visible_task(page).get_by_label("Remark")).to_have_value("half done")
    saved(page)
    expect(page.locator("#done")).to_have_text("2")
    given = [
        (row.revision, row.content["crowd-image-classifier"]["label"]) for row in rows(portal, job_of(page), answers)
    ]
    assert sorted(given) == [(0, "1"), (0, "3"), (1, "8")]


def end_all_sessions(portal: RunningService) -> None:
    """As another process would: this one goes on with what it knows for a moment."""
    with portal.db.write() as connection:
        connection.execute(delete(sessions))
    time.sleep(SEEN_SECONDS + 0.1)


def test_an_answer_is_kept_while_the_worker_signs_in_again(start: Start, portal: RunningService) -> None:
    page = start()
    job = job_of(page)
    visible_task(page)
    page.wait_for_load_state("networkidle")
    end_all_sessions(portal)
    answer(page, "5")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Your session has ended")).to_be_visible()
    shot(page, "sign-in-again-1200")
    dialog.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(dialog.get_by_text("do not fit")).to_be_visible()
    dialog.get_by_label("Password").fill("secret")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    saved(page)
    assert [row.content["crowd-image-classifier"]["label"] for row in rows(portal, job, answers)] == ["5"]
    # The page goes on as if nothing had been.
    answer(page, "6")
    expect(page.locator("#done")).to_have_text("2")
    saved(page)


def test_an_answer_of_a_session_that_ended_outlives_the_page(start: Start, portal: RunningService) -> None:
    page = start()
    job, url = job_of(page), page.url
    worker = page.locator("#work").get_attribute("data-worker")
    page.wait_for_load_state("networkidle")
    end_all_sessions(portal)
    answer(page, "2")
    expect(page.get_by_role("dialog")).to_be_visible()
    # The browser dies; the next morning they sign in as usual.
    context = page.context
    page.close()
    page = context.new_page()
    page.goto(url)
    page.get_by_label("Name").fill(worker or "")
    page.get_by_label("Password").fill("secret")
    page.keyboard.press("Enter")
    visible_task(page)
    expect(page.locator("#done")).to_have_text("1")
    assert [row.content["crowd-image-classifier"]["label"] for row in rows(portal, job, answers)] == ["2"]


def test_idle_time_is_not_work_time(start: Start) -> None:
    page = start(TaskTimeLimitInSeconds=8 * 3600)
    page.clock.install()
    page.reload()
    visible_task(page)
    page.clock.fast_forward("40:00")
    with page.expect_request("**/answer") as sent:
        answer(page, "9")
    # The minute after the last input counts, the other thirty-nine do not.
    assert 55 < sent.value.post_data_json["secondsActive"] < 90


def test_the_time_left_is_shown_with_a_warning_and_runs_out(start: Start, portal: RunningService) -> None:
    page = start(TaskTimeLimitInSeconds=300)
    page.clock.install()
    page.reload()
    visible_task(page)
    expect(page.locator("#time")).to_contain_text("4:5")
    page.clock.fast_forward("04:10")
    expect(page.get_by_text("Less than a minute is left")).to_be_visible()
    page.clock.fast_forward("01:00")
    expect(page.get_by_text("The time for this task is over")).to_be_visible()
    page.get_by_role("button", name="Next task").click()
    answer(page, "1")
    expect(page.locator("#done")).to_have_text("1")


def test_the_keys_are_explained(start: Start) -> None:
    page = start(1)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog").get_by_text("your last answers, to change one")).to_be_visible()
    shot(page, "help-1200")
    page.keyboard.press("Escape")
    # Pressed inside the task, they reach the page too; typed into a field, they are letters.
    frame = visible_task(page)
    frame.get_by_role("heading", name="Which digit is it?").first.click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    frame.get_by_label("Remark").click()
    page.keyboard.type("D?")
    expect(frame.get_by_label("Remark")).to_have_value("D?")
    expect(page.get_by_role("dialog")).to_be_hidden()


ELEMENTS = """
<crowd-alert type="info" dismissible>Read this first.</crowd-alert>
<crowd-card heading="A card">In a card.</crowd-card>
<crowd-modal link-text="See examples">An example.</crowd-modal>
<crowd-instructions link-text="View instructions" link-type="button">
  <short-summary>In short.</short-summary><detailed-instructions>At length.</detailed-instructions>
  <positive-example>Good one.</positive-example><negative-example>Bad one.</negative-example>
</crowd-instructions>
<crowd-tabs><crowd-tab header="One">First tab.</crowd-tab><crowd-tab header="Two">Second tab.</crowd-tab></crowd-tabs>
<crowd-radio-group>
  <crowd-radio-button name="btn1" value="yes">Yes</crowd-radio-button>
  <crowd-radio-button name="btn2" value="no">No</crowd-radio-button>
</crowd-radio-group>
<crowd-toggle-button name="blurred" required>Seen to the end</crowd-toggle-button>
<crowd-slider name="howMuch" min="0" max="10" step="2" pin required></crowd-slider>
<crowd-checkbox name="part" value="left">Left</crowd-checkbox>
"""


def test_the_elements_of_a_form_give_what_the_documents_say(start: Start, portal: RunningService) -> None:
    page = start(2, more=ELEMENTS)
    frame = visible_task(page)
    page.keyboard.press("5")
    frame.get_by_role("button", name="Dismiss").click()
    expect(frame.get_by_text("Read this first.")).to_have_count(0)
    frame.get_by_role("tab", name="Two").click()
    expect(frame.get_by_text("Second tab.")).to_be_visible()
    expect(frame.get_by_text("First tab.")).to_be_hidden()
    for opener, text in (("See examples", "An example."), ("View instructions", "Good one.")):
        frame.get_by_role("button", name=opener, exact=True).click()
        expect(frame.get_by_text(text)).to_be_visible()
        frame.get_by_role("button", name="Close").click()
        expect(frame.get_by_text(text)).to_be_hidden()
    frame.get_by_label("No", exact=True).check()
    frame.get_by_label("Yes", exact=True).check()
    frame.get_by_role("button", name="Submit").click()
    expect(frame.get_by_text("This has to be switched on.")).to_be_visible()
    frame.get_by_label("Seen to the end").check()
    frame.get_by_role("button", name="Submit").click()
    expect(frame.get_by_text("Move the slider first.")).to_be_visible()
    frame.get_by_role("slider").fill("6")
    shot(page, "elements-1200")
    frame.get_by_role("button", name="Submit").click()
    expect(page.locator("#done")).to_have_text("1")
    saved(page)
    answered = rows(portal, job_of(page), answers)[0].content
    assert answered == {
        "crowd-image-classifier": {"label": "5"},
        "btn1": {"yes": True},
        "btn2": {"no": False},
        "blurred": {"on": True},
        "howMuch": 6,
        "part": {"left": False},
    }
    # And each shows its earlier value again.
    page.keyboard.press("Shift+L")
    page.get_by_role("dialog").get_by_role("button", name="Change").click()
    frame = visible_task(page)
    expect(frame.get_by_label("Yes", exact=True)).to_be_checked()
    expect(frame.get_by_label("Seen to the end")).to_be_checked()
    expect(frame.get_by_role("slider")).to_have_value("6")
