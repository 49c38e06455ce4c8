"""The error rate of labels from few reviews, with the model's own doubt as the prediction of where it errs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trueground.quality.sequences import ConfidenceSequence

UNIFORM = 0.5
"""The share of reviews that is drawn evenly: no label's weight passes ``1 / UNIFORM``, however sure the model is."""
LEAST_DOUBT = 0.002


@dataclass(frozen=True)
class AuditDesign:
    """How objects are drawn. Arrays are ``[objects]``.

    ``doubt`` is the predicted chance that each label is wrong, ``chance`` the probability of each draw; it sums to 1.
    Both are fixed before a draw is reviewed.
    """

    doubt: NDArray[np.float64]
    chance: NDArray[np.float64]

    @classmethod
    def uniform(cls, objects: int) -> AuditDesign:
        """Plain sampling: every object alike, nothing predicted."""
        return cls(np.zeros(objects), np.full(objects, 1 / objects))

    @classmethod
    def active(cls, confidence: ArrayLike) -> AuditDesign:
        """More of what the model doubts: proportional to the standard deviation of a predicted error, mixed with even.

        The optimal rule of active inference (Zrnic and Candès, Active statistical inference, ICML 2024) for calibrated
        confidence. A model that is wrong about itself costs width, never coverage.

        Raises:
            ValueError: there is no object, or a confidence is not in [0, 1].
        """
        sure = np.asarray(confidence, dtype=np.float64)
        if not len(sure) or not np.all((sure >= 0) & (sure <= 1)):
            raise ValueError("confidences between 0 and 1 are needed, at least one")
        doubt = np.clip(1 - sure, LEAST_DOUBT, 1 - LEAST_DOUBT)
        wanted = np.sqrt(doubt * (1 - doubt))
        return cls(doubt, (1 - UNIFORM) * wanted / wanted.sum() + UNIFORM / len(sure))

    def draw(self, count: int, seed: int | list[int]) -> NDArray[np.int64]:
        """Object numbers of independent draws; one that comes again needs no second review."""
        return np.random.default_rng(seed).choice(len(self.chance), count, p=self.chance)

    def range(self) -> tuple[float, float]:
        """What :meth:`observation` can be at least and at most."""
        size = self.chance * len(self.chance)
        mean = float(self.doubt.mean())
        return mean - float((self.doubt / size).max()), mean + float(((1 - self.doubt) / size).max())

    def observation(self, drawn: int, wrong: bool) -> float:
        """An unbiased observation of the error rate from one review; see :func:`corrected`."""
        weight = 1 / (self.chance[drawn] * len(self.chance))
        return corrected(float(self.doubt.mean()), self.doubt[drawn], weight, wrong)


def corrected(mean_doubt: float, doubt: float, weight: float, wrong: bool) -> float:
    r"""The predictions' mean, corrected by what one review shows: unbiased for the error rate.

    :math:`\bar p + (e_i - p_i) / (N q_i)` (Angelopoulos et al., Prediction-powered inference, Science 2023; weights as
    in Shekhar et al., Risk-limiting financial audits via weighted sampling without replacement, UAI 2023).

    Args:
        mean_doubt: of all objects.
        doubt: the predicted chance that the reviewed label is wrong.
        weight: ``1 / (N q)``, where it was one of ``N`` and drawn with probability ``q``.
        wrong: the review's answer.
    """
    return float(mean_doubt + (wrong - doubt) * weight)


def audit(
    design: AuditDesign, draws: Iterable[int], is_wrong: Callable[[int], bool], sequence: ConfidenceSequence
) -> int:
    """Add draws to a sequence of the error rate; returns how many different objects had to be reviewed.

    Args:
        design: how they were drawn.
        draws: object numbers, in the order drawn.
        is_wrong: the review's answer about an object; asked once an object.
        sequence: what takes the observations.
    """
    low, high = design.range()
    known: dict[int, bool] = {}
    for drawn in map(int, draws):
        if drawn not in known:
            known[drawn] = is_wrong(drawn)
        sequence.add(min(high, max(low, design.observation(drawn, known[drawn]))), low, high)
    return len(known)
