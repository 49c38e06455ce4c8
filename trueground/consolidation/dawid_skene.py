"""Dawid-Skene with each worker's confusions shrunk toward what is known of that worker and of all workers."""

from __future__ import annotations

from typing import Self

import numpy as np

from trueground.consolidation.crowd import Crowd, Floats, softmax
from trueground.consolidation.majority_vote import MajorityVote


class DawidSkene:
    r"""A confusion matrix for each worker, by EM.

    .. math:: p(z_t = k) \propto \pi_k \prod_{w} \theta_{w k l_{tw}}

    :math:`\theta_{wkl}` is how often worker :math:`w` says :math:`l` where :math:`k` is true. It is estimated with
    ``strength`` pseudo-counts a row, spread as the worker's own one-coin accuracy :math:`q_w` says: :math:`q_w`
    on the diagonal, the rest evenly.
    A. P. Dawid, A. M. Skene, *Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm* (1979).

    Args:
        strength: pseudo-counts in each row; 0 gives the maximum likelihood of the paper.
        max_iter: EM iterations at most.
        tol: stop when no posterior moves further than this.
    """

    def __init__(self, strength: float = 8.0, max_iter: int = 30, tol: float = 1e-4) -> None:
        self.strength = strength
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, crowd: Crowd) -> Self:
        """Set ``posterior_`` [n_tasks, n_classes], ``worker_accuracy_`` [n_workers], ``n_iter_``."""
        k = crowd.n_classes
        diagonal = (np.arange(len(crowd.pair_labels)), crowd.pair_labels)
        self.posterior_: Floats = MajorityVote().fit(crowd).posterior_
        for iteration in range(1, self.max_iter + 1):
            self.n_iter_ = iteration
            counts = crowd.by_pair_transposed @ self.posterior_
            totals = crowd.pairs_of_worker @ counts
            right = np.bincount(crowd.pair_workers, counts[diagonal], minlength=crowd.n_workers)
            answered = totals.sum(axis=1)
            pooled = (right.sum() + 1) / (answered.sum() + k)
            self.worker_accuracy_: Floats = (right + 4 * pooled) / (answered + 4)
            accuracy = self.worker_accuracy_[crowd.pair_workers]
            prior = np.repeat(((1 - accuracy) / max(k - 1, 1))[:, None], k, axis=1)
            prior[diagonal] = accuracy
            theta = (counts + self.strength * prior + 1e-9) / (totals[crowd.pair_workers] + self.strength + 1e-9 * k)
            frequency = (self.posterior_.sum(axis=0) + 1) / (crowd.n_tasks + k)
            updated = softmax(np.log(frequency) + crowd.by_pair @ np.log(theta))
            moved = float(np.abs(updated - self.posterior_).max(initial=0.0))
            self.posterior_ = updated
            if moved < self.tol:
                break
        return self
