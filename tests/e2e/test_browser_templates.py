"""Templates as AWS documents them, in a real Chromium: what people fill in is what is stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect
from sqlalchemy import select

from tests.e2e.browsing import signed_in
from tests.service.running import RunningService, _job_request, _running_service
from trueground.crowd_elements import ELEMENTS
from trueground.service.settings import ServiceSettings
from trueground.service.store.tables import answers, labeling_jobs

pytestmark = pytest.mark.browser

SCRIPT = '<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>'


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("portal").resolve()
    (folder / "data").mkdir()
    with _running_service(ServiceSettings(home=folder / "home", data_root=folder / "data")) as service:
        service.add_worker("ada")
        yield service


@pytest.fixture(scope="module")
def page(browser: Browser, portal: RunningService) -> Page:
    """Ada, who is signed in all the time."""
    return signed_in(browser, portal, "ada", viewport={"width": 1200, "height": 900})


Show = Callable[..., FrameLocator]


@pytest.fixture
def show(request: pytest.FixtureRequest, page: Page, portal: RunningService) -> Show:
    """Show a task with a template: ``show(template, **line)`` gives its frame. The job has the test's name."""
    job = _job_of(request)

    def make(template: str, objects: int = 1, **line: Any) -> FrameLocator:
        left_out = dict.fromkeys(["PreHumanTaskLambdaArn", "AnnotationConsolidationConfig"], None)
        lines = [{"source": "some text", "number": number, **line} for number in range(objects)]
        wanted = _job_request(portal.data_root, job, lines, LabelCategoryConfigS3Uri=None, **left_out)
        (portal.data_root / "in" / job / "template.html").write_text(template)
        portal.client().create_labeling_job(**wanted)
        page.goto(f"{portal.url}/work/{job}")
        return shown(page)

    return make


@pytest.fixture
def stored(request: pytest.FixtureRequest, page: Page, portal: RunningService) -> Callable[[], list[Any]]:
    """The answers in the store, once the page has handed in all there are."""

    def read() -> list[Any]:
        expect(page.locator("#work")).to_have_attribute("data-unsaved", "0")
        query = select(answers.c.content).join(labeling_jobs, labeling_jobs.c.id == answers.c.job_id)
        with portal.db.read() as connection:
            return list(
                connection.scalars(query.where(labeling_jobs.c.name == _job_of(request)).order_by(answers.c.id))
            )

    return read


def _job_of(request: pytest.FixtureRequest) -> str:
    return (
        "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:60].strip("-").replace("--", "-")
    )


def shown(page: Page) -> FrameLocator:
    expect(page.locator("#frames iframe:not(.ahead)")).to_have_count(1)
    frame = page.frame_locator("#frames iframe:not(.ahead)")
    expect(frame.locator("crowd-form > form")).to_have_count(1)
    return frame


def submitted(page: Page) -> None:
    expect(page.locator("#done")).to_have_text("1")


def form(body: str, after: str = "") -> str:
    return f"{SCRIPT}\n<crowd-form>{body}</crowd-form>\n{after}"


def test_every_element_of_the_list_is_registered(show: Show) -> None:
    frame = show(form('<crowd-input name="x"></crowd-input>'))
    defined = frame.locator("body").evaluate("(_, names) => names.filter((n) => customElements.get(n))", list(ELEMENTS))
    assert set(defined) == set(ELEMENTS)


HANDLER = """(event) => {
  document.getElementById('v').value = 'after';
  if (!document.getElementById('i').value) event.preventDefault();
}"""
FIELDS = """<input type="hidden" name="v" id="v" value="before"><crowd-input name="i" id="i" label="I"></crowd-input>
<crowd-button id="add">Add</crowd-button><button id="plain">More</button>"""


CROWD_FORM = "document.querySelector('crowd-form')"
READY = "document.addEventListener('all-crowd-elements-ready', () => {{ {} }});"
RETURNS = "document.getElementById(`v`).value = `after`; return document.getElementById(`i`).value !== ``"


