"""The answers of a crowd as typed sparse arrays: what every algorithm of this package works on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from trueground.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Crowd:
    """Answers ``(tasks[i], workers[i], labels[i])``, at most one for each task and worker, sorted by both.

    Make one with :meth:`of`. Memory of all members together is O(answers + tasks + workers).
    """

    tasks: Integers
    workers: Integers
    labels: Integers
    n_tasks: int
    n_workers: int
    n_classes: int

    @classmethod
    def of(
        cls, tasks: ArrayLike, workers: ArrayLike, labels: ArrayLike, n_tasks: int, n_workers: int, n_classes: int
    ) -> Crowd:
        """Check the answers and put them in order. Of two answers of one worker to one task the last one counts.

        Raises:
            InputError: the arrays differ in length, are not integers, or hold an index out of range.
        """
        columns = {
            "tasks": _indices(tasks, "tasks", n_tasks),
            "workers": _indices(workers, "workers", n_workers),
            "labels": _indices(labels, "labels", n_classes),
        }
        if len({len(column) for column in columns.values()}) > 1:
            lengths = ", ".join(f"{len(column)} {name}" for name, column in columns.items())
            raise InputError(f"tasks, workers and labels must be equally long, there are {lengths}")
        key = columns["tasks"] * n_workers + columns["workers"]
        order = np.argsort(key, kind="stable")
        key = key[order]
        # The stable sort keeps the order of arrival within a key, so the last of a run is the last answer.
        last = np.append(key[1:] != key[:-1], True)[: len(key)]
        order = order[last]
        task, worker, label = (column[order] for column in columns.values())
        return cls(task, worker, label, n_tasks, n_workers, n_classes)

    def __len__(self) -> int:
        return len(self.tasks)

    def subset(self, keep: NDArray[np.bool_]) -> Crowd:
        """The same crowd with only some of its answers."""
        return Crowd(
            self.tasks[keep], self.workers[keep], self.labels[keep], self.n_tasks, self.n_workers, self.n_classes
        )

    @cached_property
    def votes(self) -> Floats:
        """How many workers gave each label, [n_tasks, n_classes]."""
        cells = np.bincount(self.tasks * self.n_classes + self.labels, minlength=self.n_tasks * self.n_classes)
        return cells.astype(np.float64).reshape(self.n_tasks, self.n_classes)

    @cached_property
    def answers_of_task(self) -> Integers:
        """How many answers each task has, [n_tasks]."""
        return np.bincount(self.tasks, minlength=self.n_tasks)

    @cached_property
    def _pairs(self) -> tuple[Integers, Integers]:
        return np.unique(self.workers * self.n_classes + self.labels, return_inverse=True)

    @cached_property
    def pair_workers(self) -> Integers:
        """The worker of each distinct (worker, label) pair, [n_pairs]. Only pairs that occur are ever stored."""
        return self._pairs[0] // self.n_classes

    @cached_property
    def pair_labels(self) -> Integers:
        """The label of each distinct (worker, label) pair, [n_pairs]."""
        return self._pairs[0] % self.n_classes

    @property
    def pair_of_answer(self) -> Integers:
        """Which (worker, label) pair each answer is, [n_answers]."""
        return self._pairs[1]

    @cached_property
    def by_pair(self) -> sparse.csr_matrix:
        """Which pairs answered which task: sparse [n_tasks, n_pairs] of ones."""
        indptr = np.concatenate([[0], np.cumsum(self.answers_of_task)])
        shape = (self.n_tasks, len(self.pair_workers))
        return sparse.csr_matrix(
            (np.ones(len(self)), self.pair_of_answer.astype(np.int32), indptr.astype(np.int32)), shape=shape
        )

    @cached_property
    def by_pair_transposed(self) -> sparse.csr_matrix:
        """:attr:`by_pair` with pairs as rows, kept because every iteration needs both."""
        return self.by_pair.T.tocsr()

    @cached_property
    def pairs_of_worker(self) -> sparse.csr_matrix:
        """Sums over the pairs of a worker: sparse [n_workers, n_pairs] of ones."""
        indptr = np.searchsorted(self.pair_workers, np.arange(self.n_workers + 1))
        n_pairs = len(self.pair_workers)
        return sparse.csr_matrix((np.ones(n_pairs), np.arange(n_pairs), indptr), shape=(self.n_workers, n_pairs))

    @cached_property
    def pairs_of_label(self) -> sparse.csr_matrix:
        """Sums over the pairs of a label: sparse [n_classes, n_pairs] of ones."""
        n_pairs = len(self.pair_labels)
        place = (self.pair_labels, np.arange(n_pairs))
        return sparse.csr_matrix((np.ones(n_pairs), place), shape=(self.n_classes, n_pairs))

    @property
    def pair_diagonal(self) -> tuple[Integers, Integers]:
        """Where the label of a pair is the true class, as an index into [n_pairs, n_classes]."""
        return np.arange(len(self.pair_labels)), self.pair_labels


class Model(Protocol):
    """What every algorithm here is: made with settings, then fitted."""

    posterior_: Floats

    def fit(self, crowd: Crowd) -> Self:
        """Set ``posterior_``, the probability of each class for each task, [n_tasks, n_classes]."""


def softmax(scores: Floats) -> Floats:
    """Rows of log weights as distributions, [n, n_classes]."""
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _indices(values: ArrayLike, name: str, bound: int) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise InputError(f"one-dimensional indices are needed, this has {array.ndim} dimensions", field=name)
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"integer indices are needed, these are {array.dtype}", field=name)
    if array.min() < 0 or array.max() >= bound:
        raise InputError(f"indices must be from 0 to {bound - 1}, found {array.min()} to {array.max()}", field=name)
    return array.astype(np.int64)
