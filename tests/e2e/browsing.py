"""What the tests in a real browser share."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.service.running import RunningService
from trueground.storage import file_uri
from trueground.tasks import label_category_config
from trueground.templates import fill

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


def create_job(service: RunningService, name: str, objects: int, *, more: str = "", **human: Any) -> None:
    """A job of small pictures. ``more`` is added to its template; ``human`` replaces members of HumanTaskConfig."""
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
    (folder / "template.html").write_text(page.replace("</crowd-form>", f"{more}</crowd-form>"))
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
            **human,
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
