"""The two built-in review pages in a real Chromium: a form that was read from a document, labels of an image."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, FrameLocator, Page, expect

from demo.invoices import invoice
from tests.e2e.browsing import ROOT, shot, signed_in
from tests.service.running import RunningService, _flow_request, _running_service
from trueground.documents import read_document
from trueground.service.settings import ServiceSettings
from trueground.storage import file_uri

pytestmark = pytest.mark.browser

TEMPLATES = ROOT / "include/templates"
FORMS = "AWS/Textract/AnalyzeDocument/Forms/V1"
MODERATION = "AWS/Rekognition/DetectModerationLabels/Image/V3"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("reviews").resolve()
    (folder / "data").mkdir()
    with _running_service(ServiceSettings(home=folder / "home", data_root=folder / "data")) as service:
        yield service


class Review:
    """A human loop, and its page as a worker sees it."""

    def __init__(self, portal: RunningService, page: Page, loop: str) -> None:
        self.portal, self.page, self.loop = portal, page, loop

    @property
    def frame(self) -> FrameLocator:
        return self.page.frame_locator("#frames iframe:not(.ahead)")

    def answer(self) -> Any:
        """What was handed in, as the loop's output has it."""
        expect(self.page.get_by_text("All done here")).to_be_visible()
        client = self.portal.client("sagemaker-a2i-runtime")
        for _ in range(100):
            loop = client.describe_human_loop(HumanLoopName=self.loop)
            if loop["HumanLoopStatus"] == "Completed":
                break
            self.page.wait_for_timeout(50)
        output = json.loads(Path(urlsplit(loop["HumanLoopOutput"]["OutputS3Uri"]).path).read_text())
        return output["humanAnswers"][0]["answerContent"]


Start = Callable[..., Review]
numbers = itertools.count()


@pytest.fixture
def start(browser: Browser, portal: RunningService) -> Start:
    """``start(template, content)``, a template's name or text: a loop of its own, opened by a worker of its own."""

    def make(template: str, content: Any, *, viewport: Any = WIDE) -> Review:
        name, client = f"review-{next(numbers)}", portal.client()
        text = template if "<" in template else (TEMPLATES / template / "template.liquid.html").read_text()
        client.create_human_task_ui(HumanTaskUiName=f"{name}-ui", UiTemplate={"Content": text})
        portal.add_worker(name, team=name)
        flow = client.create_flow_definition(
            **_flow_request(portal, client, name, 1, WorkteamArn=portal.add_team(name), TaskTitle="Review")
        )["FlowDefinitionArn"]
        portal.client("sagemaker-a2i-runtime").start_human_loop(
            HumanLoopName=name, FlowDefinitionArn=flow, HumanLoopInput={"InputContent": json.dumps(content)}
        )
        page = signed_in(browser, portal, name, viewport=viewport)
        page.goto(f"{portal.url}/work/{name}")
        return Review(portal, page, name)

    return make


@pytest.fixture(scope="module")
def document(portal: RunningService) -> tuple[str, list[dict[str, Any]]]:
    """A worn invoice's file, and the blocks of its key-value pairs as A2I hands them to a template."""
    image, _ = invoice("0/21")
    (portal.data_root / "invoice.jpg").write_bytes(image)
    blocks = {block["Id"]: block for block in read_document(image)["Blocks"]}
    chosen = []
    for block in blocks.values():
        if block["BlockType"] == "KEY_VALUE_SET":
            words = [blocks[found]["Text"] for relation in block["Relationships"] if relation["Type"] == "CHILD"
                     for found in relation["Ids"]]  # fmt: skip
            chosen.append(camel_case({**block, "Text": " ".join(words)}))
    return file_uri(portal.data_root / "invoice.jpg"), chosen


def camel_case(value: Any) -> Any:
    if isinstance(value, dict):
        return {key[0].lower() + key[1:]: camel_case(item) for key, item in value.items()}
    return [camel_case(item) for item in value] if isinstance(value, list) else value


def form(document: tuple[str, list[dict[str, Any]]], fields: int | None = None, keys: Any = ()) -> dict[str, Any]:
    """The input of a loop about the first fields of the document."""
    return {
        "source-ref": document[0],
        "selectedAiServiceResponse": {"blocks": document[1][: None if fields is None else 2 * fields]},
        "humanLoopContext": {"importantFormKeys": list(keys)},
    }


