"""Champion against challenger, and the card that says what a model is good for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from trueground.models.registry import ModelRecord

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Comparison:
    """Two models on the same objects, so many of them. ``p_value`` is one-sided: the challenger is better."""

    champion_accuracy: float | None
    objects: int
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

    if champion_pred is None:
        return Comparison(None, 0, None, True, "the first model")
    if not len(y_true):
        return Comparison(None, 0, None, False, "there is no test object that both models answered")
    old, new = champion_pred == y_true, challenger_pred == y_true
    gained, lost = int(np.sum(new & ~old)), int(np.sum(old & ~new))
    p_value = float(binomtest(gained, gained + lost, alternative="greater").pvalue) if gained + lost else 1.0
    promote = p_value <= SIGNIFICANT
    reason = f"right where the current model is wrong: {gained}, the other way round: {lost}; p = {p_value:.3f}"
    return Comparison(float(np.mean(old)), len(y_true), p_value, promote, reason)


def model_card(record: ModelRecord, y_true: NDArray[Any], y_pred: NDArray[Any], *, human_share: float) -> str:
    """The card in Markdown: what the model learned from, how right it is, where it errs.

    Args:
        record: what is registered of the model.
        y_true, y_pred: classes of the test objects ``[objects]``, by people and by the model.
        human_share: the share of its training labels that people gave.
    """
    promoted = "Better than the current model" if record.better else "Not better than the current model"
    lines = [
        f"# Model of {record.project}",
        "",
        f"Made by {record.trainer}, trained on {record.trained_on} labels, {human_share:.0%} of them given by people.",
        "",
        "| learned from | label sets | objects | SHA-256 |",
        "|---|---|---|---|",
        *(f"| {data.kind} | `{data.uri}` | {data.objects} | `{data.sha256}` |" for data in record.data),
        "",
        "## How right it is",
        "",
        f"On {len(y_true)} test objects labeled by people, never trained on: **{record.accuracy:.1%}** right "
        f"(95 % interval {record.lower:.1%} to {record.upper:.1%}).",
        "",
        f"{promoted}: {record.reason}." if record.champion else f"{record.reason.capitalize()}.",
        "",
        "## By class",
        "",
        "| class | test objects | found | right of those named so |",
        "|---|---|---|---|",
        *_class_rows(sorted(set(y_true.tolist()) | set(y_pred.tolist())), y_true, y_pred),
        "",
        "## Limits",
        "",
        "It knows only the classes of the project and only objects like those it was trained on. The test objects were "
        "labeled by people where the machine was unsure or audited, so they are harder than the data as a whole.",
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
