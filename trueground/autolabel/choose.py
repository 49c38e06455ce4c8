"""What people label next: where the model is unsure, and a random sample of what it is sure of."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trueground.quality.bounds import most_bad

if TYPE_CHECKING:
    from trueground.autolabel.model import LabelModel

PARTS = ((1.0, 0.8), (0.7, 0.2))
"""The parts of a proposal that may be accepted, each its surest labels, with their share of the round's delta."""
PRIOR = 20.0
"""How many labeled objects the model's own confidence counts for in a forecast."""
SPARE = 8
"""Wrong labels that an audit is at most made large enough to bear."""
ASKING = 0.5
"""What an audit answer costs, in labels saved: people also learn something for the model from it."""
WORTHWHILE = 0.2
"""A proposal must be expected to save this share of the open objects; waiting makes the model surer of more.
Where nothing can be gained by waiting, any saving is welcome."""
LAST_CAUTION = 1.0
"""Wrong labels to reckon with beyond those seen, in the last round that can propose: if it fails, people label all."""
SHARES = (100, 98, 96, 94, 92, 90, 85, 80, 75, 70, 65, 60, 55, 50, 45, 40, 35, 30)
"""The sizes of a proposal that are weighed, in percent of the open objects."""
SPENDING = 0.75
"""What a proposal may spend of the chance of failure that earlier ones left: most runs settle with the first."""
CANDIDATES = 4
"""Times the number of queries that are looked at for being different from each other."""


@dataclass(frozen=True)
class AutoLabelSettings:
    """The promise: machine labels are right in the share ``accuracy``, with ``confidence``."""

    accuracy: float = 0.95
    confidence: float = 0.95


@dataclass(frozen=True)
class RoundPlan:
    """What a round asks people, and what it would label by machine. Lists hold object numbers.

    ``proposal`` is in order of confidence, ``proposal_classes`` and ``proposal_confidence`` belong to it; ``audit`` is
    a random sample of it. ``delta`` is the chance of failure that this round may spend. ``reserve`` holds what to ask
    next, in this order, where people would have nothing to do before the round is over. ``at_random``: query and
    reserve were drawn at random, as they are without a forecast.
    """

    query: list[int]
    audit: list[int] = field(default_factory=list)
    proposal: list[int] = field(default_factory=list)
    proposal_classes: list[str] = field(default_factory=list)
    proposal_confidence: list[float] = field(default_factory=list)
    accuracy: float = 0.95
    delta: float = 0.05
    reserve: list[int] = field(default_factory=list)
    at_random: bool = False


@dataclass(frozen=True)
class Forecast:
    """What a model says of all objects, and how right it was where that is known.

    ``shares`` is ``[objects, classes]``; ``known`` and ``right`` are of labeled objects that are like the open ones and
    that it has not learned from: how sure it is of each, and whether that is the label.
    """

    classes: Sequence[str]
    shares: NDArray[np.float64]
    known: NDArray[np.float64]
    right: NDArray[np.bool_]

    @classmethod
    def of(
        cls, model: LabelModel, features: NDArray[np.float32], human: Mapping[int, str], drawn: Container[int]
    ) -> Forecast:
        """The forecast of a model that was trained on all human labels, in the order of their numbers."""
        known, right = _known(model, human, drawn)
        return cls(model.classes_.tolist(), model.predict_proba(features), known, right)

    @classmethod
    def of_earlier(cls, model: LabelModel, shares: NDArray[np.float64]) -> Forecast:
        """What a model that learned from other objects says of these: how right it was is known of those only."""
        return cls(model.classes_.tolist(), shares, *model.left_out_confidence())


def plan_round(
    features: NDArray[np.float32],
    *,
    human: Mapping[int, str],
    machine: Container[int],
    forecast: Forecast | None,
    settings: AutoLabelSettings,
    round: int,
    proposals: int,
    budget: int,
    seed: int,
    rounds: int | None = None,
    reserve: int = 0,
) -> RoundPlan:
    """Plan one round.

    Without a forecast, people get a random sample. With one, the model proposes the objects it is sure of if an audit
    of them is likely to pass and worth its price; the rest of the budget goes to the objects with the smallest margin
    between the two likeliest classes, chosen to differ from each other.

    It does not propose at the first chance. What a proposal leaves out is the hardest, and ends with people; while that
    is more than the budget, asking it first costs nothing, and a surer model then proposes nearly all of the rest at
    once, for the price of one audit.

    In the first round a forecast is that of a model from earlier nights. It may propose at once: whether the labels are
    kept is decided by the audit alone. Where it proposes nothing, the round starts at random, as without it.

    Args:
        features: of all objects, ``[objects, features]``.
        human, machine: what has a label.
        forecast: what the last round's model says of all objects, or an earlier night's in the first round.
        settings: the promise.
        round: this round, from 1.
        proposals: how many earlier rounds proposed something, accepted or not.
        budget: objects for people. An audit may ask for more: it buys the labels of all that it stands for.
        seed: decides what is drawn at random.
        rounds: the most rounds, the last of which leaves nothing open. The two rounds before it do not wait; without
            the number, no round does.
        reserve: how many more objects to name.
    """
    randomness = np.random.default_rng([seed, round])
    open_objects = np.array([i for i in range(len(features)) if i not in human and i not in machine], dtype=np.int64)
    # Each proposal spends its share of what the earlier ones left, so that all together never spend more than is there.
    delta = (1 - settings.confidence) * SPENDING * (1 - SPENDING) ** proposals

    def at_random() -> RoundPlan:
        drawn = randomness.choice(open_objects, min(budget + reserve, len(open_objects)), replace=False).tolist()
        return RoundPlan(
            sorted(drawn[:budget]), accuracy=settings.accuracy, delta=delta, reserve=drawn[budget:], at_random=True
        )

    if forecast is None or not len(open_objects):
        return at_random()
    shares = forecast.shares[open_objects]
    sure = shares.max(axis=1)
    order = np.argsort(-sure, kind="stable")
    last_chance = rounds is not None and round >= rounds - 1
    size, sample = _proposal_size(
        sure[order],
        forecast.known,
        forecast.right,
        settings.accuracy,
        delta,
        least=0.0 if last_chance else WORTHWHILE,
        caution=LAST_CAUTION if last_chance else 0.0,
    )
    if rounds is not None and round < rounds - 2 and len(order) - size > budget:
        size = 0
    if round == 1 and size == 0:
        return at_random()
    proposed = order[:size]
    audit = randomness.choice(open_objects[proposed], sample, replace=False) if size else np.array([], dtype=np.int64)
    rest = order[size:]
    count = max(0, budget - len(audit))
    unsure = open_objects[rest][_unlike(features, open_objects[rest], shares[rest], count + reserve)].tolist()
    return RoundPlan(
        query=sorted(unsure[:count]),
        audit=sorted(audit.tolist()),
        proposal=open_objects[proposed].tolist(),
        proposal_classes=[str(forecast.classes[k]) for k in shares[proposed].argmax(axis=1)],
        proposal_confidence=[float(value) for value in sure[proposed]],
        accuracy=settings.accuracy,
        delta=delta,
        reserve=unsure[count:],
    )


