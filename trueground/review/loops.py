"""The human loops of one DAG run: named after what they are about, started side by side, listed page by page.

The same for Amazon A2I and for Trueground's service; ``client`` is boto3's ``sagemaker-a2i-runtime`` client of either.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from trueground.errors import InputError

OVER = ("Completed", "Failed", "Stopped")
"""How human loops end."""
STARTERS = 16
"""Loops started at the same time."""
PAGE = 100
"""Loops on a page of ListHumanLoops, the most that AWS gives."""
MOST_CONTENT = 3_145_728
"""Characters of an input content, the most that A2I takes."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A human loop as ListHumanLoops tells of it."""

    name: str
    status: str
    created_at: datetime
    failure_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """How many human loops there are of some lines, and the last one's name; ``None`` where there are no lines."""

    loops: int
    last: str | None


def loop_prefix(project: str, run: str, step: str = "review") -> str:
    """How the names of the human loops of a step of a DAG run begin; no other step's do.

    Args:
        project: what the loops belong to; its beginning stays readable.
        run: the DAG run's id.
        step: tells several sets of loops of one run apart.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", project.lower()).strip("-")[:24].rstrip("-") or "review"
    return f"{readable}-{_digest(json.dumps([project, run, step]), 12)}-"


def loop_name(prefix: str, object_id: str) -> str:
    """The name of an object's human loop, at most 63 characters, as A2I demands: the same for the same object."""
    return f"{prefix}{_digest(object_id, 24)}"


def content_name(readable: str, content: Any) -> str:
    """A name for a task UI or a flow definition that follows from what it is: the same content has the same name."""
    begin = re.sub(r"[^a-z0-9]+", "-", readable.lower()).strip("-")[:50].rstrip("-")
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return f"{begin or 'review'}-{_digest(text, 12)}"


def start_loops(
    client: Any,
    flow_definition_arn: str,
    lines: Iterable[Mapping[str, Any]],
    *,
    prefix: str,
    data_attributes: Mapping[str, Any] | None = None,
    done: frozenset[str] = frozenset(),
    starters: int = STARTERS,
) -> Started:
    """Start a human loop for each line. Repeated, it goes on where it was: a loop that is there stays as it is.

    Args:
        client: boto3's ``sagemaker-a2i-runtime``; used by ``starters`` threads.
        flow_definition_arn: how the loops are reviewed.
        lines: ``{"id": …, "content": {…}}``; the content is what the template sees as ``task.input``. They are read as
            they are started, so there may be more than fit into memory.
        prefix: see :func:`loop_prefix`.
        data_attributes: A2I's ``DataAttributes``, such as ``{"ContentClassifiers": [...]}``.
        done: names of loops that are over already; they are left alone.
        starters: how many are started at the same time.

    Returns:
        How many lines there are, each with its loop, and the name of the last one's.

    Raises:
        InputError: a content is too long, or a loop of the same object was started with another content.
        ClientError: the service refuses a loop.
    """
    extra = {"DataAttributes": dict(data_attributes)} if data_attributes else {}

    def start(name: str, object_id: str, text: str) -> None:
        try:
            client.start_human_loop(
                HumanLoopName=name,
                FlowDefinitionArn=flow_definition_arn,
                HumanLoopInput={"InputContent": text},
                **extra,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConflictException":
                raise InputError(
                    f"the human loop {name} of object {object_id!r} was started in this run with another input or flow "
                    "definition",
                    hint="What people were asked cannot change under them: start a new DAG run.",
                ) from error
            raise

    count, name = 0, None
    under_way: set[Future[None]] = set()
    with ThreadPoolExecutor(starters) as pool:
        try:
            for line in lines:
                object_id, text = str(line["id"]), json.dumps(line["content"], ensure_ascii=False)
                if len(text) > MOST_CONTENT:
                    problem = f"the input of object {object_id!r} has {len(text):,} characters"
                    raise InputError(problem, hint=f"A human loop takes {MOST_CONTENT:,} at most.")
                count += 1
                if (name := loop_name(prefix, object_id)) in done:
                    continue
                # No more are prepared than will be sent soon, so memory stays flat.
                if len(under_way) >= 4 * starters:
                    under_way = _check_some(under_way)
                under_way.add(pool.submit(start, name, object_id, text))
            while under_way:
                under_way = _check_some(under_way)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return Started(count, name)


def list_loops(
    client: Any, flow_definition_arn: str, *, prefix: str = "", created_after: datetime | None = None
) -> Iterator[Loop]:
    """A flow definition's human loops whose names begin with ``prefix``, the oldest first, read page by page."""
    wanted: dict[str, Any] = {"FlowDefinitionArn": flow_definition_arn, "SortOrder": "Ascending", "MaxResults": PAGE}
    if created_after is not None:
        wanted["CreationTimeAfter"] = created_after
    while True:
        page = client.list_human_loops(**wanted)
        yield from (loop for loop in map(loop_of, page["HumanLoopSummaries"]) if loop.name.startswith(prefix))
        if not page.get("NextToken"):
            return
        wanted["NextToken"] = page["NextToken"]


def loop_of(summary: Mapping[str, Any]) -> Loop:
    """A loop from its summary in a page of ListHumanLoops."""
    return Loop(
        name=summary["HumanLoopName"],
        status=summary["HumanLoopStatus"],
        created_at=summary["CreationTime"],
        failure_reason=summary.get("FailureReason"),
    )


def _check_some(under_way: set[Future[None]]) -> set[Future[None]]:
    """Wait until some have ended, raise what they raised, return the others."""
    ended, others = wait(under_way, return_when=FIRST_COMPLETED)
    for future in ended:
        future.result()
    return others


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]