def texts(answer: Any) -> list[tuple[str, str]]:
    """Key and value of each pair in an answer."""
    blocks = {block["id"]: block for block in answer[FORMS]["blocks"]}
    return [
        (block["text"], blocks[relation["ids"][0]]["text"])
        for block in blocks.values()
        for relation in block["relationships"]
        if relation["type"] == "VALUE"
    ]


def test_a_form_is_reviewed_by_keys_alone_and_answered_as_aws_documents(start: Start, document: Any) -> None:
    review = start("textract-analyze-document", form(document, 5))
    frame, keyboard = review.frame, review.page.keyboard
    expect(frame.get_by_text("0 of 5 looked at")).to_be_visible()
    shot(review.page, "review-form-1440")
    pairs = texts({FORMS: {"blocks": document[1][:10]}})
    values = [frame.get_by_label(f"Value of {key}", exact=True) for key, _ in pairs]
    expect(values[0]).to_be_focused()
    keyboard.press("Enter")
    expect(values[1]).to_be_focused()
    values[1].fill("what is printed")
    keyboard.press("Enter")
    keyboard.press("Alt+n")
    keyboard.press("Alt+b")
    expect(values[4]).to_be_focused()
    shot(review.page, "review-form-half-1440")
    keyboard.press("Alt+u")
    expect(frame.get_by_role("button", name="Submit")).to_be_focused()
    keyboard.press("Enter")
    answer = review.answer()
    assert texts(answer) == [pairs[0], (pairs[1][0], "what is printed"), (pairs[3][0], ""), pairs[4]]
    given = document[1][0]
    assert answer[FORMS]["blocks"][0] == {
        "blockType": "KEY_VALUE_SET",
        "id": given["id"],
        "relationships": [*({"type": "CHILD", "ids": r["ids"]} for r in given["relationships"] if r["type"] == "CHILD"),
                          {"type": "VALUE", "ids": [document[1][1]["id"]]}],
        "entityTypes": ["KEY"],
        "text": pairs[0][0],
    }  # fmt: skip
    assert answer[FORMS]["cannotTell"] == [document[1][8]["id"]]


def test_the_page_zooms_to_the_field_at_hand_and_back(start: Start, document: Any) -> None:
    frame = start("textract-analyze-document", form(document)).frame
    sheet, viewer = frame.locator(".sheet"), frame.locator(".page")
    polygons = frame.locator("polygon.here")
    expect(polygons).to_have_count(2)
    frame.get_by_role("button", name="Whole page").click()
    frame.locator(".page").page.wait_for_timeout(300)
    whole, window = sheet.bounding_box(), viewer.bounding_box()
    assert whole and window and whole["height"] <= window["height"] + 1 and whole["width"] <= window["width"] + 1
    frame.locator(".pair input:not(.key)").nth(5).focus()
    viewer.page.wait_for_timeout(300)
    near, value = sheet.bounding_box(), polygons.last.bounding_box()
    assert near and value and near["height"] > 1.5 * whole["height"]
    assert window["x"] <= value["x"] and value["x"] + value["width"] <= window["x"] + window["width"]
    assert window["y"] <= value["y"] and value["y"] + value["height"] <= window["y"] + window["height"]
    # And a box on the page leads to its field.
    frame.get_by_role("button", name="Whole page").click()
    viewer.page.wait_for_timeout(300)
    frame.locator("polygon").nth(1).click()
    expect(frame.locator(".pair input:not(.key)").first).to_be_focused()


def test_nothing_is_handed_in_before_every_field_was_looked_at(start: Start, document: Any) -> None:
    review = start("textract-analyze-document", form(document, 3))
    frame = review.frame
    frame.get_by_role("button", name="Submit").click()
    expect(frame.get_by_text("Look at the 3 fields still marked first.")).to_be_visible()
    for _ in range(3):
        frame.get_by_role("button", name="Right").filter(visible=True).click()
    frame.get_by_role("button", name="Submit").click()
    assert len(texts(review.answer())) == 3