@pytest.mark.parametrize(
    "script",
    [
        f"{CROWD_FORM}.onsubmit = {HANDLER};",
        f"{CROWD_FORM}.addEventListener('submit', {HANDLER});",
        READY.format(f"{CROWD_FORM}.onsubmit = {HANDLER};"),
        f"document.addEventListener('submit', {HANDLER});",
        READY.format(f"document.querySelector('form').addEventListener('submit', {HANDLER});"),
        f"{CROWD_FORM}.setAttribute('onsubmit', '{RETURNS}');",
    ],
    ids=["property", "listener", "when-ready", "document", "inner-form", "attribute"],
)
def test_a_handler_runs_before_the_answer_is_collected(
    show: Show, page: Page, stored: Callable[[], list[Any]], script: str
) -> None:
    frame = show(form(FIELDS, f"<script>{script}</script>"))
    for name in ("Add", "More", "Submit"):
        frame.get_by_role("button", name=name).click()
        expect(page.locator("#done")).to_have_text("0")
    frame.get_by_label("I").fill("text")
    for name in ("Add", "More"):
        frame.get_by_role("button", name=name).click()
        expect(page.locator("#done")).to_have_text("0")
    frame.get_by_role("button", name="Submit").click()
    submitted(page)
    assert stored() == [{"v": "after", "i": "text"}]


def test_a_script_that_submits_by_itself(show: Show, page: Page, stored: Callable[[], list[Any]]) -> None:
    frame = show(
        form(
            '<input name="q" value="1"><crowd-button id="go">Go</crowd-button>',
            """<script>
            document.querySelector('crowd-form').onsubmit = (event) => {
              event.preventDefault();
              document.querySelector('[name=q]').value += '2';
              document.querySelector('crowd-form').submit();
            };
            document.getElementById('go').onclick = () => document.forms[0].submit();
            </script>""",
        )
    )
    frame.get_by_role("button", name="Go").click()
    submitted(page)
    assert stored() == [{"q": "12"}]


SAME = """<label><input type="checkbox" name="m" value="x">X</label>
<label><input type="checkbox" name="m" value="y">Y</label>
<label><input type="checkbox" name="m" value="z">Z</label>
<label><input type="radio" name="r" value="agree">Agree</label>
<label><input type="radio" name="r" value="disagree">No</label>
<crowd-text-area name="t" label="First"></crowd-text-area><crowd-text-area name="t" label="Second"></crowd-text-area>
<crowd-checkbox name="c" value="a">A</crowd-checkbox><crowd-checkbox name="c" value="b">B</crowd-checkbox>
<select name="s" multiple aria-label="S"><option>1</option><option>2</option><option>3</option></select>
<input name="__proto__" value="p"><input type="checkbox" name="alone" aria-label="alone"><input name="off" disabled>"""


