"""What a crowd confuses with what: expected counts, and what is known of a worker before their own answers count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import gammaln

from trueground.consolidation.crowd import Crowd, Floats

Prior = Literal["population", "skill"]

STRENGTHS = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 60.0, 120.0)

_EDGE = 1e-6
"""Accuracies stay this far from 0 and 1, where odds are not defined."""


@dataclass(frozen=True)
class ConfusionCounts:
    """Expected confusions, given a posterior of the tasks. Rows are (worker, label) pairs that occur.

    Attributes:
        pairs: how often the pair's worker gave the pair's label where class k is true, [n_pairs, n_classes].
        totals: how often class k was true among a worker's tasks, [n_workers, n_classes].
        right: expected right answers, [n_workers].
    """

    crowd: Crowd
    pairs: Floats
    totals: Floats
    right: Floats

    @classmethod
    def of(cls, crowd: Crowd, posterior: Floats) -> ConfusionCounts:
        """Count. ``posterior`` is [n_tasks, n_classes]."""
        pairs = np.asarray(crowd.by_pair_transposed @ posterior)
        right = np.zeros(crowd.n_workers)
        np.add.at(right, crowd.pair_workers, pairs[crowd.pair_diagonal])
        return cls(crowd, pairs, np.asarray(crowd.pairs_of_worker @ pairs), right)

    def accuracy(self, caution: float = 4.0) -> tuple[Floats, float]:
        """Share of right answers of each worker, [n_workers], shrunk by ``caution`` answers to that of all workers."""
        answers = self.totals.sum(axis=1)
        pooled = float((self.right.sum() + 1) / (answers.sum() + self.crowd.n_classes))
        return (self.right + caution * pooled) / (answers + caution), pooled

    def population(self, pooled: float, trust: float) -> Floats:
        """How all workers together confuse, [n_classes (true), n_classes (said)].

        Each row gets pseudo-counts of one coin with accuracy ``pooled``: ``trust`` times the answers a class has on
        average. They keep a rare class from becoming the place where tasks without agreement are put.
        """
        k = self.crowd.n_classes
        coin = np.full((k, k), (1 - pooled) / max(k - 1, 1))
        np.fill_diagonal(coin, pooled)
        counts = np.asarray(self.crowd.pairs_of_label @ self.pairs).T + (2 + trust * len(self.crowd) / k) * coin
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))

    def prior(self, kind: Prior, trust: float) -> Floats:
        r"""What a worker's confusions are taken to be before their answers count; see :class:`~.DawidSkene`.

        Only the elements of the pairs that occur, [n_pairs, n_classes].
        """
        crowd = self.crowd
        accuracy, pooled = self.accuracy()
        population = self.population(pooled, trust)
        rows = population[:, crowd.pair_labels].T
        if kind == "population":
            return rows
        common = np.clip(np.diag(population), _EDGE, 1 - _EDGE)
        # What the population would have got right on the very classes that this worker met.
        expected = (self.totals @ common + 4 * pooled) / (self.totals.sum(axis=1) + 4)
        odds = _odds(accuracy) / _odds(expected)
        diagonal = odds[:, None] * _odds(common)
        diagonal /= 1 + diagonal
        rows = rows / (1 - common) * (1 - diagonal[crowd.pair_workers])
        rows[crowd.pair_diagonal] = diagonal[crowd.pair_workers, crowd.pair_labels]
        return rows

    def likeliest_strength(self, prior: Floats) -> float:
        r"""The pseudo-counts a row with which a Dirichlet prior ``prior`` makes the counts likeliest.

        .. math:: \arg\max_s \sum_{wk} \Big[ \log\frac{\Gamma(s)}{\Gamma(n_{wk} + s)}
            + \sum_l \log\frac{\Gamma(n_{wkl} + s m_{wkl})}{\Gamma(s m_{wkl})} \Big]

        over :data:`STRENGTHS`: large where workers resemble what the prior says, small where each has their own ways.
        """
        # Cells with next to no counts add nothing, and with many classes they are nearly all.
        seen, met = self.pairs > 1e-3, self.totals > 1e-3
        pairs, prior, totals = self.pairs[seen], prior[seen] + 1e-9, self.totals[met]
        evidence = [
            (gammaln(pairs + s * prior) - gammaln(s * prior)).sum() - (gammaln(totals + s) - gammaln(s)).sum()
            for s in STRENGTHS
        ]
        return STRENGTHS[int(np.argmax(evidence))]


def _odds(share: Floats) -> Floats:
    share = np.clip(share, _EDGE, 1 - _EDGE)
    return np.asarray(share / (1 - share))
