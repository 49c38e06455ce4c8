"""The algorithms by name, for who wants a particular one."""

from __future__ import annotations

from collections.abc import Callable

from trueground.consolidation.bayesian_combination import BayesianCombination
from trueground.consolidation.crowd import Model
from trueground.consolidation.dawid_skene import DawidSkene
from trueground.consolidation.ensemble import Ensemble
from trueground.consolidation.majority_vote import MajorityVote
from trueground.consolidation.one_coin import OneCoin
from trueground.errors import InputError

METHODS: dict[str, Callable[[], Model]] = {
    "ensemble": Ensemble,
    "majority": MajorityVote,
    "one-coin": OneCoin,
    "dawid-skene": DawidSkene,
    "bayesian-combination": BayesianCombination,
}
DEFAULT_METHOD = "ensemble"


def make_model(method: str) -> Model:
    """A new model of this name, with its default settings.

    Raises:
        InputError: there is no such method.
    """
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}", field="method", hint=f"Use one of {', '.join(METHODS)}.")
    return METHODS[method]()
