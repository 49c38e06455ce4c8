"""The error rate of labels from few reviews, with the model's own doubt as the prediction of where it errs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trueground.quality.sequences import ConfidenceSequence

UNIFORM = 0.3
"""The share of reviews that is drawn evenly: no label's weight passes ``1 / UNIFORM``, however sure the model is."""
LEAST_DOUBT = 0.02
"""Sure labels that are wrong after all weigh much; this bounds by how much."""


@dataclass(frozen=True)
class Outlook:
    """What is known of one review's observation before it is made.

    Attributes:
        objects: how many there are.
        share: the chance that a draw falls on one of them; 1 but for a part of all.
        mean_doubt: of all objects; those that were judged before count as what they are.
        low, high: what the observation can be at least and at most.
        variance: what the doubts foretell of it; ``None`` where nothing is predicted.
    """

    objects: int
    share: float
    mean_doubt: float
    low: float
    high: float
    variance: float | None

    def to_json(self) -> dict[str, float | int | None]:
        """As JSON."""
        return asdict(self)

    def observe(self, sequence: ConfidenceSequence, doubt: float, chance: float, wrong: bool) -> None:
        r"""Add one review to a sequence of the error rate, as an unbiased observation of it.

        The predictions' mean, corrected by what the review shows, :math:`\bar p + (e_i - p_i) / (N q_i)` (Angelopoulos
        et al., Prediction-powered inference, Science 2023; weights as in Shekhar et al., Risk-limiting financial audits
        via weighted sampling without replacement, UAI 2023).

        Args:
            sequence: what takes it.
            doubt: the predicted chance that the reviewed label is wrong.
            chance: the probability with which it was drawn.
            wrong: the review's answer.
        """
        value = self.mean_doubt + (wrong - doubt) * self.share / (chance * self.objects)
        hints = {"expected": self.mean_doubt, "variance": self.variance} if self.variance else {}
        sequence.add(min(self.high, max(self.low, value)), self.low, self.high, **hints)


@dataclass(frozen=True)
class AuditDesign:
    """How objects are drawn. Arrays are ``[objects]``.

    ``doubt`` is the predicted chance that each label is wrong, ``chance`` the probability of each draw; it sums to 1
    but for a :meth:`part`. Both are fixed before a draw is reviewed.
    """

    doubt: NDArray[np.float64]
    chance: NDArray[np.float64]

    @classmethod
    def uniform(cls, objects: int) -> AuditDesign:
        """Plain sampling: every object alike, nothing predicted."""
        return cls(np.zeros(objects), np.full(objects, 1 / objects))

    @classmethod
    def active(cls, confidence: ArrayLike, known: Mapping[int, bool] | None = None) -> AuditDesign:
        """More of what the model doubts: proportional to the standard deviation of a predicted error, mixed with even.

        The optimal rule of active inference (Zrnic and Candès, Active statistical inference, ICML 2024) for calibrated
        confidence. A model that is wrong about itself costs width, never coverage. What was judged before is known: it
        is not drawn again, and nothing of it is left to be estimated.

        Args:
            confidence: of each label, ``[objects]``.
            known: whether it is wrong, by the number of an object that was judged.

        Raises:
            ValueError: there is no object, or a confidence is not in [0, 1].
        """
        sure = np.asarray(confidence, dtype=np.float64)
        if not len(sure) or not np.all((sure >= 0) & (sure <= 1)):
            raise ValueError("confidences between 0 and 1 are needed, at least one")
        doubt = np.clip(1 - sure, LEAST_DOUBT, 1 - LEAST_DOUBT)
        judged = known or {}
        doubt[list(judged)] = list(judged.values())
        wanted = np.sqrt(doubt * (1 - doubt))
        if not wanted.any():
            return cls(doubt, np.zeros(len(sure)))
        even = (wanted > 0) / np.count_nonzero(wanted)
        return cls(doubt, (1 - UNIFORM) * wanted / wanted.sum() + UNIFORM * even)

    def draw(self, count: int, seed: int | list[int]) -> NDArray[np.int64]:
        """Object numbers of independent draws; one that comes again needs no second review. None if all are known."""
        count = count if self.chance.any() else 0
        return np.random.default_rng(seed).choice(len(self.chance), count, p=self.chance if count else None)

    def part(self, members: NDArray[np.bool_]) -> AuditDesign:
        """How those objects of a part are drawn on which a draw falls; ``members`` is ``[objects]``."""
        return AuditDesign(self.doubt[members], self.chance[members])

    def outlook(self) -> Outlook:
        """What is known of a review's observation before it is made. Some object can be drawn."""
        share, objects = float(self.chance.sum()), len(self.chance)
        free = self.chance > 0
        doubt, weight = self.doubt[free], share / (self.chance[free] * objects)
        mean, variance = float(self.doubt.mean()), float((doubt * (1 - doubt) * weight).sum() / objects)
        low, high = mean - float((doubt * weight).max()), mean + float(((1 - doubt) * weight).max())
        return Outlook(objects, share, mean, low, high, variance or None)


def audit(
    design: AuditDesign, draws: NDArray[np.int64], is_wrong: Callable[[int], bool], sequence: ConfidenceSequence
) -> dict[int, bool]:
    """Add draws to a sequence of the error rate; returns the answers by object.

    Args:
        design: how they were drawn.
        draws: object numbers, in the order drawn.
        is_wrong: the review's answer about an object; asked once an object.
        sequence: what takes the observations.
    """
    outlook = design.outlook()
    known: dict[int, bool] = {}
    for drawn in draws.tolist():
        if drawn not in known:
            known[drawn] = is_wrong(drawn)
        outlook.observe(sequence, float(design.doubt[drawn]), float(design.chance[drawn]), known[drawn])
    return known
