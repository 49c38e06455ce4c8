"""How well a model foretells answers that it has not seen: the evidence by which models are weighed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trueground.consolidation.confusions import ConfusionCounts
from trueground.consolidation.crowd import Crowd, Floats, Integers, Model

HELD_OUT_SHARE = 1 / 7


def answer_evidence(models: Mapping[str, Model], crowd: Crowd, folds: int) -> dict[str, float] | None:
    r"""Mean log probability of a held-out answer under each model.

    .. math:: \log p(l_{tw}) = \log \sum_k p(z_t = k)\, \theta_{wkl}

    with the posterior of the model, fitted without that answer, and confusions counted from this very posterior, in
    the same way for all models: what is compared is how good the posteriors are.

    Args:
        models: unfitted models by name. They are fitted to parts of the answers.
        crowd: the answers.
        folds: how many disjoint parts, each :data:`HELD_OUT_SHARE` of the answers, are held out in turn.

    Returns:
        Log probability (natural logarithm) by name; ``None`` if too few answers can be held out to tell.
    """
    number = (answer_hashes(crowd) % np.uint64(round(1 / HELD_OUT_SHARE))).astype(np.int64)
    # An answer that is its task's only one says nothing of how good a posterior is.
    fold = np.where(crowd.answers_of_task[crowd.tasks] >= 2, number, -1)
    sums = dict.fromkeys(models, 0.0)
    used = 0
    for part in range(folds):
        held_out = fold == part
        # Where everything looks alike, as in a crowd of clones, hashes put everything into one fold.
        if not 0.2 * HELD_OUT_SHARE < held_out.mean() < 2 * HELD_OUT_SHARE:
            continue
        used += int(held_out.sum())
        rest, unseen = crowd.subset(~held_out), crowd.subset(held_out)
        for name, model in models.items():
            sums[name] += _log_probability(model.fit(rest).posterior_, rest, unseen)
    return {name: total / used for name, total in sums.items()} if used else None


def _log_probability(posterior: Floats, rest: Crowd, unseen: Crowd, strength: float = 3.0) -> float:
    counts = ConfusionCounts.of(rest, posterior)
    population = counts.population(counts.accuracy()[1], trust=0.0)
    seen = rest.pair_workers * rest.n_classes + rest.pair_labels
    wanted = unseen.workers * unseen.n_classes + unseen.labels
    place = np.minimum(np.searchsorted(seen, wanted), len(seen) - 1)
    pairs = counts.pairs[place] * (seen[place] == wanted)[:, None]
    confusions = (pairs + strength * population[:, unseen.labels].T) / (counts.totals[unseen.workers] + strength)
    return float(np.log((posterior[unseen.tasks] * confusions).sum(axis=1) + 1e-12).sum())


def answer_hashes(crowd: Crowd) -> NDArray[np.uint64]:
    """A number for each answer that looks random, [n_answers].

    It depends only on who agrees with whom, so neither the order of the answers nor the names of tasks, workers and
    classes decide which are held out.
    """
    cells = crowd.tasks * crowd.n_classes + crowd.labels
    agreeing = crowd.votes.ravel()[cells].astype(np.uint64)
    size = crowd.answers_of_task[crowd.tasks].astype(np.uint64)
    worker = _mix(_sum(_mix(agreeing + (size << np.uint64(20))), crowd.workers, crowd.n_workers))
    cell = _mix(_sum(worker[crowd.workers], cells, crowd.n_tasks * crowd.n_classes))
    # Only cells with votes count: the sum over the others is the same for all.
    task = _mix(cell.reshape(crowd.n_tasks, crowd.n_classes).sum(axis=1, dtype=np.uint64))
    return _mix(task[crowd.tasks] + worker[crowd.workers] * np.uint64(3))


def _sum(values: NDArray[np.uint64], groups: Integers, n_groups: int) -> NDArray[np.uint64]:
    # Integers, so that no order of summation changes the last bit; they wrap around, as hashes may.
    sums = np.zeros(n_groups, dtype=np.uint64)
    np.add.at(sums, groups, values)
    return sums


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea, Flood, 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))