def test_inputs_that_share_a_name_keep_every_value(show: Show, page: Page, stored: Callable[[], list[Any]]) -> None:
    frame = show(form(SAME))
    for name in ("X", "Y", "Agree", "B"):
        frame.get_by_label(name, exact=True).check()
    frame.get_by_label("First").fill("one")
    frame.get_by_label("Second").fill("two")
    frame.get_by_label("S", exact=True).select_option(["1", "3"])
    frame.get_by_role("button", name="Submit").click()
    submitted(page)
    wanted = {
        "m": {"x": True, "y": True, "z": False},
        "r": {"agree": True, "disagree": False},
        "t": ["one", "two"],
        "c": {"a": False, "b": True},
        "s": ["1", "3"],
        "__proto__": "p",
        "alone": {"on": False},
    }
    assert stored() == [wanted]
    # And each shows its earlier value again.
    page.keyboard.press("Shift+L")
    page.get_by_role("dialog").get_by_role("button", name="Change").click()
    frame = shown(page)
    expect(frame.get_by_label("Second")).to_have_value("two")
    expect(frame.get_by_label("Y", exact=True)).to_be_checked()
    expect(frame.get_by_label("Z", exact=True)).not_to_be_checked()
    expect(frame.get_by_label("Agree", exact=True)).to_be_checked()
    expect(frame.get_by_label("S", exact=True)).to_have_values(["1", "3"])


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (
            '<form><select name="q" aria-label="Q"><option>a</option><option>b</option></select></form>'
            '<crowd-button form-action="submit">Submit</crowd-button>',
            {"q": "b"},
        ),
        (
            '<input name="o" value="1"><form id="f"><select name="q" aria-label="Q"><option>a</option>'
            '<option>b</option></select><button type="submit">Submit</button></form>',
            {"o": "1", "q": "b"},
        ),
        (
            '<form id="f"></form><select form="f" name="q" aria-label="Q"><option>a</option><option>b</option>'
            "</select>",
            {"q": "b"},
        ),
        (
            '<select name="q" aria-label="Q"><option>a</option><option>b</option></select>'
            '<button name="verdict" value="yes">Submit</button><button name="verdict" value="no">No</button>',
            {"q": "b", "verdict": "yes"},
        ),
    ],
    ids=["outer-button", "inner-button", "by-id", "named-buttons"],
)
def test_forms_within_the_form_and_buttons_with_values(
    show: Show, page: Page, stored: Callable[[], list[Any]], body: str, wanted: dict[str, Any]
) -> None:
    frame = show(form(body))
    frame.get_by_label("Q").select_option("b")
    frame.get_by_role("button", name="Submit").click()
    submitted(page)
    assert stored() == [wanted]


def test_an_empty_answer_is_not_handed_in(show: Show, page: Page, stored: Callable[[], list[Any]]) -> None:
    frame = show(form('<crowd-input name="x" label="X"></crowd-input>'))
    frame.get_by_role("button", name="Submit").click()
    expect(frame.get_by_role("alert")).to_contain_text("Nothing is filled in yet")
    expect(page.locator("#done")).to_have_text("0")
    frame.get_by_label("X").fill("a")
    expect(frame.get_by_role("alert")).to_have_text("")
    frame.get_by_role("button", name="Submit").click()
    submitted(page)
    assert stored() == [{"x": "a"}]


LIVE = """<crowd-input name="i" label="I"></crowd-input><crowd-text-area name="t" label="T"></crowd-text-area>
<crowd-checkbox name="c">C</crowd-checkbox><crowd-toggle-button name="g">G</crowd-toggle-button>
<crowd-radio-group><crowd-radio-button name="r1" value="one">R1</crowd-radio-button>
<crowd-radio-button name="r2" value="two">R2</crowd-radio-button></crowd-radio-group>
<crowd-slider name="s" min="0" max="10"></crowd-slider><crowd-button form-action="submit">Submit</crowd-button>
<crowd-classifier name="k" categories="['a','b']" header="?"></crowd-classifier>"""


