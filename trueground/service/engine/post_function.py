"""Consolidation by a function of the requester's own.

Objects are handed to it some at a time. What it returns is kept in the store, so that the output can be made again
without it; after a crash, what it returned last is found in its consolidation-response file.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, update

from trueground import storage as paths
from trueground.service.engine.function_calls import VERSION, FunctionCalls, FunctionFailed, reason_of
from trueground.service.engine.functions import OwnFunction
from trueground.service.engine.output import Keys, Output, request_entry
from trueground.service.engine.output_files import ArrayFile, to_json
from trueground.service.engine.output_rows import DataObject
from trueground.service.store.tables import data_objects

log = logging.getLogger(__name__)

OBJECTS_AT_ONCE = 1000
"""Lines of the manifest that one call is about: AWS takes 6 MB from a Lambda function at most."""
LEFT_OUT = "The post-annotation function returned no label for this data object"


def consolidate(output: Output, function: OwnFunction, calls: FunctionCalls) -> None:
    """Have the function label all answered objects of an ended job; those without a label fail. May be repeated."""
    for number, start in enumerate(range(0, output.job.objects, OBJECTS_AT_ONCE)):
        positions = range(start, start + OBJECTS_AT_ONCE)
        # Also those that failed, so that the request is the same when it is made again.
        found = [one for one in output.objects(positions) if one.answers and one.state in ("written", "failed")]
        if found:
            _consolidate(output, function, calls, found, number)


def consolidate_now(output: Output, function: OwnFunction, calls: FunctionCalls, positions: list[int]) -> None:
    """Have the function label these objects of a streaming job, which have their answers."""
    found = [one for one in output.objects(positions) if one.answers]
    if found:
        # Its files are named by the second and the first object: another call in this second has others.
        _consolidate(output, function, calls, found, found[0].position)


def _consolidate(
    output: Output, function: OwnFunction, calls: FunctionCalls, found: list[DataObject], number: int
) -> None:
    request, response_uri = output.consolidation_uri("request", number), output.consolidation_uri("response", number)
    with ArrayFile(output.storage, request) as file:
        for one in found:
            file.add(request_entry(one, json.loads(one.line)))
    undecided = [one.position for one in found if one.state in ("written", "answered") and one.label is None]
    if undecided:
        try:
            labels = read_labels(_response(output, function, calls, request, response_uri), output.attribute)
            missing: str = LEFT_OUT
        except FunctionFailed as error:
            log.warning("labeling job %s: %s", output.job.name, error)
            labels, missing = {}, reason_of(error)
        _keep(output, {position: labels.get(str(position), missing) for position in undecided})
    elif not output.storage.exists(response_uri):
        known = [
            {"datasetObjectId": str(one.position), "consolidatedAnnotation": {"content": one.label}}
            for one in found
            if one.label is not None
        ]
        output.storage.write_bytes(response_uri, to_json(known) + b"\n")


def _response(output: Output, function: OwnFunction, calls: FunctionCalls, request: str, response_uri: str) -> Any:
    """What the function returned, now or before a crash."""
    if output.storage.exists(response_uri):
        return json.loads(output.storage.read_bytes(response_uri))
    asked = output.job.request
    event = {
        "version": VERSION,
        "labelingJobArn": output.settings.arn(f"labeling-job/{output.job.name}"),
        "labelCategories": output.job.categories or None,
        "labelAttributeName": output.attribute,
        "roleArn": asked["RoleArn"],
        "outputConfig": paths.join(output.base, "annotations"),
        "payload": {"s3Uri": request},
    }
    if asked["OutputConfig"].get("KmsKeyId"):
        event["kmsKeyId"] = asked["OutputConfig"]["KmsKeyId"]
    response = calls.call(function, event, output.settings.post_function_seconds)
    read_labels(response, output.attribute)
    output.storage.write_bytes(response_uri, to_json(response) + b"\n")
    return response


def read_labels(response: Any, attribute: str) -> dict[str, Keys | str]:
    """The manifest keys of each object that a post-annotation function returned, or what is wrong with them.

    Raises:
        FunctionFailed: the response as a whole does not have AWS's form.
    """
    if not isinstance(response, list):
        raise FunctionFailed("the post-annotation function returned no list")
    found: dict[str, Keys | str] = {}
    for item in response:
        if not isinstance(item, Mapping) or not isinstance(item.get("datasetObjectId"), str | int):
            raise FunctionFailed("the post-annotation function returned an element without a datasetObjectId")
        found[str(item["datasetObjectId"])] = _label(item, attribute)
    return found


def _label(item: Mapping[str, Any], attribute: str) -> Keys | str:
    annotation = item.get("consolidatedAnnotation")
    content = annotation.get("content") if isinstance(annotation, Mapping) else None
    if not isinstance(content, Mapping) or attribute not in content:
        return f"The post-annotation function returned no consolidatedAnnotation.content with {attribute!r}"
    metadata = f"{attribute}-metadata"
    if not isinstance(content.get(metadata, {}), Mapping):
        return f"The post-annotation function returned a {metadata!r} that is no object"
    return {key: content[key] for key in (attribute, metadata) if key in content}


def _keep(output: Output, outcomes: Mapping[int, Keys | str]) -> None:
    metadata = f"{output.attribute}-metadata"
    this = (data_objects.c.job_id == output.job.id) & (data_objects.c.position == bindparam("at"))
    labeled = [
        {"at": position, "label": {**keys, metadata: keys.get(metadata, output.custom_metadata())}}
        for position, keys in outcomes.items()
        if not isinstance(keys, str)
    ]
    failed = [{"at": position, "reason": reason} for position, reason in outcomes.items() if isinstance(reason, str)]
    with output.db.write() as connection:
        if labeled:
            connection.execute(update(data_objects).where(this).values(label=bindparam("label")), labeled)
        if failed:
            failure = {"state": "failed", "failure_reason": bindparam("reason")}
            connection.execute(update(data_objects).where(this).values(**failure), failed)
