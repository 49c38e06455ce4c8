"""What a CreateLabelingJob request asks for, checked whole before anything is made."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trueground.errors import InputError
from trueground.service.engine.algorithms import read_algorithm
from trueground.service.engine.errors import Invalid
from trueground.service.engine.functions import (
    Kind,
    check_function,
    check_object,
    find_task_type,
    own_function,
    task_input,
)
from trueground.service.engine.human_task_uis import refuse_aws_ui
from trueground.service.engine.job_options import PREFIX
from trueground.service.engine.public_request import AVAILABILITY_SECONDS as PUBLIC_AVAILABILITY_SECONDS
from trueground.service.engine.public_request import TEAM as PUBLIC_TEAM
from trueground.service.engine.public_request import check_public, is_public
from trueground.service.engine.reading import reading
from trueground.service.engine.topics import is_standard_topic
from trueground.service.settings import ServiceSettings
from trueground.storage import Storage
from trueground.tasks import read_label_categories
from trueground.tasks.base import TaskType
from trueground.tasks.categories import FILE_BYTES
from trueground.template_check import Labels, check_template, reject_errors, warnings_of

AVAILABILITY_SECONDS = 30 * 24 * 3600
"""Default and upper bound of how long a private work team may take."""
IMAGE_AND_TEXT_SECONDS = 8 * 3600
"""Upper bound of the time for one task, but for video and point clouds."""

TEMPLATE_BYTES = 2 * 1024 * 1024
"""More is no task template; AWS takes 128,000 characters."""

GRANTED = "/media/"
"""How links to files begin where a template is only checked."""

STREAMING_TAG = f"{PREFIX}streaming"
"""Makes a streaming job without a topic: its objects are pushed over HTTP."""
_REFERENCE = re.compile(r"(PRE|ACS)-(Adjustment)?(SemanticSegmentation|Video|3DPointCloud(ObjectTracking|Semantic))")
_LONG = re.compile(r"(PRE|ACS)-(Adjustment|Verification)?(Video|3DPointCloud)")


@dataclass(frozen=True)
class JobPlan:
    """A checked request with the files it names."""

    name: str
    attribute: str
    manifest: str | None
    """A streaming job needs none."""
    output: str
    streaming: bool
    input_topic: str | None
    workteam: str
    workers_per_object: int
    lease_seconds: int
    availability_seconds: int
    max_objects_out: int | None
    max_human: int | None
    max_percentage: int | None
    pre_function: str | None
    post_function: str | None
    template: str
    template_uri: str
    categories: list[str]
    label_config: dict[str, Any]
    algorithm: str | None
    """Of automated labeling."""
    calls_function: bool
    """A function of the requester's own makes what the template sees, object by object."""

    def task_input(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """What the template sees of a data object."""
        return task_input(self.pre_function, content, self.categories)

    def check_object(self, content: Mapping[str, Any]) -> None:
        """Raise :class:`InputError` where people could not do this work with a data object."""
        check_object(self.pre_function, self.post_function, content, self.categories)

    def check_page(self, page: str | None) -> list[str]:
        """What may not work in the template. Raises :class:`InputError` where people could not work with it.

        Args:
            page: what the template became with a data object, where there is one.
        """
        labels = labels_of(self.post_function, self.categories)
        findings = check_template(self.template, labels=labels, rendered=page, own_address=GRANTED)
        reject_errors(findings, file=self.template_uri)
        return [f"Template, {warning}" for warning in warnings_of(findings)]


def labels_of(post_function: str | None, categories: Sequence[str]) -> Labels:
    """What a template's check has to know of a job's labels."""
    task_type = find_task_type(post_function)
    return Labels(tuple(categories), () if task_type is None else tuple(task_type.elements))


def check_request(request: dict[str, Any], storage: Storage, settings: ServiceSettings) -> JobPlan:
    """Check a request whose shape is right already, and read its template and label categories.

    Raises:
        Invalid: a member cannot be honoured; the message names it.
        InputError: a file it names cannot be used.
    """
    human = request["HumanTaskConfig"]
    _refuse_ui(human["UiConfig"].get("HumanTaskUiArn"))
    public = is_public(human["WorkteamArn"])
    if public:
        check_public(request, settings)
    elif human.get("PublicWorkforceTaskPrice"):
        raise Invalid("HumanTaskConfig.PublicWorkforceTaskPrice cannot be honoured: only the public workforce is paid")
    pre = human.get("PreHumanTaskLambdaArn")
    post = human.get("AnnotationConsolidationConfig", {}).get("AnnotationConsolidationLambdaArn")
    _check_function(pre, "PRE", "HumanTaskConfig.PreHumanTaskLambdaArn", settings)
    member = "HumanTaskConfig.AnnotationConsolidationConfig.AnnotationConsolidationLambdaArn"
    _check_function(post, "ACS", member, settings)
    task_type = find_task_type(post) or find_task_type(pre)
    _check_attribute(request["LabelAttributeName"], post or pre)
    _check_times(human, post or pre)
    streaming, topic = _stream(request, public=public)
    source = request["InputConfig"]["DataSource"].get("S3DataSource")
    if source is None and not streaming:
        raise Invalid("InputConfig.DataSource.S3DataSource is missing: only a streaming job needs no manifest")
    output = request["OutputConfig"]["S3OutputPath"]
    storage.check(output)
    _check_key(request["OutputConfig"])
    categories, config = _categories(request.get("LabelCategoryConfigS3Uri"), storage, task_type)
    stopping = request.get("StoppingConditions", {})
    return JobPlan(
        name=request["LabelingJobName"],
        attribute=request["LabelAttributeName"],
        manifest=None if source is None else source["ManifestS3Uri"],
        output=output,
        streaming=streaming,
        input_topic=topic,
        workteam=PUBLIC_TEAM if public else _workteam(human["WorkteamArn"], settings),
        workers_per_object=human["NumberOfHumanWorkersPerDataObject"],
        lease_seconds=human["TaskTimeLimitInSeconds"],
        availability_seconds=human.get(
            "TaskAvailabilityLifetimeInSeconds", PUBLIC_AVAILABILITY_SECONDS if public else AVAILABILITY_SECONDS
        ),
        max_objects_out=human.get("MaxConcurrentTaskCount"),
        max_human=stopping.get("MaxHumanLabeledObjectCount"),
        max_percentage=stopping.get("MaxPercentageOfInputDatasetLabeled"),
        pre_function=pre,
        post_function=post,
        template=_template(human["UiConfig"], storage),
        template_uri=human["UiConfig"]["UiTemplateS3Uri"],
        categories=categories,
        label_config=config,
        algorithm=read_algorithm(request, streaming=streaming),
        calls_function=own_function(pre, settings) is not None,
    )


def _refuse_ui(arn: str | None) -> None:
    """A labeling job's template is a file, as on AWS; its own user interfaces are for task types of their own."""
    if not arn:
        return
    member = "HumanTaskConfig.UiConfig.HumanTaskUiArn"
    refuse_aws_ui(arn, member)
    raise Invalid(f"{member} cannot be honoured: {arn!r} is for human loops; labeling jobs use UiTemplateS3Uri")


def _stream(request: dict[str, Any], *, public: bool) -> tuple[bool, str | None]:
    """Whether it is a streaming job, and the topic that its objects come from."""
    source = request["InputConfig"]["DataSource"].get("SnsDataSource")
    tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
    said = tags.get(STREAMING_TAG, "no")
    if said not in ("yes", "no"):
        raise Invalid(f"the tag {STREAMING_TAG} must be yes or no, not {said!r}")
    output = request["OutputConfig"].get("SnsTopicArn") or None
    streaming = source is not None or said == "yes"
    topic = None if source is None else source["SnsTopicArn"]
    for member, arn in (
        ("InputConfig.DataSource.SnsDataSource.SnsTopicArn", topic),
        ("OutputConfig.SnsTopicArn", output),
    ):
        if arn is not None and not is_standard_topic(arn):
            raise Invalid(f"{member} cannot be honoured: {arn!r} is not the ARN of a standard SNS topic")
    if not streaming:
        if output is not None:
            raise Invalid("OutputConfig.SnsTopicArn cannot be honoured: only a streaming labeling job sends its labels")
        return False, None
    if public:
        raise Invalid("HumanTaskConfig.WorkteamArn cannot be honoured: the public workforce takes no streaming jobs")
    if tags.get(f"{PREFIX}gold-policy") == "ask-again":
        raise Invalid(f"the tag {PREFIX}gold-policy cannot be ask-again: a streaming job hands its labels out at once")
    return True, topic


def _check_function(function: str | None, kind: Kind, member: str, settings: ServiceSettings) -> None:
    try:
        check_function(function, kind, settings)
    except Invalid as error:
        raise Invalid(f"{member} cannot be honoured: {error}") from None


def _check_key(output: dict[str, Any]) -> None:
    if output.get("KmsKeyId") and not output["S3OutputPath"].startswith("s3://"):
        raise Invalid("OutputConfig.KmsKeyId cannot be honoured: only what lies on S3 is encrypted with a KMS key")


def _check_attribute(attribute: str, function: str | None) -> None:
    """Ground Truth's rules for the name of a label attribute."""
    if attribute in ("source", "source-ref"):
        raise Invalid(f"LabelAttributeName cannot be {attribute!r}: that key holds the data object")
    if attribute.endswith("-metadata"):
        raise Invalid(f"LabelAttributeName {attribute!r} cannot end with -metadata: that key is written beside it")
    if function is None:
        return
    wants_reference = _REFERENCE.search(function) is not None
    if wants_reference and not attribute.endswith("-ref"):
        raise Invalid(f"LabelAttributeName {attribute!r} must end with -ref: its labels are files of their own")
    if not wants_reference and attribute.endswith("-ref"):
        raise Invalid(f"LabelAttributeName {attribute!r} cannot end with -ref: its labels stand in the manifest")


def _check_times(human: dict[str, Any], function: str | None) -> None:
    availability = human.get("TaskAvailabilityLifetimeInSeconds", AVAILABILITY_SECONDS)
    if availability > AVAILABILITY_SECONDS:
        raise Invalid(f"TaskAvailabilityLifetimeInSeconds can be {AVAILABILITY_SECONDS} (30 days) at most")
    longest = AVAILABILITY_SECONDS if function and _LONG.search(function) else IMAGE_AND_TEXT_SECONDS
    if human["TaskTimeLimitInSeconds"] > longest:
        raise Invalid(f"TaskTimeLimitInSeconds can be {longest} at most for this task type")


def _workteam(arn: str, settings: ServiceSettings) -> str:
    """The name of the work team; whether it is there, and of that kind, the store knows."""
    kind, _, name = arn.partition(":workteam/")[2].partition("/")
    if kind not in ("private-crowd", "vendor-crowd"):
        raise Invalid(f"WorkteamArn {arn!r} cannot be honoured: there are only private and vendors' work teams here")
    if arn != settings.arn(f"workteam/{kind}/{name}"):
        raise Invalid(
            f"WorkteamArn {arn!r} is not of this service, whose work teams are "
            f"{settings.arn('workteam/private-crowd/<name>')}"
        )
    return name


def _template(ui: dict[str, Any], storage: Storage) -> str:
    uri = ui.get("UiTemplateS3Uri")
    if not uri:
        raise Invalid("HumanTaskConfig.UiConfig.UiTemplateS3Uri is missing: people need a template to work with")
    with reading(uri):
        template = storage.read_small(uri, TEMPLATE_BYTES).decode("utf-8")
    if "\0" in template:
        raise InputError("the template holds a null character, so it is no HTML", file=uri)
    return template


def _categories(uri: str | None, storage: Storage, task_type: TaskType | None) -> tuple[list[str], dict[str, Any]]:
    """The names of the label categories, and the file they stand in."""
    if uri is None:
        if task_type is not None:
            raise Invalid("LabelCategoryConfigS3Uri is missing: this task type needs label categories")
        return [], {}
    with reading(uri):
        names = read_label_categories(storage, uri)
        config = json.loads(storage.read_small(uri, FILE_BYTES))
    if len(names) < 2 and task_type is not None:
        raise InputError("at least two labels are needed", file=uri, field="labels")
    return names, config
