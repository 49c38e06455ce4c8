"""Operators for human reviews: the task UI, the flow definition, and the human loops of a DAG run.

They work on Amazon A2I and on Trueground's service alike, each safe to repeat.
"""

from __future__ import annotations

import itertools
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from botocore.config import Config
from botocore.exceptions import ClientError

from operators.connections import HumanLoopHook, LabelingServiceHook, log_warnings, storage_of
from operators.failures import failing
from operators.labeling_job import LabelingJobLink, team_arn
from trueground import strict_json
from trueground.errors import InputError
from trueground.review.loops import OVER, STARTERS, content_name, list_loops, loop_prefix, start_loops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow.sdk import Context

START_LOOKS, START_PAUSE = 60, 2.0
"""How often, and every how many seconds, a flow definition is looked at until it is active."""
log = logging.getLogger(__name__)
ORIGIN_HEADER = "X-Trueground-Origin"
NOT_FOUND = ("ResourceNotFound", "ResourceNotFoundException")


class CreateHumanTaskUiOperator(BaseOperator):
    """Make a human task UI of a template. Its name follows from the text, so the same text has one UI for ever.

    Args:
        name: how the UI's name begins. Templated.
        template: the template: Liquid and HTML with ``crowd-*`` elements. Not templated: Jinja shares Liquid's braces.
        connection: the Airflow connection of the labeling service. Templated.

    Returns:
        The UI's ARN.
    """

    template_fields: Sequence[str] = ("name", "connection")

    def __init__(self, *, name: str, template: str, connection: str = "trueground", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.template = template
        self.connection = connection

    def execute(self, context: Context) -> str:
        """Create it, or find it."""
        try:
            return find_task_ui(LabelingServiceHook(aws_conn_id=self.connection), self.name, self.template)
        except InputError as error:
            raise AirflowFailException(str(error)) from error


class CreateFlowDefinitionOperator(BaseOperator):
    """Make a flow definition. Its name follows from what it says, so it is made once and used by every run.

    Args:
        name: how the flow definition's name begins. Templated.
        human_task_ui: the ARN of the task UI. Templated.
        team: the name or ARN of the work team. Templated.
        title, description: what people read in their list of tasks. Templated.
        output_path: the ``s3://`` or ``file://`` URI below which the reviews are written. Templated.
        reviewers: how many people review each object.
        settings: further members of ``HumanLoopConfig``, such as ``TaskTimeLimitInSeconds``.
        source: ``AwsManagedHumanLoopRequestSource``, where predictions of an AWS service are reviewed.
        connection: the Airflow connection of the labeling service. Templated.

    Returns:
        The flow definition's ARN.
    """

    template_fields: Sequence[str] = (
        "name", "human_task_ui", "team", "title", "description", "output_path", "connection",
    )  # fmt: skip

    def __init__(
        self,
        *,
        name: str,
        human_task_ui: str,
        team: str,
        title: str,
        description: str,
        output_path: str,
        reviewers: int = 1,
        settings: Mapping[str, Any] | None = None,
        source: str | None = None,
        connection: str = "trueground",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.human_task_ui = human_task_ui
        self.team = team
        self.title = title
        self.description = description
        self.output_path = output_path
        self.reviewers = reviewers
        self.settings = settings
        self.source = source
        self.connection = connection

    def execute(self, context: Context) -> str:
        """Create it, or find it; on AWS, wait the seconds that it takes to become active."""
        return find_flow_definition(
            LabelingServiceHook(aws_conn_id=self.connection),
            self.name,
            human_task_ui=self.human_task_ui,
            team=self.team,
            title=self.title,
            description=self.description,
            output_path=self.output_path,
            reviewers=self.reviewers,
            settings=self.settings,
            source=self.source,
        )


class StartHumanLoopsOperator(BaseOperator):
    """Start a human loop for each line of a file, many at a time. A task that is repeated goes on where it was.

    The name of a loop follows from ``name``, the DAG run, ``step`` and the object's id, so nothing is asked twice. It
    does not wait; :class:`~operators.human_review.HumanReviewSensor` takes what it returns and waits for all loops.
    Mapped over ``shard``, each mapped task takes every ``shards``-th line.

    Args:
        flow_definition: the ARN of the flow definition. Templated.
        file: the URI of a JSON Lines file of ``{"id": …, "content": {…}}``. Templated.
        name: what the loops belong to. Templated.
        run_name: the run they belong to. Templated.
        step: tells several sets of loops of one run apart. Templated.
        shard, shards: which part of the file this task takes, from 0, and of how many.
        data_attributes: A2I's ``DataAttributes``.
        connection: the Airflow connection of the labeling service. Templated.

    Returns:
        ``flow_definition``, ``prefix`` and ``created_after``, by which the loops are found, how many ``loops``, and
        the name of the ``last``.
    """

    template_fields: Sequence[str] = ("flow_definition", "file", "name", "run_name", "step", "connection")
    operator_extra_links = (LabelingJobLink(),)

    def __init__(
        self,
        *,
        flow_definition: str,
        file: str,
        name: str,
        run_name: str = "{{ run_id }}",
        step: str = "review",
        shard: int = 0,
        shards: int = 1,
        data_attributes: Mapping[str, Any] | None = None,
        connection: str = "trueground",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow_definition = flow_definition
        self.file = file
        self.name = name
        self.run_name = run_name
        self.step = step
        self.shard = shard
        self.shards = shards
        self.data_attributes = data_attributes
        self.connection = connection

    def execute(self, context: Context) -> dict[str, Any]:
        """Start what is not there yet."""
        client = loops_client(self.connection)
        name_origin(client, context)
        prefix = loop_prefix(self.name, self.run_name, self.step)
        # It never changes, however often the run is cleared, unlike the run's start. Clocks may differ.
        after = context["dag_run"].run_after - timedelta(hours=1)
        known = list_loops(client, self.flow_definition, prefix=prefix, created_after=after)
        with failing(self.log):
            started = start_loops(
                client,
                self.flow_definition,
                itertools.islice(self._lines(), self.shard, None, self.shards),
                prefix=prefix,
                data_attributes=self.data_attributes,
                done=frozenset(loop.name for loop in known if loop.status in OVER),
            )
        self.log.info("%d human loops of %s", started.loops, self.flow_definition)
        return {
            "flow_definition": self.flow_definition,
            "prefix": prefix,
            "created_after": after.isoformat(),
            "loops": started.loops,
            "last": started.last,
        }

    def _lines(self) -> Iterator[dict[str, Any]]:
        with storage_of(self.connection).open(self.file) as handle:
            for number, raw in strict_json.read_lines(handle):
                try:
                    line = strict_json.loads(raw)
                    if not isinstance(line["id"], str) or not isinstance(line["content"], dict):
                        raise TypeError
                except (ValueError, RecursionError, KeyError, TypeError):
                    raise InputError(
                        'a line is {"id": "…", "content": {…}}: the object and what its reviewers see',
                        file=self.file,
                        line=number,
                    ) from None
                yield line


def loops_client(connection: str) -> Any:
    """The ``sagemaker-a2i-runtime`` client of a connection for many loops at a time."""
    # AWS throttles. Not the adaptive mode: it signs first and waits then.
    config = {"max_pool_connections": STARTERS, "retries": {"mode": "standard", "total_max_attempts": 10}}
    return HumanLoopHook(aws_conn_id=connection, config=Config(**config)).conn


def name_origin(client: Any, context: Context) -> None:
    """Have each loop that the client starts say which task started it, for the portal. Amazon A2I passes over it."""
    ti = context.get("ti")
    if ti is None:
        return
    values = {"dag": ti.dag_id, "run": ti.run_id, "task": ti.task_id, "map": str(ti.map_index)}
    header = urlencode(values)

    def add(request: Any, **_kwargs: Any) -> None:
        request.headers[ORIGIN_HEADER] = header

    client.meta.events.register("before-sign.sagemaker-a2i-runtime.StartHumanLoop", add)


def find_task_ui(hook: LabelingServiceHook, name: str, template: str) -> str:
    """The ARN of the task UI of a template, made where it is not there; see :class:`CreateHumanTaskUiOperator`.

    Raises :class:`InputError` where people could not work with the template; what may not work is logged.
    """
    from trueground.template_check import check_template, reject_errors, warnings_of

    findings = check_template(template, elements=hook.elements)
    reject_errors(findings, file=f"template of {name}")
    for warning in warnings_of(findings):
        hook.log.warning("template of %s: %s", name, warning)
    found = _find_or_create(
        hook.conn.describe_human_task_ui,
        hook.conn.create_human_task_ui,
        "HumanTaskUiName",
        content_name(name, template),
        UiTemplate={"Content": template},
    )
    arn: str = found["HumanTaskUiArn"]
    return arn


def find_flow_definition(
    hook: LabelingServiceHook,
    name: str,
    *,
    human_task_ui: str,
    team: str,
    title: str,
    description: str,
    output_path: str,
    reviewers: int,
    settings: Mapping[str, Any] | None,
    source: str | None,
) -> str:
    """The ARN of a flow definition that says this, made where it is not there, once it is active.

    For the arguments see :class:`CreateFlowDefinitionOperator`. Raises :class:`AirflowFailException` where it does not
    become active.
    """
    request: dict[str, Any] = {
        "HumanLoopConfig": {
            **(settings or {}),
            "WorkteamArn": team_arn(hook.conn, team),
            "HumanTaskUiArn": human_task_ui,
            "TaskTitle": title,
            "TaskDescription": description,
            "TaskCount": reviewers,
        },
        "OutputConfig": {"S3OutputPath": output_path},
        "RoleArn": hook.labeling_role,
    }
    if source is not None:
        request["HumanLoopRequestSource"] = {"AwsManagedHumanLoopRequestSource": source}
    name, client = content_name(name, request), hook.conn
    flow = _find_or_create(
        client.describe_flow_definition, client.create_flow_definition, "FlowDefinitionName", name, **request
    )
    looks = 0
    while flow["FlowDefinitionStatus"] == "Initializing" and looks < START_LOOKS:
        time.sleep(START_PAUSE)
        looks += 1
        flow = client.describe_flow_definition(FlowDefinitionName=name)
    if flow["FlowDefinitionStatus"] != "Active":
        reason = flow.get("FailureReason", "no reason given")
        raise AirflowFailException(f"the flow definition {name} is {flow['FlowDefinitionStatus']}: {reason}")
    arn: str = flow["FlowDefinitionArn"]
    return arn


def _find_or_create(
    describe: Callable[..., dict[str, Any]], create: Callable[..., Any], member: str, name: str, **request: Any
) -> dict[str, Any]:
    """What ``describe`` says of a thing, made where it is not there.

    What has the name already has the same content: the name follows from it.
    """
    try:
        return describe(**{member: name})
    except ClientError as error:
        if error.response["Error"]["Code"] not in NOT_FOUND:
            raise
    try:
        log_warnings(log, create(**{member: name}, **request))
    except ClientError as error:
        # Another task has made it meanwhile.
        if error.response["Error"]["Code"] != "ResourceInUse":
            raise
    return describe(**{member: name})
