"""Independent Bayesian classifier combination: Dawid-Skene that keeps in mind how little is known of a worker."""

from __future__ import annotations

import numpy as np
from scipy.special import digamma

from trueground.consolidation.confusions import ConfusionCounts
from trueground.consolidation.crowd import Floats
from trueground.consolidation.dawid_skene import DawidSkene


class BayesianCombination(DawidSkene):
    r"""Variational Bayes in place of EM: a Dirichlet distribution over each row of a worker's confusions.

    .. math:: E[\log \theta_{wkl}] = \psi(n_{wkl} + s\, m_{wkl}) - \psi(n_{wk} + s)

    takes the place of :math:`\log \theta_{wkl}` of :class:`DawidSkene`; the learned prior :math:`m` is the same. A
    label that a worker hardly used speaks more strongly than in EM for the classes where it was seen.
    H.-C. Kim, Z. Ghahramani, *Bayesian Classifier Combination* (2012); E. Simpson et al., *Dynamic Bayesian
    Combination of Multiple Imperfect Classifiers* (2013).
    """

    def _log_confusions(self, counts: ConfusionCounts, prior: Floats) -> Floats:
        totals = digamma(counts.totals + self.strength_ + 1e-6)[counts.crowd.pair_workers]
        return np.asarray(digamma(counts.pairs + self.strength_ * prior + 1e-6) - totals)
