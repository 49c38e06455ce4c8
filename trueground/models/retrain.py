"""Retraining: a challenger from the newest labels meets the current model on a test split that never changes.

:func:`prepare`, then a trainer, then :func:`register`, then :func:`promote`; each is safe to repeat.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from trueground import storage as paths
from trueground.contracts import ModelExtra
from trueground.errors import InputError
from trueground.models.data import read_predictions, read_versions, write_data
from trueground.models.registry import ModelRecord, Registry, Switch, load_model
from trueground.models.sources import read_sources
from trueground.run import Run, RunFolder
from trueground.strict_json import read_lines


def registry_of(run: RunFolder) -> Registry:
    """The registry of the run's project."""
    return Registry(run.storage, run.project.output)


def model_name(run: RunFolder) -> str:
    """The name of the run's model: that of the run's folder."""
    return paths.name(run.folder)


def model_folder(run: RunFolder) -> str:
    """The folder of the run's model."""
    return registry_of(run).uri(model_name(run))


def prepare(run: Run) -> None:
    """Write what the challenger is trained and tested on. Raises :class:`InputError` where that is too little."""
    write_data(run, read_sources(run).sets())


def register(run: Run, model_uri: str, predictions_uri: str) -> ModelRecord:
    """Evaluate a trained model on the test split, compare it with the current one, register it with its card.

    Args:
        run: the run, after :func:`prepare` and training.
        model_uri: the model file.
        predictions_uri: what the model said of the test objects.

    Raises:
        InputError: the predictions are not those of the test objects.
    """
    import numpy as np

    from trueground.models.evaluate import compare_models, model_card
    from trueground.quality.bounds import wilson_interval

    registry, folder = registry_of(run), model_folder(run)
    train = list(run.read_lines("retrain", "train.manifest"))
    truth = {key: label.value for key, label in run.read_labels("retrain", "test-labels.jsonl").items()}
    said = read_predictions(run.storage, predictions_uri, asked=truth, classes=run.categories)
    y_true, y_pred = np.array(list(truth.values())), np.array(list(said.values()))
    right = int(np.sum(y_true == y_pred))
    lower, upper = wilson_interval(right, len(truth))
    champion, problem = registry.current(), None
    known: Mapping[str, str] | None = None
    if champion is not None:
        try:
            known = _champion_said(run, champion)
        except InputError as error:
            # Nobody could use it any more, so there is nothing to defend.
            problem = f"the current model cannot be used: {error}"
    both = [key for key in truth if known is not None and key in known]
    comparison = compare_models(
        np.array([truth[key] for key in both]),
        None if known is None else np.array([known[key] for key in both]),
        np.array([said[key] for key in both]),
    )
    record = ModelRecord(
        name=model_name(run),
        project=run.project.name,
        run=run.name,
        trainer=run.project.retrain.trainer.title,
        created=datetime.now(UTC).isoformat(),
        model=model_uri,
        sha256=hashlib.sha256(run.storage.read_bytes(model_uri)).hexdigest(),
        card=paths.join(folder, "card.md"),
        predictions=predictions_uri,
        classes=tuple(run.categories),
        data=read_versions(run),
        trained_on=len(train),
        tested_on=len(truth),
        accuracy=right / len(truth),
        lower=lower,
        upper=upper,
        champion=None if champion is None else champion.name,
        champion_accuracy=comparison.champion_accuracy,
        compared_on=comparison.objects,
        p_value=comparison.p_value,
        better=comparison.promote,
        reason=problem or comparison.reason,
    )
    human_share = float(np.mean([line["human"] for line in train]))
    run.storage.write_text(record.card, model_card(record, y_true, y_pred, human_share=human_share))
    registry.register(record)
    return record


def promote(run: RunFolder, *, reason: str | None = None) -> tuple[ModelRecord, Switch]:
    """Make the run's model the current one. ``reason``: by default that of the comparison."""
    registry = registry_of(run)
    record = registry.record(model_name(run))
    return record, registry.promote(record.name, by=run.name, reason=reason or record.reason)


def model_extra(run: RunFolder, record: ModelRecord, switch: Switch) -> dict[str, Any]:
    """What the event of the model asset says."""
    facts = {
        **record.model_dump(include={"name", "model", "card", "trainer", "accuracy", "lower", "upper", "tested_on"}),
        "project": run.project.name,
        "run": run.name,
        "record": registry_of(run).uri(record.name, "record.json"),
        "labels": [data.uri for data in record.data],
        "previous": switch.previous,
        "reason": switch.reason,
    }
    return ModelExtra(**facts).as_extra()


def _champion_said(run: Run, champion: ModelRecord) -> dict[str, str]:
    """What the current model says of the test objects: all of them, or those it was asked when it was trained."""
    asked: Sequence[dict[str, Any]] = list(run.read_lines("retrain", "test.manifest"))
    said: dict[str, str] = {}
    if champion.predictions is not None:
        with run.storage.open(champion.predictions) as handle:
            lines = [json.loads(raw) for _, raw in read_lines(handle)]
        said = {line["id"]: line["label"] for line in lines}
    if champion.trainer != "sklearn":
        return said
    from trueground.autolabel.features import object_features

    # One at least: a model that cannot read objects any more is found out.
    new = [line for line in asked if line["id"] not in said] or asked[:1]
    model = load_model(run.storage, champion)
    labels = model.predict(object_features(run.task_type, run.storage, new))
    return said | {line["id"]: str(label) for line, label in zip(new, labels, strict=True)}
