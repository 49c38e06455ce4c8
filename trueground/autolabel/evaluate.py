"""Champion against challenger, and the card that says what a model is good for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueground.quality.bounds import wilson_interval

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Comparison:
    """Two models on the same objects. Accuracies are shares; ``p_value`` is one-sided: the challenger is better."""

    champion_accuracy: float | None
    challenger_accuracy: float
    p_value: float | None
    promote: bool
    reason: str


def compare_models(
    y_true: NDArray[Any], champion_pred: NDArray[Any] | None, challenger_pred: NDArray[Any]
) -> Comparison:
    """Compare by the exact one-sided McNemar test (Psychometrika 1947) on the objects where just one model is right.

    The challenger is promoted if it is better with a p-value of at most 0.05, or if there is no champion.
    """
    from scipy.stats import binomtest

    challenger = float(np.mean(challenger_pred == y_true))
    if champion_pred is None:
        return Comparison(None, challenger, None, True, "the first model")
    old, new = champion_pred == y_true, challenger_pred == y_true
    gained, lost = int(np.sum(new & ~old)), int(np.sum(old & ~new))
    p_value = float(binomtest(gained, gained + lost, alternative="greater").pvalue) if gained + lost else 1.0
    promote = p_value <= SIGNIFICANT
    reason = f"right where the champion is wrong: {gained}, the other way round: {lost}; p = {p_value:.3f}"
    return Comparison(float(np.mean(old)), challenger, p_value, promote, reason)


def model_card(
    *,
    project: str,
    labels_uri: str,
    trained_on: int,
    human_share: float,
    y_true: NDArray[Any],
    y_pred: NDArray[Any],
    comparison: Comparison,
) -> str:
    """The card in Markdown: what the model learned from, how right it is, where it errs."""
    right = int(np.sum(y_true == y_pred))
    low, high = wilson_interval(right, len(y_true))
    lines = [
        f"# Model of {project}",
        "",
        f"Kernel ridge classifier, trained on {trained_on} labels, {human_share:.0%} of them given by people.",
        f"Labels: `{labels_uri}`",
        "",
        "## How right it is",
        "",
        f"On {len(y_true)} test objects labeled by people, never trained on: **{right / len(y_true):.1%}** right "
        f"(95 % interval {low:.1%} to {high:.1%}).",
        "",
        f"{'Promoted' if comparison.promote else 'Not promoted'}: {comparison.reason}.",
        "",
        "## By class",
        "",
        "| class | test objects | found | right of those named so |",
        "|---|---|---|---|",
        *_class_rows(sorted(set(y_true.tolist()) | set(y_pred.tolist())), y_true, y_pred),
        "",
        "## Limits",
        "",
        "It knows only the classes above and only objects like those it was trained on. The test objects were labeled "
        "by people where the machine was unsure or audited, so they are harder than the data as a whole.",
    ]
    return "\n".join(lines) + "\n"


def _class_rows(classes: Sequence[str], y_true: NDArray[Any], y_pred: NDArray[Any]) -> list[str]:
    rows = []
    for name in classes:
        are, named = y_true == name, y_pred == name
        hits = int(np.sum(are & named))
        recall = f"{hits / are.sum():.1%}" if are.any() else "–"
        precision = f"{hits / named.sum():.1%}" if named.any() else "–"
        rows.append(f"| {name} | {int(are.sum())} | {recall} | {precision} |")
    return rows
