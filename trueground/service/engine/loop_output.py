"""A human loop's ``output.json``, as A2I writes it: camelCase, all answers, not consolidated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row

from trueground import storage as paths
from trueground.service.engine.flow_definitions import resource as flow_resource
from trueground.service.engine.output_files import milliseconds, to_json
from trueground.service.engine.output_rows import DataObject, WorkerIdentity
from trueground.service.settings import ServiceSettings
from trueground.tasks.base import Answer


def output_uri(loop: Row[Any], request: Mapping[str, Any]) -> str:
    """Where it is: below the time at which the loop was started. ``request``: of what its tasks are taken from."""
    base = request["OutputConfig"]["S3OutputPath"]
    return paths.join(
        base, loop.flow_definition, loop.created_at.strftime("%Y/%m/%d/%H/%M/%S"), loop.name, "output.json"
    )


def output_bytes(settings: ServiceSettings, loop: Row[Any], found: DataObject) -> bytes:
    """What it says. ``found``: the loop's object with its answers."""
    content: dict[str, Any] = {}
    if source := loop.request.get("HumanLoopRequestSource"):
        content["awsManagedHumanLoopRequestSource"] = source["AwsManagedHumanLoopRequestSource"]
    content["flowDefinitionArn"] = settings.arn(flow_resource(loop.flow_definition))
    issuer = settings.arn("workforce/default")
    content["humanAnswers"] = [
        _answer(answer, identity, issuer) for answer, identity in zip(found.answers, found.identities, strict=True)
    ]
    content["humanLoopName"] = loop.name
    content["inputContent"] = json.loads(found.line)
    return to_json(content)


def _answer(answer: Answer, identity: WorkerIdentity, local_issuer: str) -> dict[str, Any]:
    return {
        "acceptanceTime": milliseconds(answer.accepted_at),
        "answerContent": answer.content,
        "submissionTime": milliseconds(answer.submitted_at),
        "timeSpentInSeconds": round(answer.seconds, 3),
        # A2I has the bare id, where labeling jobs name the kind of workforce and the region before it.
        "workerId": answer.worker_id.rpartition(".")[2],
        "workerMetadata": identity.metadata(local_issuer),
    }
