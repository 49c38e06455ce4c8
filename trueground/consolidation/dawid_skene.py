"""Dawid-Skene with each worker's confusions shrunk toward what is known of that worker and of all workers."""

from __future__ import annotations

from typing import Self

import numpy as np

from trueground.consolidation.confusions import ConfusionCounts, Prior
from trueground.consolidation.crowd import Crowd, Floats, softmax
from trueground.consolidation.majority_vote import MajorityVote

FIRST_STRENGTH = 8.0
LEARN_AFTER = 5


class DawidSkene:
    r"""A confusion matrix for each worker, by EM.

    .. math:: p(z_t = k) \propto \pi_k \prod_{w} \theta_{w k l_{tw}}, \qquad
        \theta_{wkl} = \frac{n_{wkl} + s\, m_{wkl}}{n_{wk} + s}

    :math:`\theta_{wkl}` is how often worker :math:`w` says :math:`l` where :math:`k` is true, :math:`n_{wkl}` the
    expected count of it, and :math:`m_w` a matrix that is itself learned in each iteration:

    - ``"population"``: the confusions of all workers together;
    - ``"skill"``: the same, with the odds of each diagonal element multiplied by one factor a worker, which moves
      the population's accuracy on the worker's tasks to the worker's own.

    With ``strength=0`` and ``anchor=0`` this is the maximum likelihood of A. P. Dawid and A. M. Skene, *Maximum
    Likelihood Estimation of Observer Error-Rates Using the EM Algorithm* (1979), which is sure of too much where a
    worker gave few answers. ``anchor`` mixes vote shares into the posterior from which confusions are counted, so
    that EM cannot wander far from what people said.

    Args:
        strength: pseudo-counts :math:`s` in each row; ``None`` learns them once, after :data:`LEARN_AFTER`
            iterations, from how much workers differ: :meth:`~.ConfusionCounts.likeliest_strength`.
        prior: what they are spread by, :math:`m`.
        anchor: weight of vote shares where confusions are counted, from 0 to below 1.
        trust: see :meth:`~.ConfusionCounts.population`.
        max_iter: EM iterations at most.
        tol: stop when no posterior moves further than this.
    """

    def __init__(
        self,
        strength: float | None = None,
        prior: Prior = "skill",
        anchor: float = 0.0,
        trust: float = 0.1,
        max_iter: int = 20,
        tol: float = 1e-3,
    ) -> None:
        self.strength = strength
        self.prior = prior
        self.anchor = anchor
        self.trust = trust
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, crowd: Crowd) -> Self:
        """Set ``posterior_`` [n_tasks, n_classes], ``log_confusions_`` [n_pairs, n_classes], ``strength_``,
        ``n_iter_``."""
        shares = MajorityVote().fit(crowd).posterior_
        self.posterior_: Floats = shares
        counted = shares
        self.strength_ = FIRST_STRENGTH if self.strength is None else self.strength
        for iteration in range(1, self.max_iter + 1):
            self.n_iter_ = iteration
            counts = ConfusionCounts.of(crowd, counted)
            prior = counts.prior(self.prior, self.trust)
            if self.strength is None and iteration == LEARN_AFTER:
                self.strength_ = counts.likeliest_strength(prior)
            self.log_confusions_: Floats = self._log_confusions(counts, prior)
            frequency = (counted.sum(axis=0) + 1) / (crowd.n_tasks + crowd.n_classes)
            updated = softmax(np.log(frequency) + crowd.by_pair @ self.log_confusions_)
            moved = float(np.abs(updated - self.posterior_).max(initial=0.0))
            self.posterior_ = updated
            counted = (1 - self.anchor) * updated + self.anchor * shares
            if moved < self.tol and (self.strength is not None or iteration >= LEARN_AFTER):
                break
        return self

    def _log_confusions(self, counts: ConfusionCounts, prior: Floats) -> Floats:
        totals = counts.totals[counts.crowd.pair_workers]
        # The small number keeps strength=0 finite: a confusion never seen is then all but excluded, as in the paper.
        return np.asarray(np.log((counts.pairs + self.strength_ * prior + 1e-9) / (totals + self.strength_ + 1e-9)))
