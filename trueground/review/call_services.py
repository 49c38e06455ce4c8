"""Predictions of AWS's services: one call an object, each paid once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Literal

from botocore.exceptions import ClientError

from trueground.errors import InputError, UnavailableError
from trueground.manifests import object_key
from trueground.manifests.write import encoded
from trueground.review.loops import loop_name, loop_prefix
from trueground.review.own_conditions import find, number_at
from trueground.review.predict import AT_ONCE, objects_of, write_predictions
from trueground.review.project import ReviewRun
from trueground.review.sources import CalledSource, EndpointSource, RekognitionSource, TextractSource
from trueground.storage import bucket_and_key
from trueground.tasks.base import DataObject

CLIENTS: Mapping[str, str] = {
    "textract": "textract",
    "rekognition": "rekognition",
    "sagemaker-endpoint": "sagemaker-runtime",
}
"""The boto3 client of each kind of source."""
CALLERS = 8
"""Calls under way at the same time."""
OF_THE_OBJECT = (
    "BadDocumentException",
    "DocumentTooLargeException",
    "ImageTooLargeException",
    "InvalidImageFormatException",
    "InvalidS3ObjectException",
    "ModelError",
    "UnsupportedDocumentException",
)
"""Errors that say something of one object; others fail the task."""

Answer = dict[str, Any]
"""What becomes part of the prediction line: ``prediction``, and ``human-loop`` where one was started."""
Call = Callable[[DataObject, Mapping[str, Any]], Answer]


def predict_by_calls(
    run: ReviewRun, source: CalledSource, client: Any, *, flow_definition: str | None = None, callers: int = CALLERS
) -> int:
    """Call the service for each object, and write the prediction lines; returns how many.

    Each answer is kept in ``calls/`` of the run's folder when it comes, and never asked for again.

    Args:
        run: the review run.
        source: what is called, and on which objects.
        client: boto3's client of :data:`CLIENTS`.
        flow_definition: the ARN of a flow definition: Textract and Rekognition evaluate its conditions, and start human
            loops by themselves.
        callers: how many calls are under way at the same time.

    Raises:
        ClientError: the service refuses for another reason than the object.
    """
    prefix = loop_prefix(run.project.name, run.name)
    call = _call_of(run, source, client)

    def loop_config(key: str) -> dict[str, Any]:
        return {"HumanLoopConfig": {"HumanLoopName": loop_name(prefix, key), "FlowDefinitionArn": flow_definition}}

    def answered(line: DataObject) -> bytes:
        key = object_key(line)
        kept = run.uri("calls", f"{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.json")
        try:
            return run.storage.read_bytes(kept)
        except FileNotFoundError:
            pass
        media: dict[str, Any] = {name: line[name] for name in ("source-ref", "source") if name in line}
        found: dict[str, Any] = {"id": key, **media, "service": source.service}
        try:
            found |= call(line, {} if flow_definition is None else loop_config(key))
        except InputError as error:
            found["failure-reason"] = str(error)
        except ClientError as error:
            if error.response["Error"]["Code"] not in OF_THE_OBJECT:
                raise
            found["failure-reason"] = str(error)
        content = encoded(found)
        run.storage.write_bytes(kept, content)
        return content

    with ThreadPoolExecutor(callers) as pool:
        objects = objects_of(run, source, _media(source))
        return write_predictions(run, _side_by_side(pool, answered, objects))


def _side_by_side(
    pool: ThreadPoolExecutor, answered: Callable[[DataObject], bytes], objects: Iterator[DataObject]
) -> Iterator[bytes]:
    """The answers in the order of the objects, of which only some are in memory."""
    while some := list(islice(objects, AT_ONCE)):
        yield from pool.map(answered, some)


def _media(source: CalledSource) -> Literal["image", "text"]:
    return "text" if isinstance(source, EndpointSource) and source.content_type.startswith("text/") else "image"


def _call_of(run: ReviewRun, source: CalledSource, client: Any) -> Call:
    if isinstance(source, TextractSource):
        return lambda line, loop: _answer(
            client.analyze_document(Document=_image(run, line), FeatureTypes=["FORMS"], **loop)
        )
    if isinstance(source, RekognitionSource):
        return lambda line, loop: _answer(
            client.detect_moderation_labels(Image=_image(run, line), MinConfidence=source.min_confidence, **loop)
        )
    assert isinstance(source, EndpointSource)
    return lambda line, _loop: {"prediction": _invoke(run, source, client, line)}


def _answer(response: dict[str, Any]) -> Answer:
    response.pop("ResponseMetadata", None)
    activation = response.pop("HumanLoopActivationOutput", None)
    answer = {"prediction": response}
    if activation is not None:
        answer["human-loop"] = activation
    return answer


def _image(run: ReviewRun, line: DataObject) -> dict[str, Any]:
    """Where it is on S3; the image itself, if it is not there."""
    uri = _source_ref(line)
    if (found := bucket_and_key(uri)) is not None:
        return {"S3Object": {"Bucket": found[0], "Name": found[1]}}
    return {"Bytes": _read(run, uri)}


def _invoke(run: ReviewRun, source: EndpointSource, client: Any, line: DataObject) -> dict[str, Any]:
    if source.content_type == "application/json":
        body = encoded(line)
    elif _media(source) == "text":
        body = str(line["source"]).encode()
    else:
        body = _read(run, _source_ref(line))
    response = client.invoke_endpoint(
        EndpointName=source.endpoint, ContentType=source.content_type, Accept="application/json", Body=body
    )
    try:
        said = json.loads(response["Body"].read())
    except ValueError as error:
        raise InputError(f"the endpoint's answer is not JSON: {error}") from None
    return _prediction(find(source.prediction, said, "source.prediction"), run.project.labels)


def _prediction(found: Any, labels: tuple[str, ...]) -> dict[str, Any]:
    """What an endpoint says, as a prediction: the likeliest label is the label where it names none."""
    if isinstance(found, str):
        return {"label": found}
    if isinstance(found, list):
        if len(found) != len(labels):
            raise InputError(f"the endpoint gives {len(found)} probabilities, the project has {len(labels)} labels")
        found = {"probabilities": dict(zip(labels, found, strict=True))}
    if not isinstance(found, dict):
        raise InputError(f"source.prediction finds no prediction in the endpoint's answer, but {found!r}")
    prediction: dict[str, Any] = found
    shares = prediction.get("probabilities")
    if isinstance(shares, dict) and shares and "label" not in prediction:
        numbers = {name: number_at(share, f"prediction.probabilities.{name}") for name, share in shares.items()}
        best = max(numbers, key=numbers.__getitem__)
        prediction = {"label": best, "confidence": numbers[best], **prediction}
    return prediction


def _source_ref(line: DataObject) -> str:
    uri = line.get("source-ref")
    if not isinstance(uri, str):
        raise InputError("an image is needed", field="source-ref")
    return uri


def _read(run: ReviewRun, uri: str) -> bytes:
    try:
        return run.storage.read_bytes(uri)
    except (InputError, UnavailableError):
        raise
    except OSError as error:
        raise InputError(f"cannot be read: {error}", file=uri) from None