def test_an_important_key_that_the_reader_missed_is_asked_for(start: Start, document: Any) -> None:
    found = texts({FORMS: {"blocks": document[1]}})[1][0]
    keys = [
        {"importantFormKey": "Delivery date"},
        {"importantFormKey": "Signature", "importantFormKeyAliases": ["Signed by"]},
        {"importantFormKey": "Never shown", "importantFormKeyAliases": [found.upper()]},
    ]
    review = start("textract-analyze-document", form(document, 2, keys))
    frame, keyboard = review.frame, review.page.keyboard
    expect(frame.get_by_text("not found by the reader")).to_have_count(2)
    keyboard.press("Enter")
    keyboard.press("Enter")
    expect(frame.get_by_label("Delivery date")).to_be_focused()
    keyboard.press("Enter")
    expect(frame.get_by_text("Type what it says, or choose Key not found.")).to_be_visible()
    keyboard.type("2024-05-01")
    keyboard.press("Enter")
    frame.get_by_role("button", name="Key not found").filter(visible=True).click()
    keyboard.press("Enter")
    assert texts(review.answer())[2:] == [("Delivery date", "2024-05-01")]


def test_a_missing_key_that_nobody_could_read_is_told_by_its_name(start: Start, document: Any) -> None:
    review = start("textract-analyze-document", form(document, 0, [{"importantFormKey": "Signature"}]))
    expect(review.frame.get_by_label("Signature")).to_be_focused()
    review.page.keyboard.press("Alt+u")
    review.page.keyboard.press("Enter")
    assert review.answer()[FORMS] == {"blocks": [], "cannotTell": ["Signature"]}


def test_a_key_that_was_misread_is_corrected_and_no_longer_missing(start: Start, document: Any) -> None:
    value = texts({FORMS: {"blocks": document[1]}})[0][1]
    keys = [{"importantFormKey": "Rechnungsnummer", "importantFormKeyAliases": ["Rechnungs-Nr.:"]}]
    review = start("textract-analyze-document", form(document, 1, keys))
    frame = review.frame
    expect(frame.get_by_text("0 of 2 looked at")).to_be_visible()
    frame.get_by_label("Key", exact=True).fill("Rechnungs-Nr.")
    expect(frame.get_by_text("✓ found")).to_be_visible()
    review.page.keyboard.press("Enter")
    expect(frame.get_by_role("button", name="Submit")).to_be_focused()
    review.page.keyboard.press("Enter")
    assert texts(review.answer()) == [("Rechnungs-Nr.", value)]


def test_what_was_corrected_survives_a_reload(start: Start, document: Any) -> None:
    review = start("textract-analyze-document", form(document, 2))
    key = texts({FORMS: {"blocks": document[1]}})[0][0]
    review.frame.get_by_label(f"Value of {key}", exact=True).fill("corrected")
    review.page.keyboard.press("Enter")
    expect(review.page.locator("#draft")).to_have_text("Draft saved", timeout=10_000)
    review.page.reload()
    expect(review.frame.get_by_label(f"Value of {key}", exact=True)).to_have_value("corrected")
    expect(review.frame.get_by_text("1 of 2 looked at")).to_be_visible()


def test_a_form_fits_a_telephone(start: Start, document: Any) -> None:
    review = start("textract-analyze-document", form(document, 4), viewport=NARROW)
    expect(review.frame.get_by_text("0 of 4 looked at")).to_be_visible()
    review.page.wait_for_timeout(300)
    shot(review.page, "review-form-390")
    body = review.frame.locator("body")
    assert body.evaluate("body => document.documentElement.scrollWidth") <= 390
    review.frame.get_by_role("button", name="Right").filter(visible=True).click()
    value, window = (
        review.frame.locator("polygon.here").last.bounding_box(),
        review.frame.locator(".page").bounding_box(),
    )
    assert value and window and window["y"] <= value["y"] <= window["y"] + window["height"]


def test_a_page_that_is_gone_or_without_fields_says_so(start: Start, document: Any) -> None:
    gone = start("textract-analyze-document", {**form(document, 1), "source-ref": document[0] + ".gone"})
    expect(gone.frame.get_by_text("The page cannot be shown.")).to_be_visible()
    shot(gone.page, "review-form-gone-1440")
    empty = start("textract-analyze-document", form(document, 0))
    expect(empty.frame.get_by_text("No key-value pair was found on this page.")).to_be_visible()
    shot(empty.page, "review-form-empty-1440")
    empty.frame.get_by_role("button", name="Submit").click()
    assert empty.answer() == {FORMS: {"blocks": []}}


LABELS = [
    {"confidence": 96.7, "name": "Weapons", "parentName": "Violence"},
    {"confidence": 60.1, "name": "Physical Violence", "parentName": "Violence"},
    {"confidence": 55.0, "name": "Gambling", "parentName": ""},
]


