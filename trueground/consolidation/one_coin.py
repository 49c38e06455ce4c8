"""One accuracy for each worker, the same for every class."""

from __future__ import annotations

from typing import Self

import numpy as np

from trueground.consolidation.crowd import Crowd, Floats, softmax
from trueground.consolidation.majority_vote import MajorityVote


class OneCoin:
    r"""Workers are right with probability :math:`q_w`, and otherwise pick any other class evenly; by EM.

    .. math:: p(z_t = k) \propto \pi_k \prod_{w: l_{tw} = k} \frac{q_w (K - 1)}{1 - q_w}, \qquad
        q_w = \frac{\sum_t p(z_t = l_{tw}) + c\, \bar q}{n_w + c}

    with :math:`\bar q` the accuracy of all workers together. The fewest parameters of all, so it serves where workers
    answer few tasks; it fails where some classes are harder than others. Y. Zhang et al., *Spectral Methods Meet EM*
    (2014), section 2, has the model.

    Args:
        caution: pseudo-answers :math:`c` at the accuracy of all workers.
        max_iter: EM iterations at most.
        tol: stop when no posterior moves further than this.
    """

    def __init__(self, caution: float = 4.0, max_iter: int = 20, tol: float = 1e-3) -> None:
        self.caution = caution
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, crowd: Crowd) -> Self:
        """Set ``posterior_`` [n_tasks, n_classes], ``worker_accuracy_`` [n_workers], ``n_iter_``."""
        k = crowd.n_classes
        cells = crowd.tasks * k + crowd.labels
        answers = np.bincount(crowd.workers, minlength=crowd.n_workers)
        self.posterior_: Floats = MajorityVote().fit(crowd).posterior_
        for iteration in range(1, self.max_iter + 1):
            self.n_iter_ = iteration
            right = np.bincount(crowd.workers, self.posterior_.ravel()[cells], minlength=crowd.n_workers)
            pooled = (right.sum() + 1) / (len(crowd) + k)
            self.worker_accuracy_: Floats = (right + self.caution * pooled) / (answers + self.caution)
            accuracy = np.clip(self.worker_accuracy_, 1e-6, 1 - 1e-6)
            self.weight_: Floats = np.log(accuracy * max(k - 1, 1) / (1 - accuracy))
            frequency = (self.posterior_.sum(axis=0) + 1) / (crowd.n_tasks + k)
            scores = np.bincount(cells, self.weight_[crowd.workers], minlength=crowd.n_tasks * k)
            updated = softmax(np.log(frequency) + scores.reshape(crowd.n_tasks, k))
            moved = float(np.abs(updated - self.posterior_).max(initial=0.0))
            self.posterior_ = updated
            if moved < self.tol:
                break
        return self
