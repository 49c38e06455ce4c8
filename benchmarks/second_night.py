"""The second night of a project, with the model of the first and without: how many objects people label.

Scikit-learn's 1,797 digits, one half a night, people who know the truth, the promise and the rounds of `make demo`.
"""

from __future__ import annotations

import sys

import numpy as np
from sklearn.datasets import load_digits

from benchmarks.autolabel import PROMISE, png, summary
from trueground.autolabel.features import image_features
from trueground.autolabel.model import LabelModel
from trueground.autolabel.simulate import simulate_rounds

SEEDS, QUICK_SEEDS = 10, 3
FIRST, EACH, ROUNDS = 120, 80, 7


def main() -> None:
    """Measure both."""
    digits = load_digits()
    features = image_features(png((image * 15).astype(np.uint8)) for image in digits.images)
    truth = digits.target.astype(str)
    alone, helped = [], []
    for seed in range(QUICK_SEEDS if "--quick" in sys.argv[1:] else SEEDS):
        first, second = np.array_split(np.random.default_rng(seed).permutation(len(truth)), 2)
        model = LabelModel().fit(features[first], truth[first])
        for runs, earlier in ((alone, None), (helped, model)):
            runs.append(
                simulate_rounds(
                    features[second],
                    truth[second],
                    settings=PROMISE,
                    first=FIRST,
                    each=EACH,
                    rounds=ROUNDS,
                    seed=seed,
                    earlier=earlier,
                )
            )
    print(f"{'':24}{'human':>14} {'error':>6} {'broke':>6}   of {len(alone)} nights")
    print(f"{'started at random':24}{summary(alone)}")
    print(f"{'from the current model':24}{summary(helped)}")


if __name__ == "__main__":
    main()
