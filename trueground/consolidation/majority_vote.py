"""The share of workers that chose a label."""

from __future__ import annotations

from typing import Self

from trueground.consolidation.crowd import Crowd, Floats


class MajorityVote:
    r"""Vote shares, smoothed toward the frequencies of the classes.

    .. math:: p(z_t = k) = \frac{n_{tk} + a \pi_k}{n_t + a}

    with :math:`n_{tk}` workers choosing class :math:`k` for task :math:`t` and :math:`\pi` the share of each label
    among all answers. Smoothing never changes which of two classes with different votes wins; it decides
    ties for the more frequent class, and keeps one single answer from being called certain.

    Args:
        smoothing: pseudo-answers :math:`a`; 0 gives plain shares.
    """

    def __init__(self, smoothing: float = 0.1) -> None:
        self.smoothing = smoothing

    def fit(self, crowd: Crowd) -> Self:
        """Set ``posterior_`` [n_tasks, n_classes]."""
        votes = crowd.votes
        share = (votes.sum(axis=0) + 1) / (votes.sum() + crowd.n_classes)
        # Tasks without any answer keep the frequencies themselves, also where smoothing is 0.
        weight = self.smoothing + (votes.sum(axis=1, keepdims=True) == 0)
        smoothed = votes + weight * share
        self.posterior_: Floats = smoothed / smoothed.sum(axis=1, keepdims=True)
        return self
