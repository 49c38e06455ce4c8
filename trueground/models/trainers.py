"""Who trains: Trueground's own model, or a function of one's own.

A trainer is a callable that takes a :class:`TrainingTask`, leaves its files in ``task.output``, and returns the name of
the model file. It is registered as an entry point of the group ``trueground.trainers``::

    [project.entry-points."trueground.trainers"]
    birds = "birds.training:train"

or, while it is being written, in the environment: ``TRUEGROUND_TRAINERS=birds=birds.training:train``. A project names
it: ``retrain: {trainer: {kind: python, name: birds}}``. Beside the model it leaves ``predictions.jsonl``, a line
``{"id": …, "label": …}`` for each object of ``task.test``: so any kind of model is compared with any other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from trueground import storage as paths
from trueground.autolabel.features import object_features
from trueground.entry_points import load_registered
from trueground.errors import InputError
from trueground.run import Run
from trueground.storage import Storage
from trueground.strict_json import read_lines
from trueground.tasks.base import TaskType

GROUP = "trueground.trainers"
VARIABLE = "TRUEGROUND_TRAINERS"
MODEL_FILE = "model.skops"
PREDICTIONS = "predictions.jsonl"


@dataclass(frozen=True)
class TrainingTask:
    """What a trainer is given: URIs of the training and the test objects, and of the folder for what it makes."""

    train: str
    test: str
    output: str
    classes: tuple[str, ...]
    task_type: TaskType
    storage: Storage

    def read(self, uri: str) -> list[dict[str, Any]]:
        """The lines of one of the two manifests; see :mod:`trueground.models.data`."""
        with self.storage.open(uri) as handle:
            return [json.loads(raw) for _, raw in read_lines(handle)]


def train_in_process(run: Run, output: str) -> str:
    """Train with the project's trainer, here and now.

    Returns:
        The URI of the model file.

    Raises:
        InputError: there is no such trainer, or it failed or left no model.
    """
    trainer = run.project.retrain.trainer
    task = TrainingTask(
        run.uri("retrain", "train.manifest"),
        run.uri("retrain", "test.manifest"),
        output,
        tuple(run.categories),
        run.task_type,
        run.storage,
    )
    if trainer.kind != "python":
        return paths.join(output, train_sklearn(task))
    name = load_registered(trainer.name, GROUP, VARIABLE, what="trainer")(task)
    if not isinstance(name, str) or not run.storage.exists(paths.join(output, name)):
        raise InputError(f"it returned {name!r}, which is no file in {output}", field=f"trainer {trainer.name}")
    return paths.join(output, name)


def train_sklearn(task: TrainingTask) -> str:
    """Train Trueground's own classifier, each label weighing as much as it is sure."""
    from trueground.autolabel.model import LabelModel

    train, test = task.read(task.train), task.read(task.test)
    model = LabelModel().fit(
        object_features(task.task_type, task.storage, train),
        [line["label"] for line in train],
        sample_weight=[line["weight"] for line in train],
    )
    said = model.predict(object_features(task.task_type, task.storage, test))
    lines = [json.dumps({"id": line["id"], "label": str(label)}) for line, label in zip(test, said, strict=True)]
    task.storage.write_text(paths.join(task.output, PREDICTIONS), "".join(f"{line}\n" for line in lines))
    task.storage.write_bytes(paths.join(task.output, MODEL_FILE), model.to_bytes())
    return MODEL_FILE