def test_properties_are_live_and_so_are_attributes(show: Show) -> None:
    frame = show(form(LIVE))

    def run(selector: str, script: str) -> Any:
        return frame.locator(selector).first.evaluate(f"(element) => {{ {script} }}")

    for tag in ("crowd-input", "crowd-text-area"):
        field = frame.locator(f"{tag} :is(input, textarea)")
        run(tag, "element.value = 'set'")
        expect(field).to_have_value("set")
        assert run(tag, "return element.getAttribute('value')") == "set"
        run(tag, "element.setAttribute('value', 'by attribute')")
        expect(field).to_have_value("by attribute")
        field.fill("typed")
        assert run(tag, "return element.value") == "typed"
    for tag in ("crowd-checkbox", "crowd-toggle-button", "crowd-radio-button"):
        field = frame.locator(f"{tag} input").first
        run(tag, "element.checked = true")
        expect(field).to_be_checked()
        assert run(tag, "return [element.hasAttribute('checked'), element.value]")[0] is True
        run(tag, "element.removeAttribute('checked')")
        expect(field).not_to_be_checked()
        field.check()
        assert run(tag, "return [element.checked, element.hasAttribute('checked')]") == [True, True]
    frame.locator("crowd-radio-button input").nth(1).check()
    both = "return [...element.querySelectorAll('crowd-radio-button')].map((b) => b.checked)"
    assert run("crowd-radio-group", both) == [False, True]
    assert run(
        "crowd-radio-group", "const was = element.value; element.value = 'one'; return [was, element.value]"
    ) == ["two", "one"]
    assert run("crowd-radio-group", both) == [True, False]
    run("crowd-slider", "element.value = 7")
    expect(frame.get_by_role("slider")).to_have_value("7")
    frame.get_by_role("slider").fill("3")
    assert run("crowd-slider", "return element.value") == 3
    for tag in ("crowd-input", "crowd-text-area", "crowd-checkbox", "crowd-toggle-button", "crowd-radio-button",
                "crowd-slider", "crowd-button"):  # fmt: skip
        field = frame.locator(f"{tag} :is(input, textarea, button)").first
        run(tag, "element.disabled = true")
        expect(field).to_be_disabled()
        assert run(tag, "return element.hasAttribute('disabled')") is True
        run(tag, "element.removeAttribute('disabled')")
        expect(field).to_be_enabled()
    run("crowd-radio-group", "element.disabled = true")
    expect(frame.get_by_label("R2")).to_be_disabled()
    run("crowd-classifier", "element.value = 'b'")
    expect(frame.get_by_role("radio", name="b", exact=True)).to_have_attribute("aria-checked", "true")
    run("crowd-classifier", "element.categories = ['b', 'new']")
    frame.get_by_role("radio", name="new").click()
    assert run("crowd-classifier", "return [element.value, element.categories]") == ["new", ["b", "new"]]


def test_an_element_that_is_a_whole_task_brings_its_form(
    show: Show, page: Page, stored: Callable[[], list[Any]]
) -> None:
    frame = show(f"{SCRIPT}<crowd-classifier name='k' categories=\"['a','b']\" header='?'></crowd-classifier>")
    frame.get_by_role("radio", name="b", exact=True).click()
    frame.get_by_role("button", name="Submit").click()
    submitted(page)
    assert stored() == [{"k": {"label": "b"}}]


def test_a_template_is_reset(show: Show) -> None:
    frame = show(form('<crowd-input name="i" label="I" value="was"></crowd-input><crowd-checkbox name="c" checked>C'
                      '</crowd-checkbox><crowd-button form-action="reset">Again</crowd-button>'))  # fmt: skip
    frame.get_by_label("I").fill("changed")
    frame.get_by_label("C").uncheck()
    frame.get_by_role("button", name="Again").click()
    expect(frame.get_by_label("I")).to_have_value("was")
    expect(frame.get_by_label("C")).to_be_checked()


def test_what_is_asked_for_by_a_pattern_is_asked_for_in_a_text_area_too(show: Show, page: Page) -> None:
    frame = show(form('<crowd-text-area name="t" label="T" allowed-pattern="[0-9]+" error-message="Digits only">'
                      "</crowd-text-area>"))  # fmt: skip
    frame.get_by_label("T").fill("abc")
    assert frame.get_by_label("T").evaluate("(field) => field.validationMessage") == "Digits only"
    frame.get_by_role("button", name="Submit").click()
    expect(page.locator("#done")).to_have_text("0")


LABELS = ["LOC", "PER", "ORG", "MISC"]


def test_short_labels_stay_on_one_line(show: Show, page: Page) -> None:
    frame = show(form(f"<crowd-classifier name='k' header='?' categories='{json.dumps(LABELS)}'></crowd-classifier>"))
    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for label in LABELS:
            box = frame.get_by_role("radio", name=label).locator("span").bounding_box()
            assert box is not None and box["height"] < 40 < box["width"] + 25
    page.set_viewport_size({"width": 1200, "height": 900})
