"""How many reviews an audit needs for the same width of interval, drawn by the model's doubt beside plain sampling.

Run `python -m benchmarks.audits [--quick]`. A model that learned from 300 objects labels the rest of a pool; the error
rate of those labels is audited. The first column of each way is the number of different objects reviewed until the
interval is as narrow as plain sampling makes it with `REVIEWS`; coverage is the share of seeds whose sequence never
excluded the true rate, at any of its looks. `variance` bounds what drawing by the model's confidence can save: see
`least_variance`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from benchmarks.autolabel import pools
from trueground.autolabel.model import LabelModel
from trueground.quality.prediction_powered import AuditDesign, audit
from trueground.quality.sequences import GUESSED, PREDICTED, Betting, ConfidenceSequence

LABELED, REVIEWS, NIGHT, CONFIDENCE = 300, 300, 30, 0.95
SETS = ("digits", "sms_spam", "mnist10k", "subj", "trec", "fashion10k", "ag_news", "banking77")
QUICK_SETS, QUICK_SEEDS, SEEDS = ("digits", "mnist10k"), 10, 200

Bools = NDArray[np.bool_]


def machine_labels(features: NDArray[np.float32], truth: NDArray[np.str_]) -> tuple[NDArray[np.float64], Bools]:
    """Confidence of the machine's labels, and which are wrong, ``[objects]`` each."""
    order = np.random.default_rng(0).permutation(len(truth))
    known, rest = order[:LABELED], order[LABELED:]
    model = LabelModel().fit(features[known], truth[known])
    shares = model.predict_proba(features[rest])
    return shares.max(axis=1), model.classes_[shares.argmax(axis=1)] != truth[rest]


class Watched(ConfidenceSequence):
    """A sequence that keeps its width by number of objects reviewed, and whether it covered at all of its looks."""

    def __init__(self, wrong: Bools, betting: Betting) -> None:
        super().__init__(CONFIDENCE, betting)
        self.wrong, self.rate = wrong, float(wrong.mean())
        self.widths, self.covered = [1.0], True

    def review(self, number: int) -> bool:
        """Review one more object."""
        self.widths.append(0.0)
        return bool(self.wrong[number])

    def add(self, *observation: float, **hints: float) -> None:
        """Take an observation, and look."""
        super().add(*observation, **hints)
        self.widths[-1] = self.upper - self.lower
        self.covered &= self.lower <= self.rate <= self.upper


def plain(wrong: Bools, seed: int) -> Watched:
    """Plain sampling. An object that is drawn again counts in the interval, and needs no second review."""
    design, found = AuditDesign.uniform(len(wrong)), Watched(wrong, GUESSED)
    draws = design.draw(4 * REVIEWS, [seed, 5])
    fresh = np.sort(np.unique(draws, return_index=True)[1])
    audit(design, draws[: fresh[REVIEWS]] if len(fresh) > REVIEWS else draws, found.review, found)
    return found


def active(confidence: NDArray[np.float64], wrong: Bools, seed: int) -> Watched:
    """Audits as they are: a night draws by doubt, from what nobody judged before."""
    found, known = Watched(wrong, PREDICTED), dict[int, bool]()
    while len(known) < REVIEWS:
        design = AuditDesign.active(confidence, known)
        draws = design.draw(min(NIGHT, REVIEWS - len(known)), [seed, len(known)])
        known |= audit(design, draws, found.review, found)
    return found


def measure(confidence: NDArray[np.float64], wrong: Bools, seeds: int) -> tuple[float, float, float, float]:
    """Width of plain sampling, the share of its reviews that are needed for it, and both coverages."""
    ways = [[plain(wrong, seed) for seed in range(seeds)], [active(confidence, wrong, seed) for seed in range(seeds)]]
    usual, own = (np.mean([found.widths for found in way], axis=0) for way in ways)
    enough = np.flatnonzero(own <= usual[-1])
    needed = float(enough[0]) / REVIEWS if len(enough) else np.inf
    covered = [float(np.mean([found.covered for found in way])) for way in ways]
    return float(usual[-1]), needed, covered[0], covered[1]


def least_variance(confidence: NDArray[np.float64], wrong: Bools) -> float:
    """What no way to draw by this confidence can undercut: the least variance of a review, as a share of plain's.

    The confidence is calibrated on the errors themselves, which no audit knows.
    """
    chance = IsotonicRegression(y_min=0, y_max=1, increasing=False).fit(confidence, wrong).predict(confidence)
    return float(np.sqrt(chance * (1 - chance)).mean() ** 2 / (wrong.mean() * (1 - wrong.mean())))


def main() -> None:
    """Measure what is there."""
    quick = "--quick" in sys.argv[1:]
    folder = Path(os.environ.get("TRUEGROUND_BENCH_DATA", "../shared/data")) / "autolabel"
    seeds = QUICK_SEEDS if quick else SEEDS
    print(f"{seeds} seeds, width of plain sampling after {REVIEWS} reviews, sequences of {CONFIDENCE:.0%} confidence")
    print(
        f"{'':12}{'error':>7}{'width':>8}{'reviews':>9}{'fewer':>8}{'variance':>10}{'covers: plain':>15}{'active':>8}"
    )
    for name in QUICK_SETS if quick else SETS:
        pool = next(pools(folder, name, 1), None)
        if pool is None:
            print(f"{name:12}skipped: not below {folder}; TRUEGROUND_BENCH_DATA names the folder of the benchmark data")
            continue
        confidence, wrong = machine_labels(*pool)
        width, needed, covered, covered_by_doubt = measure(confidence, wrong, seeds)
        least = least_variance(confidence, wrong)
        fewer = f"{1 - needed:8.0%}" if np.isfinite(needed) else f"{'none':>8}"
        reviews = f"{needed * REVIEWS:9.0f}" if np.isfinite(needed) else f"{f'>{REVIEWS}':>9}"
        print(
            f"{name:12}{wrong.mean():7.1%}{width:8.3f}{reviews}{fewer}{least:10.2f}{covered:15.1%}{covered_by_doubt:8.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
