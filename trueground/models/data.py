"""What one model is trained and tested on, as files in the run's folder, which every trainer reads.

::

    retrain/train.manifest     {"id", "source" or "source-ref", "label", "weight", "human"}
    retrain/test.manifest      {"id", "source" or "source-ref"}
    retrain/test-labels.jsonl  what people said of the test objects; no trainer is told where it is
    retrain/data.json          the label sets that these come from, with their digests
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from trueground.errors import InputError
from trueground.manifests import object_key, read_manifest
from trueground.models.registry import DataVersion
from trueground.run import Run
from trueground.storage import Storage
from trueground.strict_json import read_lines
from trueground.tasks.base import DataObject, Label

SMALLEST_SPLIT = 10
"""Objects that training and test must each have."""
CHUNK = 1 << 20


def in_test_split(key: str, share: float) -> bool:
    """Whether an object is a test object: by its name alone, so it is the same for every model at any time."""
    number = int.from_bytes(hashlib.sha256(f"test split {key}".encode()).digest()[:8], "big")
    return number < share * 2**64


def write_data(run: Run, sets: Iterable[Mapping[str, str]]) -> None:
    """Split the labels of some label sets into training and test objects.

    Test objects are those of the split that people labeled; nothing in the split is ever trained on. A label weighs as
    much as it is sure. What a later set says of an object replaces what an earlier one said.

    Args:
        run: the retraining run; its folder takes the files.
        sets: label sets as :meth:`~trueground.models.sources.Sources.sets` gives them.

    Raises:
        InputError: there is too little to train or to test on; or a label set is gone or no manifest.
    """
    from trueground.autolabel.model import weight_of

    labels: dict[str, tuple[DataObject, Label]] = {}
    versions: list[DataVersion] = []
    for one in sets:
        found = 0
        for line in read_manifest(run.storage, one["uri"]):
            label = run.task_type.read_label(line, one["attribute"], run.categories)
            if label is not None:
                found += 1
                labels[object_key(line)] = (line, label)
        versions.append(
            DataVersion.model_validate({**one, "sha256": sha256_of(run.storage, one["uri"]), "objects": found})
        )
    source = run.task_type.source_key
    train, test, answers = [], [], []
    for key, (line, label) in labels.items():
        shown = {"id": key, source: line[source]}
        if not in_test_split(key, run.project.retrain.test_share):
            train.append({**shown, "label": label.value, "weight": weight_of(label), "human": label.human})
        elif label.human:
            test.append(shown)
            answers.append(Label(key, label.value, label.confidence))
    if min(len(train), len(test)) < SMALLEST_SPLIT or len({line["label"] for line in train}) < 2:
        raise InputError(
            f"{len(train)} labels to train on and {len(test)} human labels to test on are too few",
            file=", ".join(version.uri for version in versions),
            hint=f"At least {SMALLEST_SPLIT} of each and two classes are needed.",
        )
    run.write_lines(train, "retrain", "train.manifest")
    run.write_lines(test, "retrain", "test.manifest")
    run.write_labels(answers, "retrain", "test-labels.jsonl")
    run.write_json([version.model_dump() for version in versions], "retrain", "data.json")


def read_versions(run: Run) -> tuple[DataVersion, ...]:
    """The label sets that the run's data come from."""
    return tuple(DataVersion.model_validate(one) for one in run.read_json("retrain", "data.json"))


def read_predictions(storage: Storage, uri: str, *, asked: Iterable[str], classes: Iterable[str]) -> dict[str, str]:
    """What a model said of its test objects: class by object.

    Args:
        storage: how to reach the file.
        uri: JSON Lines of ``{"id", "label"}``.
        asked: the ids of the test objects.
        classes: what it may have said.

    Raises:
        InputError: the file is missing, a line is no such object, or an object has no prediction or two; with the line.
    """
    known, found = set(classes), dict[str, str]()
    try:
        lines = list(read_lines(io.BytesIO(storage.read_bytes(uri))))
    except FileNotFoundError:
        raise InputError("the trainer left no predictions of the test objects", file=uri) from None
    for number, raw in lines:
        try:
            line: Any = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise InputError(f"not JSON: {error}", file=uri, line=number) from None
        for field in ("id", "label"):
            if not isinstance(line, dict) or not isinstance(line.get(field), str):
                raise InputError("a text is needed", file=uri, line=number, field=field)
        if line["label"] not in known:
            raise InputError(f"{line['label']!r} is no class of the project", file=uri, line=number, field="label")
        if line["id"] in found:
            raise InputError(f"a second prediction of {line['id']!r}", file=uri, line=number, field="id")
        found[line["id"]] = line["label"]
    asked = list(asked)
    missing = [key for key in asked if key not in found]
    if missing:
        raise InputError(f"{len(missing)} test objects have no prediction, the first is {missing[0]!r}", file=uri)
    return {key: found[key] for key in asked}


def sha256_of(storage: Storage, uri: str) -> str:
    """The SHA-256 of a file, in hexadecimal, read a piece at a time."""
    digest = hashlib.sha256()
    with storage.open(uri) as handle:
        while chunk := handle.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
