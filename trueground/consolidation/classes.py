"""Many answers to each task become one class with a confidence: the entry points of the package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from trueground.consolidation.crowd import Crowd, Floats, Integers
from trueground.consolidation.ensemble import worker_accuracy
from trueground.consolidation.methods import DEFAULT_METHOD, make_model
from trueground.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ClassConsolidation:
    """What the answers say.

    Attributes:
        posterior: probability of each class, [n_tasks, n_classes]; a task without an answer gets about the frequencies
            of the classes.
        worker_accuracy: estimated share of right answers of each worker, [n_workers], that of all workers for one
            without answers.
    """

    posterior: Floats
    worker_accuracy: Floats


def consolidate_classes(
    tasks: ArrayLike,
    workers: ArrayLike,
    labels: ArrayLike,
    *,
    n_tasks: int,
    n_workers: int,
    n_classes: int,
    method: str = DEFAULT_METHOD,
) -> ClassConsolidation:
    """Probability of each class for each task, and how reliable each worker is.

    Deterministic, and the same whatever the order of the answers and the numbering of tasks, workers and classes.

    Args:
        tasks, workers, labels: equally long integer arrays, one element an answer, counted from 0. Of two answers
            of one worker to one task the last one counts.
        n_tasks, n_workers, n_classes: how many there are, also those that no answer mentions.
        method: a name of :data:`~trueground.consolidation.methods.METHODS`.

    Raises:
        InputError: the arrays do not fit each other or the counts, or there is no such method.
    """
    model = make_model(method)
    crowd = Crowd.of(tasks, workers, labels, n_tasks, n_workers, n_classes)
    posterior = model.fit(crowd).posterior_
    return ClassConsolidation(posterior, worker_accuracy(crowd, posterior))


def consolidate_frame(answers: pd.DataFrame, *, method: str = DEFAULT_METHOD) -> pd.DataFrame:
    """One label for each task.

    Args:
        answers: columns ``task``, ``worker``, ``label`` of any hashable values; others are ignored. Of two answers
            of one worker to one task the last one counts.
        method: a name of :data:`~trueground.consolidation.methods.METHODS`.

    Returns:
        Columns ``task``, ``label``, ``confidence`` in [0, 1], in order of first appearance of the tasks. The same
        answers in another order give the same labels. Of equally probable labels, the first in the order of their
        text.

    Raises:
        InputError: a column is missing, or has an empty value, or there is no such method.
    """
    return consolidate_with_workers(answers, method=method)[0]


def consolidate_with_workers(
    answers: pd.DataFrame, *, method: str = DEFAULT_METHOD
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As :func:`consolidate_frame`, and a second table: ``worker``, ``answers``, ``accuracy``, worst worker first."""
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
    order: Integers = np.array(sorted(range(len(label_names)), key=lambda i: str(label_names[i])), dtype=np.int64)
    rank = np.argsort(order)
    result = consolidate_classes(
        tasks,
        workers,
        rank[labels],
        n_tasks=len(task_names),
        n_workers=len(worker_names),
        n_classes=len(label_names),
        method=method,
    )
    best = result.posterior.argmax(axis=1) if len(label_names) else np.zeros(0, dtype=np.int64)
    confidence = result.posterior[np.arange(len(best)), best]
    consolidated = pd.DataFrame({"task": task_names, "label": label_names[order[best]], "confidence": confidence})
    counts = answers.drop_duplicates(["task", "worker"]).groupby("worker", sort=False).size()
    per_worker = pd.DataFrame(
        {"worker": worker_names, "answers": counts.reindex(worker_names).to_numpy(), "accuracy": result.worker_accuracy}
    )
    return consolidated, per_worker.sort_values("accuracy", kind="stable", ignore_index=True)
