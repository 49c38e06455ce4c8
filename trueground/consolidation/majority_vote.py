"""The share of workers that chose a label."""

from __future__ import annotations

from typing import Self

from trueground.consolidation.crowd import Crowd, Floats


class MajorityVote:
    r"""Vote shares, smoothed toward all classes alike.

    .. math:: p(z_t = k) = \frac{n_{tk} + a / K}{n_t + a}

    with :math:`n_{tk}` workers choosing class :math:`k` for task :math:`t`, of :math:`K` classes. Smoothing keeps one
    single answer from being called certain. It breaks no tie: on real crowds the more frequent class is the worse
    guess as often as not.

    Args:
        smoothing: pseudo-answers :math:`a` for each task; 0 gives plain shares.
    """

    def __init__(self, smoothing: float = 0.1) -> None:
        self.smoothing = smoothing

    def fit(self, crowd: Crowd) -> Self:
        """Set ``posterior_`` [n_tasks, n_classes]."""
        votes = crowd.votes
        # Tasks without any answer stay open, also where smoothing is 0.
        weight = self.smoothing + (votes.sum(axis=1, keepdims=True) == 0)
        smoothed = votes + weight / max(crowd.n_classes, 1)
        self.posterior_: Floats = smoothed / smoothed.sum(axis=1, keepdims=True)
        return self
