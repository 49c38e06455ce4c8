"""The portal in a real Chromium: what an annotator does with the keyboard, and what a template cannot do."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.service.conftest import RunningService, _running_service
from trueground.service.settings import ServiceSettings
from trueground.storage import file_uri
from trueground.tasks import label_category_config
from trueground.templates import fill

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "test-output"
DIGITS = [str(number) for number in range(10)]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
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
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next((path for name in names if (path := shutil.which(name))), None)
    with sync_playwright() as playwright:
        if executable is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no Chromium: apt-get install chromium, or playwright install chromium")
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with one job of eight pictures, whose template tries to break out."""
    folder = tmp_path_factory.mktemp("portal").resolve()
    (folder / "data").mkdir()
    with _running_service(ServiceSettings(home=folder / "home", data_root=folder / "data")) as service:
        service.add_worker("ada")
        service.add_worker("zoe")
        service.add_worker("boss", role="manager", team=None)
        create_job(service, "which-digit", 8)
        yield service


def create_job(service: RunningService, name: str, objects: int) -> None:
    folder = service.data_root / name
    folder.mkdir()
    lines = []
    for number in range(objects):
        picture = io.BytesIO()
        Image.new("L", (160, 160), 255 - 20 * number).save(picture, "PNG")
        (folder / f"{number}.png").write_bytes(picture.getvalue())
        lines.append(json.dumps({"source-ref": file_uri(folder / f"{number}.png")}) + "\n")
    (folder / "input.manifest").write_text("".join(lines))
    template = (ROOT / "include/templates/image-classification/template.liquid.html").read_text()
    page = fill(
        template,
        header="Which digit is it?",
        short="<p>Choose the digit that was written.</p>",
        full="<p>Judge the shape as a whole.</p>",
        categories=DIGITS,
        label_attribute="digit",
    )
    (folder / "template.html").write_text(page + SPY)
    (folder / "labels.json").write_text(json.dumps(label_category_config(DIGITS)))
    function = "arn:aws:lambda:us-east-1:432418664414:function:"
    service.client().create_labeling_job(
        LabelingJobName=name,
        LabelAttributeName="digit",
        InputConfig={"DataSource": {"S3DataSource": {"ManifestS3Uri": file_uri(folder / "input.manifest")}}},
        OutputConfig={"S3OutputPath": file_uri(service.data_root / "out")},
        RoleArn="arn:aws:iam::000000000000:role/labeling",
        LabelCategoryConfigS3Uri=file_uri(folder / "labels.json"),
        HumanTaskConfig={
            "WorkteamArn": "arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/annotators",
            "UiConfig": {"UiTemplateS3Uri": file_uri(folder / "template.html")},
            "PreHumanTaskLambdaArn": function + "PRE-ImageMultiClass",
            "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": function + "ACS-ImageMultiClass"},
            "TaskKeywords": ["digits", "images"],
            "TaskTitle": "Which digit is it?",
            "TaskDescription": "Say which digit was written.",
            "NumberOfHumanWorkersPerDataObject": 2,
            "TaskTimeLimitInSeconds": 300,
        },
    )


def signed_in(browser: Browser, service: RunningService, username: str, **options: Any) -> Page:
    page = browser.new_context(**options).new_page()
    page.goto(service.url)
    page.get_by_label("Name").fill(username)
    page.get_by_label("Password").fill("secret")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "signin" not in url)
    return page


def shot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def visible_task(page: Page) -> Any:
    """The task on the screen, not the one loaded behind it."""
    expect(page.locator("#frames iframe:not(.ahead)")).to_have_count(1)
    frame = page.frame_locator("#frames iframe:not(.ahead)")
    expect(frame.get_by_role("radio", name="3")).to_be_visible()
    return frame


def test_five_digits_with_the_keyboard(browser: Browser, portal: RunningService) -> None:
    page = signed_in(browser, portal, "ada", viewport={"width": 1440, "height": 900})
    shot(page, "work-list-1440")
    page.get_by_role("link", name="Start").click()
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
    page.get_by_role("link", name="Start").click()
    frame = visible_task(page)
    page.keyboard.press("Enter")
    expect(frame.get_by_text("Choose a category first.")).to_be_visible()
    expect(page.locator("#done")).to_have_text("0")


def test_a_template_reaches_neither_session_nor_portal_nor_network(browser: Browser, portal: RunningService) -> None:
    page = signed_in(browser, portal, "zoe")
    page.get_by_role("link", name="Start").click()
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
    page.get_by_role("link", name="Start").click()
    frame = visible_task(page)
    shot(page, "task-390")
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(wide)
    assert not frame.locator("body").evaluate(f"() => {wide}")


def test_a_lost_connection_loses_no_answer(browser: Browser, portal: RunningService) -> None:
    page = signed_in(browser, portal, "zoe")
    page.get_by_role("link", name="Start").click()
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
    ):
        page.goto(portal.url + path)
        shot(page, f"{name}-{width}")
        assert not page.evaluate(wide), f"{path} scrolls sideways at {width} pixels"
    stranger = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    stranger.goto(portal.url)
    shot(stranger, f"signin-{width}")
    assert not stranger.evaluate(wide)
