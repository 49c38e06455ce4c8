"""Make the predictions of a review run, or take those that somebody made: its ``predictions.jsonl``.

An object that cannot be predicted on gets a line with a ``failure-reason``; choosing sets it aside.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from trueground.errors import InputError, UnavailableError
from trueground.manifests import build_manifest, object_key, read_manifest
from trueground.manifests.write import encoded
from trueground.models import current_model, load_model
from trueground.project import Data, Project
from trueground.review.predictions import read_lines
from trueground.review.project import ReviewRun
from trueground.review.sources import DocumentsSource, FileSource, ModelSource
from trueground.storage import Storage
from trueground.tasks import task_type
from trueground.tasks.base import DataObject

if TYPE_CHECKING:
    from trueground.autolabel.model import LabelModel

log = logging.getLogger(__name__)

AT_ONCE = 256
"""Objects whose features are in memory at a time."""
_OWN_COLUMNS = ("id", "source", "source-ref", "service", "prediction")


def take_predictions(run: ReviewRun, source: FileSource) -> int:
    """Take predictions from JSON Lines, or from Parquet; returns how many.

    In Parquet the columns are the fields of a prediction line; those that a line does not have (``label``,
    ``confidence``, ``probabilities``, whatever conditions look at) are the prediction's, unless there is a column
    ``prediction``. ``prediction`` and ``probabilities`` may be structs, maps, or JSON as text.

    Raises:
        InputError: there is no such file, or it is no Parquet.
    """
    if not source.predictions.endswith(".parquet"):
        raw = (line for _, line in read_lines(run.storage, source.predictions))
        return write_predictions(run, (line.rstrip(b"\r\n") for line in raw))
    return write_predictions(run, map(encoded, _rows(run.storage, source)))


def predict_with_model(run: ReviewRun, source: ModelSource, labeling: Project, other: Project | None = None) -> int:
    """Predict with the current model of a labeling project; returns on how many objects.

    Args:
        run: the review run.
        source: which objects.
        labeling: the labeling project.
        other: another one whose model predicts too, as the line's ``other``.

    Raises:
        InputError: there is no model yet, or it knows classes that reviewers could not choose.
    """
    model = _current_model(run.storage, labeling)
    unknown = set(model.classes_.tolist()) - set(run.project.labels)
    if unknown:
        raise InputError(
            f"the model of {labeling.name} knows {', '.join(sorted(unknown))}, which reviewers cannot choose",
            field="labels",
        )
    second = None if other is None else _current_model(run.storage, other)
    return write_predictions(run, map(encoded, _predicted(run, source, labeling, model, second)))


def read_documents(run: ReviewRun, source: DocumentsSource) -> int:
    """Read documents on this machine; returns how many there are.

    ``read.jsonl`` is what the reader gave; the predictions are that, or what the project's model of fields makes of it.
    """
    from trueground.documents import read_document
    from trueground.review.learned_fields import model_of

    def read(line: DataObject) -> dict[str, Any]:
        found = {"id": object_key(line), "source-ref": line.get("source-ref"), "service": source.service}
        try:
            return found | {"prediction": read_document(run.storage.read_bytes(line["source-ref"]))}
        except UnavailableError:
            raise  # nothing is wrong with the document
        except (InputError, OSError, KeyError) as error:
            return found | {"failure-reason": str(error)}

    model = model_of(run) if source.learn else None
    if not run.storage.exists(run.uri("read.jsonl")):
        run.write_lines(map(read, objects_of(run, source, "image")), "read.jsonl")
    lines = run.read_lines("read.jsonl")
    if model is not None:
        mend = model.apply
        lines = ({**line, "prediction": mend(line["prediction"])} if "prediction" in line else line for line in lines)
    return write_predictions(run, map(encoded, lines))


def objects_of(run: ReviewRun, data: Data, media: Literal["image", "text"]) -> Iterator[DataObject]:
    """The objects to predict on: of a manifest, or all below a prefix, as they are when the run begins."""
    manifest = data.manifest
    if data.prefix is not None:
        manifest = run.uri("input.manifest")
        if not run.storage.exists(manifest):
            build_manifest(
                run.storage,
                data.prefix,
                manifest,
                media=media,
                column=data.column,
                note=log.info,
            )
    assert manifest is not None
    yield from read_manifest(run.storage, manifest)


def _current_model(storage: Storage, labeling: Project) -> LabelModel:
    record = current_model(storage, labeling.output)
    if record is None:
        hint = "It gets one when its labels are published."
        raise InputError(f"{labeling.name} has no model yet", file=labeling.output, field="source.project", hint=hint)
    return load_model(storage, record)


def _predicted(
    run: ReviewRun, source: ModelSource, labeling: Project, model: LabelModel, second: LabelModel | None
) -> Iterator[dict[str, Any]]:
    from trueground.autolabel.features import object_features
    from trueground.review.novelty import Novelty

    kind, novelty = task_type(labeling.task.type), Novelty(model)
    objects = objects_of(run, source, kind.media)
    key = kind.source_key
    while some := list(islice(objects, AT_ONCE)):
        rows = object_features(kind, run.storage, some)
        others = [{}] * len(some) if second is None else [{"other": found} for found in _said(second, rows)]
        for line, found, new, beside in zip(some, _said(model, rows), novelty.of(rows), others, strict=True):
            own = {"id": object_key(line), key: line[key], "service": source.service}
            yield {**own, "prediction": found, "novelty": float(new), **beside}


def _said(model: LabelModel, rows: Any) -> list[dict[str, Any]]:
    """What a model says of each row."""
    classes = model.classes_.tolist()
    return [
        {
            "label": classes[int(shares.argmax())],
            "confidence": float(shares.max()),
            "probabilities": dict(zip(classes, map(float, shares), strict=True)),
        }
        for shares in model.predict_proba(rows)
    ]


def _rows(storage: Storage, source: FileSource) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        handle = storage.open(source.predictions)
    except FileNotFoundError:
        raise InputError("there is no such file of predictions", file=source.predictions) from None
    with handle:
        try:
            for batch in pq.ParquetFile(handle).iter_batches(AT_ONCE):
                for row in batch.to_pylist(maps_as_pydicts="strict"):
                    yield _line_of(row, source)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"this is no Parquet file: {error}", file=source.predictions) from None


def _line_of(row: dict[str, Any], source: FileSource) -> dict[str, Any]:
    # Dates and decimals become text.
    given = {name: value for name, value in json.loads(json.dumps(row, default=str)).items() if value is not None}
    line = {"service": source.service, **{name: given[name] for name in _OWN_COLUMNS if name in given}}
    if "prediction" not in line:
        line["prediction"] = {name: _plain(value) for name, value in given.items() if name not in _OWN_COLUMNS}
    line["prediction"] = _plain(line["prediction"])
    return line


def _plain(value: Any) -> Any:
    """An object that was kept as text."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def write_predictions(run: ReviewRun, lines: Iterable[bytes]) -> int:
    """Write a run's prediction lines, as they come; returns how many."""
    count = 0
    with run.storage.writer(run.uri("predictions.jsonl")) as handle:
        for line in lines:
            handle.write(line + b"\n")
            count += 1
    return count
