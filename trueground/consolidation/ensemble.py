"""Several models of the crowd, averaged by how well they foretell answers: the default of consolidation."""

from __future__ import annotations

from typing import Self

import numpy as np

from trueground.consolidation.bayesian_combination import BayesianCombination
from trueground.consolidation.crowd import Crowd, Floats, Model
from trueground.consolidation.dawid_skene import DawidSkene
from trueground.consolidation.evidence import answer_evidence
from trueground.consolidation.majority_vote import MajorityVote
from trueground.consolidation.one_coin import OneCoin

CONFUSION_CELLS = 50_000_000
"""Models with confusion matrices are left out above this many (worker, label, true class) cells: 0.4 GB each array."""


def has_room_for_confusions(crowd: Crowd) -> bool:
    """Whether the crowd stays below :data:`CONFUSION_CELLS`."""
    return len(crowd.pair_labels) * crowd.n_classes <= CONFUSION_CELLS


def members(crowd: Crowd) -> dict[str, Model]:
    """The models that :class:`Ensemble` averages, by name, those left out that the crowd is too large for."""
    models: dict[str, Model] = {"majority": MajorityVote(), "one-coin": OneCoin()}
    if has_room_for_confusions(crowd):
        models |= {
            "dawid-skene": DawidSkene(),
            "dawid-skene-anchored": DawidSkene(prior="population", anchor=0.2, trust=0.3),
            "bayesian-combination": BayesianCombination(),
        }
    return models


class Ensemble:
    r"""A weighted mean of the posteriors of :func:`members`, made less sure of itself.

    .. math:: p(z_t) = \sum_m w_m\, p_m(z_t), \qquad w_m \propto e^{T (e_m - \max_{m'} e_{m'})}

    with :math:`e_m` the mean log probability of held-out answers (:func:`~.answer_evidence`). No model is the best
    for every crowd. Held-out answers tell which fail badly, but between models that do well they do not tell which
    has more labels right, so :math:`T` is low and weights stay spread.

    All members but majority vote take workers for independent, and so are surer than they are right. Where the odds
    :math:`c / (1 - c)` of a task's best class are above one, they are therefore raised to the power ``sharpness``,
    and the other classes scaled to fit. It changes no label. (Temperature scaling of C. Guo et al., *On Calibration
    of Modern Neural Networks*, 2017, but of the best class against the rest, so that it means the same for any
    number of classes.)

    Args:
        temperature: :math:`T`, how strongly evidence weighs; 0 weighs all alike.
        sharpness: above 0, at most 1, which leaves confidence as it is.
    """

    def __init__(self, temperature: float = 20.0, sharpness: float = 0.7) -> None:
        self.temperature = temperature
        self.sharpness = sharpness

    def fit(self, crowd: Crowd) -> Self:
        """Set ``posterior_`` [n_tasks, n_classes] and ``weights_``, each member's share by name."""
        # Where no two workers answered the same task, nothing tells a wrong answer from a right one.
        if crowd.n_classes < 2 or crowd.answers_of_task.max(initial=0) < 2:
            self.weights_ = {"majority": 1.0}
            self.posterior_: Floats = MajorityVote().fit(crowd).posterior_
            return self
        models = members(crowd)
        # Evidence counts confusions too; and what a third fold adds is little where there are many answers.
        weighable = has_room_for_confusions(crowd)
        evidence = answer_evidence(models, crowd, folds=3 if len(crowd) < 100_000 else 1) if weighable else None
        values = np.array([evidence[name] if evidence else 0.0 for name in models])
        weights = np.exp(self.temperature * (values - values.max()))
        weights /= weights.sum()
        self.weights_ = dict(zip(models, weights.tolist(), strict=True))
        posterior = np.zeros((crowd.n_tasks, crowd.n_classes))
        for weight, model in zip(weights, models.values(), strict=True):
            posterior += weight * model.fit(crowd).posterior_
        # Rounded, so that the order in which a computer adds cannot decide a tie.
        self.posterior_ = _soften(np.round(posterior, 12), self.sharpness)
        return self


def _soften(posterior: Floats, sharpness: float) -> Floats:
    best = posterior.argmax(axis=1)
    # A class below one half stays as it is: nobody would call it too sure, and it may share its place with another.
    rows = np.flatnonzero(posterior[np.arange(len(posterior)), best] > 0.5)
    best = best[rows]
    confidence = np.minimum(posterior[rows, best], 1 - 1e-12)
    softened = 1 / (1 + ((1 - confidence) / confidence) ** sharpness)
    result = posterior.copy()
    result[rows] *= ((1 - softened) / (1 - confidence))[:, None]
    result[rows, best] = softened
    return result


def worker_accuracy(crowd: Crowd, posterior: Floats, caution: float = 4.0) -> Floats:
    """Expected share of right answers of each worker, [n_workers], shrunk by ``caution`` answers to that of all."""
    right = np.bincount(crowd.workers, posterior[crowd.tasks, crowd.labels], minlength=crowd.n_workers)
    answers = np.bincount(crowd.workers, minlength=crowd.n_workers)
    pooled = (right.sum() + 1) / (len(crowd) + max(crowd.n_classes, 1))
    return np.asarray((right + caution * pooled) / (answers + caution))
