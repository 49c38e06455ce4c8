"""Rounds with people who know the truth: what would auto-labeling have cost, and would it have kept its promise?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trueground.autolabel.audit import settle_round
from trueground.autolabel.choose import AutoLabelSettings, Forecast, plan_round
from trueground.autolabel.model import LabelModel


@dataclass(frozen=True)
class SimulatedRun:
    """What became of every object. Counts are data objects; ``wrong`` of the ``machine`` labels were not the truth."""

    objects: int
    human: int
    machine: int
    wrong: int

    @property
    def human_share(self) -> float:
        """The share of objects that people labeled."""
        return self.human / self.objects

    def breaks(self, accuracy: float) -> bool:
        """Whether fewer than the promised share of the machine labels are right."""
        return self.wrong > (1 - accuracy) * self.machine + 1e-9


def simulate_rounds(
    features: NDArray[np.float32],
    truth: NDArray[np.str_],
    *,
    settings: AutoLabelSettings,
    first: int,
    each: int,
    rounds: int,
    seed: int,
    mistakes: float = 0.0,
    earlier: LabelModel | None = None,
) -> SimulatedRun:
    """Run the rounds to their end, as a labeling project does.

    Args:
        features: of all objects, ``[objects, features]``.
        truth: their classes, ``[objects]``.
        settings: the promise.
        first, each: objects that people label in the first and in each later round.
        rounds: the most rounds; in the last one, people label all that is left.
        seed: decides what is drawn at random, and who errs.
        mistakes: the share of human labels that are wrong, each another class at random.
        earlier: a model from an earlier night, for the first round.
    """
    randomness = np.random.default_rng([seed, 1])
    classes = sorted(set(truth.tolist()))
    errs = randomness.random(len(truth)) < mistakes
    step = randomness.integers(1, max(2, len(classes)), len(truth))
    human: dict[int, str] = {}
    machine: dict[int, str] = {}
    drawn: set[int] = set()
    forecast = None if earlier is None else Forecast.of_earlier(earlier, earlier.predict_proba(features))
    proposals = 0

    def ask(objects: list[int]) -> None:
        for i in objects:
            known = classes.index(str(truth[i]))
            human[i] = classes[(known + (int(step[i]) if errs[i] else 0)) % len(classes)]

    for number in range(1, rounds):
        plan = plan_round(
            features,
            human=human,
            machine=machine,
            forecast=forecast,
            settings=settings,
            round=number,
            proposals=proposals,
            budget=first if number == 1 else each,
            seed=seed,
            rounds=rounds,
        )
        ask([*plan.query, *plan.audit])
        drawn.update(plan.audit, plan.query if plan.at_random else ())
        if plan.proposal:
            proposals += 1
            settled = settle_round(plan, human)
            machine.update(zip(settled.accepted, settled.classes, strict=True))
        if len(human) + len(machine) == len(truth):
            break
        labeled = np.array(sorted(human))
        targets = np.array([human[i] for i in labeled])
        if len(set(targets.tolist())) > 1:
            model = LabelModel().fit(features[labeled], targets)
            forecast = Forecast.of(model, features, human, drawn)
        else:
            forecast = None
    ask([i for i in range(len(truth)) if i not in human and i not in machine])
    wrong = sum(truth[i] != name for i, name in machine.items())
    return SimulatedRun(len(truth), len(human), len(machine), int(wrong))
