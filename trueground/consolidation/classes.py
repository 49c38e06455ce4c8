"""Many answers to each task become one class with a confidence: the entry points of the package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from trueground.consolidation.crowd import Crowd, Floats
from trueground.consolidation.dawid_skene import DawidSkene
from trueground.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ClassConsolidation:
    """What the answers say.

    Attributes:
        posterior: probability of each class, [n_tasks, n_classes]; tasks without an answer have the class frequencies.
        worker_accuracy: estimated share of right answers of each worker, [n_workers].
    """

    posterior: Floats
    worker_accuracy: Floats


def consolidate_classes(
    tasks: ArrayLike, workers: ArrayLike, labels: ArrayLike, *, n_tasks: int, n_workers: int, n_classes: int
) -> ClassConsolidation:
    """Probability of each class for each task, and how reliable each worker is.

    Args:
        tasks, workers, labels: equally long integer arrays, one element an answer, counted from 0. Of two answers
            of one worker to one task the last one counts.
        n_tasks, n_workers, n_classes: how many there are, also those that no answer mentions.

    Raises:
        InputError: the arrays do not fit each other or the counts.
    """
    crowd = Crowd.of(tasks, workers, labels, n_tasks, n_workers, n_classes)
    model = DawidSkene().fit(crowd)
    return ClassConsolidation(model.posterior_, model.worker_accuracy_)


def consolidate_frame(answers: pd.DataFrame) -> pd.DataFrame:
    """One label for each task.

    Args:
        answers: columns ``task``, ``worker``, ``label`` of any hashable values; others are ignored. Of two answers
            of one worker to one task the last one counts.

    Returns:
        Columns ``task``, ``label``, ``confidence`` in [0, 1], in order of first appearance of the tasks. The same
        answers in another order give the same labels.

    Raises:
        InputError: a column is missing, or has an empty value.
    """
    import numpy as np
    import pandas as pd

    for name in ("task", "worker", "label"):
        if name not in answers.columns:
            raise InputError("the column is missing", field=name)
        if answers[name].isna().any():
            raise InputError("the column has empty values", field=name)
    tasks, task_names = pd.factorize(answers["task"])
    workers, worker_names = pd.factorize(answers["worker"])
    labels, label_names = pd.factorize(answers["label"])
    # Classes in the order of their text, so that the order of the answers cannot decide a tie.
    order = np.asarray(sorted(range(len(label_names)), key=lambda i: str(label_names[i])), dtype=np.int64)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    result = consolidate_classes(
        tasks,
        workers,
        rank[labels],
        n_tasks=len(task_names),
        n_workers=len(worker_names),
        n_classes=len(label_names),
    )
    best = result.posterior.argmax(axis=1) if len(task_names) else np.zeros(0, dtype=np.int64)
    confidence = result.posterior[np.arange(len(best)), best]
    return pd.DataFrame({"task": task_names, "label": label_names[order[best]], "confidence": confidence})
