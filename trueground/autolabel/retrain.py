"""Retraining: a challenger from the newest labels meets the champion on a test split that never changes."""

from __future__ import annotations

import hashlib
from typing import Any

from trueground import storage as paths
from trueground.autolabel.rounds import compute_features
from trueground.errors import InputError
from trueground.manifests import object_key, read_manifest
from trueground.run import Run

SMALLEST_SPLIT = 10
"""Objects that training and test must each have."""


def in_test_split(key: str, share: float) -> bool:
    """Whether an object is a test object: by its name alone, so it is the same for every model at any time."""
    number = int.from_bytes(hashlib.sha256(f"test split {key}".encode()).digest()[:8], "big")
    return number < share * 2**64


def retrain(run: Run, labels_uri: str) -> dict[str, Any]:
    """Train a challenger on a label set, compare it with the champion, promote it if it is better.

    The test split is made of human labels only, and nothing in it is ever trained on. The first model is promoted
    without a comparison.

    Args:
        run: a run of the project; its folder takes the challenger.
        labels_uri: the published manifest.

    Returns:
        Counts, both accuracies, whether the challenger was promoted and why, and the URIs of model and card.

    Raises:
        InputError: the label set is too small to train and test on.
    """
    import numpy as np

    from trueground.autolabel.evaluate import compare_models, model_card
    from trueground.autolabel.model import LabelModel, weight_of

    attribute, share = run.project.label_attribute, run.project.retrain.test_share
    lines, labels = [], []
    for line in read_manifest(run.storage, labels_uri):
        label = run.task_type.read_label(line, attribute, run.categories)
        if label is not None:
            lines.append(line)
            labels.append(label)
    in_test = np.array([in_test_split(object_key(line), share) for line in lines], dtype=bool)
    human = np.array([label.human for label in labels], dtype=bool)
    train, test = np.flatnonzero(~in_test), np.flatnonzero(in_test & human)
    values = np.array([label.value for label in labels])
    if min(len(train), len(test)) < SMALLEST_SPLIT or len(set(values[train])) < 2:
        raise InputError(
            f"{len(train)} labels to train on and {len(test)} human labels to test on are too few",
            file=labels_uri,
            hint=f"At least {SMALLEST_SPLIT} of each and two classes are needed.",
        )
    features = compute_features(run, lines)
    weights = np.array([weight_of(label) for label in labels])
    challenger = LabelModel().fit(features[train], values[train], sample_weight=weights[train])
    models = paths.join(run.project.output, "models")
    champion_uri = paths.join(models, "champion.skops")
    champion = None
    if run.storage.exists(champion_uri):
        champion = LabelModel.from_bytes(run.storage.read_bytes(champion_uri))
        if champion.width != features.shape[1]:
            # It was trained with another version of the features, and can no longer read an object.
            champion = None
    comparison = compare_models(
        values[test],
        None if champion is None else champion.predict(features[test]),
        challenger.predict(features[test]),
    )
    card = model_card(
        project=run.project.name,
        labels_uri=labels_uri,
        trained_on=len(train),
        human_share=float(human[train].mean()),
        y_true=values[test],
        y_pred=challenger.predict(features[test]),
        comparison=comparison,
    )
    own = paths.join(models, paths.name(run.folder))
    content = challenger.to_bytes()
    run.storage.write_bytes(paths.join(own, "model.skops"), content)
    run.storage.write_text(paths.join(own, "card.md"), card)
    if comparison.promote:
        run.storage.write_text(paths.join(models, "champion.md"), card)
        run.storage.write_bytes(champion_uri, content)
    return {
        "trained_on": len(train),
        "tested_on": len(test),
        "challenger_accuracy": comparison.challenger_accuracy,
        "champion_accuracy": comparison.champion_accuracy,
        "promoted": comparison.promote,
        "reason": comparison.reason,
        "model": paths.join(own, "model.skops"),
        "card": paths.join(own, "card.md"),
    }