def _proposal_size(
    sure: NDArray[np.float64],
    known: NDArray[np.float64],
    right: NDArray[np.bool_],
    accuracy: float,
    delta: float,
    *,
    least: float,
    caution: float,
) -> tuple[int, int]:
    """How many of the surest objects to propose and how many of them to audit; (0, 0) where it is not worth it.

    What is weighed: the chance that the audit passes times the labels it would save, against what it asks of people.
    The chance comes from a Beta-binomial forecast of the wrong labels in the audit: the model's own confidence in the
    proposed objects (``sure``, falling) counts as much as ``PRIOR`` objects, beside the labeled ones that it is as sure
    of (``known``, and whether it was ``right``). A wrong forecast costs an audit, never the promise.

    Args:
        least: the share of these objects that it must be expected to save.
        caution: wrong labels to reckon with beyond those seen.
    """
    from scipy.stats import betabinom

    best, choice = least * len(sure), (0, 0)
    for size in sorted({round(len(sure) * share / 100) for share in SHARES} - {0}, reverse=True):
        above = known >= sure[size - 1]
        doubt = float(np.mean(1 - sure[:size])) + 1e-4
        wrong = float(np.sum(~right[above])) + PRIOR * doubt + caution
        fine = float(np.sum(right[above])) + PRIOR * (1 - doubt)
        for spare in range(SPARE + 1):
            sample = _audit_size(size, spare, 1 - accuracy, delta * PARTS[0][1])
            # A larger audit than this one saves less still, even if it were certain to pass.
            if sample is None or size - sample - ASKING * sample <= best:
                break
            passes = float(betabinom.cdf(spare, sample, wrong, fine))
            saved = passes * (size - sample) - ASKING * sample
            if saved > best:
                best, choice = saved, (size, sample)
    return choice


def _audit_size(size: int, wrong: int, allowed: float, delta: float) -> int | None:
    """The smallest sample that passes with so many wrong labels in it; ``None`` where half of all is too few."""

    def passes(sample: int) -> bool:
        return most_bad(size, sample, wrong, delta) - wrong <= allowed * (size - sample)

    low, high = max(1, wrong), size // 2
    if high < low or not passes(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle + 1, high)
    return low


def _known(
    model: LabelModel, human: Mapping[int, str], drawn: Container[int]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidence and rightness on objects drawn at random, each seen by the model that has not learned from it.

    The objects that were queried for being hard would make everything look hard.
    """
    confidence, right = model.left_out_confidence()
    mask = np.array([number in drawn for number in sorted(human)], dtype=bool)
    return confidence[mask], right[mask]


def _unlike(
    features: NDArray[np.float32], objects: NDArray[np.int64], shares: NDArray[np.float64], count: int
) -> NDArray[np.int64]:
    """Places of up to ``count`` of these objects, with small margins and different from each other.

    Of the objects with the smallest margins, the one farthest from those already taken is next (core-set selection,
    Sener and Savarese, ICLR 2018, within the uncertain ones).
    """
    if count <= 0 or not len(shares):
        return np.array([], dtype=np.int64)
    top = np.sort(shares, axis=1)
    unsure = np.argsort(top[:, -1] - top[:, -2], kind="stable")[: count * CANDIDATES]
    if len(unsure) <= count:
        return unsure
    rows = features[objects[unsure]]
    taken = [0]
    distance = ((rows - rows[0]) ** 2).sum(axis=1)
    # Half by margin alone: the least sure object is worth most, however like another it is.
    for index in range(1, len(unsure)):
        if len(taken) == count:
            break
        nearest = index if len(taken) < count // 2 else int(np.argmax(distance))
        taken.append(nearest)
        distance = np.minimum(distance, ((rows - rows[nearest]) ** 2).sum(axis=1))
        distance[taken] = -1
    chosen: NDArray[np.int64] = unsure[taken]
    return chosen
