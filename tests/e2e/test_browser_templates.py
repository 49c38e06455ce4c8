"""Templates as AWS documents them, in a real Chromium: what people fill in is what is stored."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect
from sqlalchemy import select

from tests.e2e.browsing import signed_in
from tests.service.running import PIXEL, RunningService, _job_request, _running_service
from trueground.crowd_elements import ELEMENTS
from trueground.service.settings import ServiceSettings
from trueground.service.store.tables import answers, labeling_jobs
from trueground.storage import file_uri

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
    # With the last object answered the job would end, and no answer could be changed.
    frame = show(form(SAME), objects=2)
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


def tone() -> bytes:
    """A tenth of a second of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(b"\x80" * 800)
    return file.getvalue()


LOADING = """<img id="named" src="https://images.example/named.png?size=2">
<img id="data" src="{{ task.input.picture }}">
<img id="made"><iframe id="film" src="{{ task.input.film | grant_read_access }}"></iframe>
<iframe id="form" src="{{ task.input.form | grant_read_access }}"></iframe>
<a id="here" href="https://pages.example/help">Help</a><crowd-input name="x" label="X"></crowd-input>"""
MAKES = """<script>
document.getElementById('made').src = ['https://images', '.example/', 'made.png'].join('');
const sheet = document.createElement('link');
Object.assign(sheet, { rel: 'stylesheet', href: 'https://styles' + '.example/a.css' });
document.head.append(sheet);
fetch('/api/work').catch(() => {});
</script>"""


def test_what_a_task_names_is_loaded_and_what_is_blocked_is_shown(
    show: Show, page: Page, portal: RunningService
) -> None:
    for name, content in (("film.wav", tone()), ("form.pdf", b"%PDF-1.4 a form")):
        (portal.data_root / name).write_bytes(content)
    page.context.route("https://images.example/**", lambda route: route.fulfill(body=PIXEL, content_type="image/png"))
    page.context.route(
        "https://pages.example/**", lambda route: route.fulfill(body="<h1>Help</h1>", content_type="text/html")
    )
    files = {
        name: file_uri(portal.data_root / f"{name}.{ending}") for name, ending in (("film", "wav"), ("form", "pdf"))
    }
    frame = show(form(LOADING, MAKES), picture="https://images.example/of/data.png", **files)
    for name in ("named", "data"):
        expect(frame.locator(f"#{name}")).to_have_js_property("naturalWidth", 1)
    expect(frame.locator("#made")).to_have_js_property("naturalWidth", 0)
    # A film in a frame of the template's is played from its signed link.
    player = frame.frame_locator("#film").locator("video, audio")
    expect(player).to_have_js_property("readyState", 4)
    # What was blocked is told to the worker, and nothing else is.
    expect(page.get_by_text("Parts of this task were not loaded")).to_be_visible()
    page.get_by_text("Parts of this task were not loaded").click()
    told = page.locator("#blocked li")
    expect(told).to_have_count(3)
    assert sorted(told.all_inner_texts()) == [
        f"a request: {portal.url}/api/work",
        "a style: https://styles.example/a.css",
        "an image: https://images.example/made.png",
    ]
    # A document can be opened by itself where the browser shows none within a sandbox.
    link = frame.locator("#form + a")
    expect(link).to_have_text("Open in a new tab")
    answer = page.context.request.get(link.get_attribute("href") or "")
    assert (answer.headers["content-type"], answer.body()) == ("application/pdf", b"%PDF-1.4 a form")
    # A link leaves the task where it is.
    with page.expect_popup() as opened:
        frame.get_by_role("link", name="Help").click()
    expect(opened.value.get_by_role("heading", name="Help")).to_be_visible()
    assert opened.value.evaluate("window.opener") is None
    opened.value.close()
    expect(frame.get_by_label("X")).to_be_visible()


def test_a_template_may_ask_with_a_dialog_of_the_browser(
    show: Show, page: Page, stored: Callable[[], list[Any]]
) -> None:
    script = f"<script>{CROWD_FORM}.onsubmit = (e) => {{ if (!confirm('Sure?')) e.preventDefault(); }};</script>"
    frame = show(form('<crowd-input name="x" label="X" value="1"></crowd-input>', script))
    page.once("dialog", lambda dialog: dialog.dismiss())
    frame.get_by_role("button", name="Submit").click()
    expect(page.locator("#done")).to_have_text("0")
    page.once("dialog", lambda dialog: dialog.accept())
    frame.get_by_role("button", name="Submit").click()
    submitted(page)
    assert stored() == [{"x": "1"}]


RIGHT = """(element) => {
  const text = document.createRange();
  text.selectNodeContents(element);
  return element.getBoundingClientRect().right - text.getBoundingClientRect().right;
}"""


def test_text_is_shown_as_it_was_written(show: Show) -> None:
    template = form(
        "<p id='lines'>{{ task.input.lines }}</p><p id='hebrew'>{{ task.input.hebrew }}</p>"
        "<p id='plain'>{{ task.input.source }}</p>"
        "<crowd-classifier name='k' header='?' categories='{{ task.input.labels }}'><classification-target id='target'>"
        "{{ task.input.hebrew }}</classification-target></crowd-classifier>"
    )
    hebrew, labels = "שלום עולם", ["חתול", "it's", "dog"]
    frame = show(template, lines="one\ntwo\nthree", hebrew=hebrew, labels=labels)

    def height(name: str) -> float:
        box = frame.locator(name).bounding_box()
        assert box is not None
        return box["height"]

    assert height("#lines") == pytest.approx(3 * height("#plain"), abs=3)
    assert frame.locator("#lines").inner_text() == "one\ntwo\nthree"
    assert frame.locator("#hebrew").evaluate(RIGHT) < 2 and frame.locator("#target").evaluate(RIGHT) < 2
    assert frame.locator("#plain").evaluate(RIGHT) > 200
    assert frame.locator("#target").evaluate("(target) => getComputedStyle(target).direction") == "rtl"
    for label in labels:
        expect(frame.get_by_role("radio", name=label)).to_be_visible()
    first = frame.get_by_role("radio", name=labels[0]).locator("span")
    assert first.evaluate("(element) => getComputedStyle(element).direction") == "rtl"