@pytest.fixture(scope="module")
def picture(portal: RunningService) -> str:
    image, file = Image.new("RGB", (640, 420), "#88aacc"), io.BytesIO()
    ImageDraw.Draw(image).ellipse((200, 90, 440, 330), fill="#cc5533")
    image.save(file, "PNG")
    (portal.data_root / "picture.png").write_bytes(file.getvalue())
    return file_uri(portal.data_root / "picture.png")


def moderation(picture: str, labels: Any = LABELS) -> dict[str, Any]:
    return {"source-ref": picture, "selectedAiServiceResponse": {"moderationLabels": labels}}


def test_moderation_labels_are_chosen_by_keys_and_answered_as_aws_documents(start: Start, picture: str) -> None:
    review = start("rekognition-detect-moderation-labels", moderation(picture))
    frame, keyboard = review.frame, review.page.keyboard
    expect(frame.get_by_role("checkbox", name="Weapons")).to_be_visible()
    shot(review.page, "review-moderation-1440")
    keyboard.press("Enter")
    expect(frame.get_by_text("Choose what applies, or None of these.")).to_be_visible()
    keyboard.press("v")
    expect(frame.locator(".picture.blurred")).to_have_count(1)
    keyboard.press("0")
    expect(frame.get_by_role("checkbox", name="Weapons")).to_be_disabled()
    keyboard.press("0")
    keyboard.press("1")
    keyboard.press("3")
    keyboard.press("2")
    keyboard.press("2")
    expect(frame.get_by_role("checkbox", name="Weapons")).to_be_checked()
    keyboard.press("Enter")
    assert review.answer() == {MODERATION: {"ModerationLabels": [LABELS[0], LABELS[2]]}}


@pytest.mark.parametrize(("key", "more"), [("0", {}), ("u", {"cannotTell": True})])
def test_none_applies_or_nobody_can_tell(start: Start, picture: str, key: str, more: dict[str, bool]) -> None:
    review = start("rekognition-detect-moderation-labels", moderation(picture), viewport=NARROW)
    expect(review.frame.get_by_role("checkbox", name="Weapons")).to_be_visible()
    review.page.keyboard.press(key)
    shot(review.page, "review-moderation-390")
    review.page.keyboard.press("Enter")
    assert review.answer() == {MODERATION: {"ModerationLabels": [], **more}}


def test_awss_own_templates_work_as_they_are(start: Start, document: Any) -> None:
    template = """<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
<crowd-form>
  <crowd-textract-analyze-document src="{{ task.input.source-ref | grant_read_access }}"
    initial-value="{{ task.input.selectedAiServiceResponse.blocks }}" header="Review" no-key-edit no-geometry-edit
    keys="{{ task.input.humanLoopContext.importantFormKeys }}" block-types="['KEY_VALUE_SET']">
    <short-instructions header="Instructions">Look.</short-instructions>
    <full-instructions header="Instructions"></full-instructions>
  </crowd-textract-analyze-document>
</crowd-form>"""
    review = start(template, form(document, 1, [{"importantFormKey": 'It\'s "due"'}]))
    expect(review.frame.get_by_text("0 of 2 looked at")).to_be_visible()
    expect(review.frame.get_by_label('It\'s "due"')).to_be_visible()


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_label_that_a_model_is_unsure_of_is_corrected_by_key(
    portal: RunningService, start: Start, viewport: Any
) -> None:
    Image.new("RGB", (320, 200), "teal").save(portal.data_root / "sea.png")
    content = {"source-ref": file_uri(portal.data_root / "sea.png"), "label": "sky", "confidence": 0.614}
    review = start("prediction", {**content, "labels": ["sea", "sky", "Cannot tell"]}, viewport=viewport)
    expect(review.frame.get_by_text("A model says sky")).to_be_visible()
    expect(review.frame.get_by_text("61 % sure")).to_be_visible()
    shot(review.page, f"review-prediction-{viewport['width']}")
    review.frame.get_by_role("radio", name="sea").click()
    review.frame.get_by_role("button", name="Submit").click()
    assert review.answer() == {"label": {"label": "sea"}}


def test_a_text_that_nobody_could_label_is_said_to_be_so(start: Start) -> None:
    content = {"source": "Bank & <b>river</b>", "label": "money", "confidence": None}
    review = start("prediction", {**content, "labels": ["money", "nature", "Cannot tell"]})
    expect(review.frame.get_by_text("Bank & <b>river</b>")).to_be_visible()
    review.frame.get_by_role("radio", name="Cannot tell").click()
    review.frame.get_by_role("button", name="Submit").click()
    assert review.answer() == {"label": {"label": "Cannot tell"}}
