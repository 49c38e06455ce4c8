"""Human task UIs and RenderUiTemplate, over real HTTP with real boto3."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from trueground.storage import file_uri

TEMPLATE = "<crowd-form>{{ task.input.words }}<input name='q'></crowd-form>"
UIS = "arn:aws:sagemaker:us-east-1:000000000000:human-task-ui/"
ROLE = "arn:aws:iam::000000000000:role/labeling"


def test_a_ui_is_made_described_and_its_text_is_behind_a_link(service: Any, sagemaker: Any) -> None:
    arn = sagemaker.create_human_task_ui(HumanTaskUiName="words", UiTemplate={"Content": TEMPLATE})["HumanTaskUiArn"]
    assert arn == UIS + "words"
    ui = sagemaker.describe_human_task_ui(HumanTaskUiName="words")
    assert (ui["HumanTaskUiArn"], ui["HumanTaskUiStatus"]) == (arn, "Active")
    assert ui["UiTemplate"]["ContentSha256"] == hashlib.sha256(TEMPLATE.encode()).hexdigest()
    text = httpx.get(ui["UiTemplate"]["Url"])
    assert text.text == TEMPLATE
    assert text.headers["content-type"].startswith("text/plain") and text.headers["x-content-type-options"] == "nosniff"
    assert httpx.get(service.url + "/human-task-uis/forged.token").status_code == 403
    sagemaker.delete_human_task_ui(HumanTaskUiName="words")
    assert httpx.get(ui["UiTemplate"]["Url"]).status_code == 404


def test_uis_are_listed_by_their_creation_and_filtered_by_it(sagemaker: Any) -> None:
    for name in ("b", "a", "c"):
        sagemaker.create_human_task_ui(HumanTaskUiName=name, UiTemplate={"Content": TEMPLATE})
        time.sleep(0.002)
    pages = list(sagemaker.get_paginator("list_human_task_uis").paginate(PaginationConfig={"PageSize": 2}))
    assert [[ui["HumanTaskUiName"] for ui in page["HumanTaskUiSummaries"]] for page in pages] == [["b", "a"], ["c"]]
    newest = sagemaker.list_human_task_uis(SortOrder="Descending", MaxResults=1)["HumanTaskUiSummaries"]
    assert [ui["HumanTaskUiName"] for ui in newest] == ["c"]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert len(sagemaker.list_human_task_uis(CreationTimeBefore=tomorrow)["HumanTaskUiSummaries"]) == 3
    assert sagemaker.list_human_task_uis(CreationTimeAfter=tomorrow)["HumanTaskUiSummaries"] == []


def test_a_deleted_ui_is_gone_and_its_name_free(sagemaker: Any, next_second: Callable[[], None]) -> None:
    sagemaker.create_human_task_ui(
        HumanTaskUiName="words", UiTemplate={"Content": TEMPLATE}, Tags=[{"Key": "site", "Value": "north"}]
    )
    assert sagemaker.list_tags(ResourceArn=UIS + "words")["Tags"] == [{"Key": "site", "Value": "north"}]
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="already a human task UI"):
        sagemaker.create_human_task_ui(HumanTaskUiName="words", UiTemplate={"Content": TEMPLATE})
    sagemaker.delete_human_task_ui(HumanTaskUiName="words")
    next_second()
    for operation in (sagemaker.describe_human_task_ui, sagemaker.delete_human_task_ui):
        with pytest.raises(sagemaker.exceptions.ResourceNotFound):
            operation(HumanTaskUiName="words")
    assert sagemaker.list_human_task_uis()["HumanTaskUiSummaries"] == []
    sagemaker.create_human_task_ui(HumanTaskUiName="words", UiTemplate={"Content": TEMPLATE})
    assert sagemaker.list_tags(ResourceArn=UIS + "words")["Tags"] == []


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("<p>Nothing to submit</p>", "no <crowd-form>"),
        ("<crowd-form>\n{% if %}</crowd-form>", "line 2"),
    ],
)
def test_a_template_that_nobody_could_work_with_is_refused(sagemaker: Any, template: str, message: str) -> None:
    with pytest.raises(ClientError, match=message) as caught:
        sagemaker.create_human_task_ui(HumanTaskUiName="words", UiTemplate={"Content": template})
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_a_template_is_rendered_with_a_tasks_input(sagemaker: Any) -> None:
    render: Callable[..., dict[str, Any]] = lambda **given: sagemaker.render_ui_template(  # noqa: E731
        Task={"Input": '{"words": "a < b"}'}, RoleArn=ROLE, **given
    )
    answer = render(UiTemplate={"Content": TEMPLATE})
    assert (answer["RenderedContent"], answer["Errors"]) == ("<crowd-form>a &lt; b<input name='q'></crowd-form>", [])
    arn = sagemaker.create_human_task_ui(HumanTaskUiName="words", UiTemplate={"Content": TEMPLATE})["HumanTaskUiArn"]
    assert render(HumanTaskUiArn=arn)["RenderedContent"] == answer["RenderedContent"]
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        render(HumanTaskUiArn=UIS + "none")
    with pytest.raises(ClientError, match="either UiTemplate or HumanTaskUiArn"):
        render()


SAME_NAME = """<crowd-form><input type="checkbox" name="m" value="x"><input type="checkbox" name="m" value="y">
<crowd-text-area name="t"></crowd-text-area>
<crowd-text-area name="t"></crowd-text-area></crowd-form>"""


@pytest.mark.parametrize(
    ("template", "errors"),
    [
        (
            SAME_NAME,
            [("Warning", "line 2: several elements have the name 't' (lines 2, 3): the answer has a list of their "
                         "values")],
        ),
        (
            "<crowd-form>\n<crowd-entity-annotation name='e'></crowd-entity-annotation></crowd-form>",
            [
                (
                    "InvalidTemplate",
                    "line 2: <crowd-entity-annotation> is an element of AWS that is not supported here yet, so workers "
                    "would see nothing",
                )
            ],
        ),
        (
            "<crowd-form><input name=q><img src='{{ task.input.picture }}'></crowd-form>",
            [
                (
                    "Warning",
                    "line 1 of the page: the image s3://bucket/x.png is not shown: use grant_read_access, or an "
                    "address that begins with https://",
                )
            ],
        ),
        ("<crowd-form><input name=q></crowd-form>", []),
    ],
)  # fmt: skip
def test_what_does_not_work_in_a_rendered_template_is_among_its_errors(
    sagemaker: Any, template: str, errors: list[tuple[str, str]]
) -> None:
    answer = sagemaker.render_ui_template(
        UiTemplate={"Content": template}, Task={"Input": '{"picture": "s3://bucket/x.png"}'}, RoleArn=ROLE
    )
    assert [(error["Code"], error["Message"]) for error in answer["Errors"]] == errors
    assert "<crowd-form>" in answer["RenderedContent"]


def test_a_rendered_template_shows_files_by_links_that_can_be_opened(service: Any, sagemaker: Any) -> None:
    (service.data_root / "words.txt").write_text("spoken")
    template = "<crowd-form>{{ task.input.file | grant_read_access }}<input name='q'></crowd-form>"
    given = '{"file": "%s"}' % file_uri(service.data_root / "words.txt")  # noqa: UP031
    answer = sagemaker.render_ui_template(UiTemplate={"Content": template}, Task={"Input": given}, RoleArn=ROLE)
    assert answer["Errors"] == []
    link = answer["RenderedContent"].removeprefix("<crowd-form>").removesuffix("<input name='q'></crowd-form>")
    assert httpx.get(link).text == "spoken"


@pytest.mark.parametrize(
    ("given", "template", "code"),
    [
        ('{"file": "nowhere"}', "{{ task.input.file | grant_read_access }}", "InvalidParameters"),
        ('{"file": "file:///etc/passwd"}', "{{ task.input.file | grant_read_access }}", "InvalidParameters"),
        ("{}", "{% for %}", "InvalidTemplate"),
    ],
)
def test_mistakes_of_a_template_are_told_in_the_answer(sagemaker: Any, given: str, template: str, code: str) -> None:
    answer = sagemaker.render_ui_template(UiTemplate={"Content": template}, Task={"Input": given}, RoleArn=ROLE)
    assert answer["RenderedContent"] == ""
    assert [error["Code"] for error in answer["Errors"]] == [code]


@pytest.mark.parametrize("given", ["[1]", "{]"])
def test_an_input_that_is_no_object_is_refused(sagemaker: Any, given: str) -> None:
    with pytest.raises(ClientError, match=r"Task\.Input") as caught:
        sagemaker.render_ui_template(UiTemplate={"Content": TEMPLATE}, Task={"Input": given}, RoleArn=ROLE)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize("name", ["NamedEntityRecognition", "PointCloudObjectDetection", "VideoObjectTracking"])
def test_the_user_interfaces_of_aws_are_refused_by_name(
    sagemaker: Any, flow_request: Callable[..., dict[str, Any]], job_request: Callable[..., dict[str, Any]], name: str
) -> None:
    arn = f"arn:aws:sagemaker:us-west-2:394669845002:human-task-ui/{name}"
    told = f"HumanTaskUiArn is not supported: AWS's own user interface {name} and its task type are not offered here"
    with pytest.raises(ClientError, match=told):
        sagemaker.create_flow_definition(**flow_request(HumanTaskUiArn=arn))
    with pytest.raises(ClientError, match=told):
        sagemaker.create_labeling_job(**job_request(UiConfig={"HumanTaskUiArn": arn}))


def test_a_labeling_job_is_told_where_its_template_must_be(
    sagemaker: Any, job_request: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(ClientError, match="is for human loops; labeling jobs use UiTemplateS3Uri"):
        sagemaker.create_labeling_job(**job_request(UiConfig={"HumanTaskUiArn": UIS + "words"}))
