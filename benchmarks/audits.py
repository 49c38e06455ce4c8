"""How many reviews an audit needs for the same width of interval, drawn by the model's doubt beside plain sampling.

Run `python -m benchmarks.audits [--quick]`. A model that learned from 300 objects labels the rest of a pool; the error
rate of those labels is audited. The first column of each way is the number of different objects reviewed until the
interval is as narrow as plain sampling makes it with `REVIEWS`; coverage is the share of seeds whose sequence never
excluded the true rate, at any of its looks.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.autolabel import pools
from trueground.autolabel.model import LabelModel
from trueground.quality.prediction_powered import AuditDesign, audit
from trueground.quality.sequences import ConfidenceSequence

LABELED, REVIEWS, CONFIDENCE = 300, 300, 0.95
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


def widths(design: AuditDesign, wrong: Bools, seed: int) -> tuple[NDArray[np.float64], bool]:
    """The interval's width by number of objects reviewed, from 0 to ``REVIEWS``, and whether it always covered."""
    sequence, seen, found, covered = ConfidenceSequence(CONFIDENCE), set(), [1.0], True
    rate = float(wrong.mean())
    for drawn in design.draw(4 * REVIEWS, [seed, 5]).tolist():
        if drawn not in seen and len(seen) == REVIEWS:
            break
        fresh = drawn not in seen
        seen.add(drawn)
        audit(design, [drawn], lambda i: bool(wrong[i]), sequence)
        covered &= sequence.lower <= rate <= sequence.upper
        if fresh:
            found.append(0.0)
        found[-1] = sequence.upper - sequence.lower
    return np.array(found), covered


def measure(confidence: NDArray[np.float64], wrong: Bools, seeds: int) -> tuple[float, float, float, float]:
    """Width of plain sampling, the share of its reviews that are needed for it, and both coverages."""
    ways = (AuditDesign.uniform(len(wrong)), AuditDesign.active(confidence))
    runs = [[widths(design, wrong, seed) for seed in range(seeds)] for design in ways]
    plain, active = (np.mean([run[0][: REVIEWS + 1] for run in way], axis=0) for way in runs)
    enough = np.flatnonzero(active <= plain[-1])
    needed = float(enough[0]) / REVIEWS if len(enough) else np.inf
    covered = [float(np.mean([run[1] for run in way])) for way in runs]
    return float(plain[-1]), needed, covered[0], covered[1]


def main() -> None:
    """Measure what is there."""
    quick = "--quick" in sys.argv[1:]
    folder = Path(os.environ.get("TRUEGROUND_BENCH_DATA", "../shared/data")) / "autolabel"
    seeds = QUICK_SEEDS if quick else SEEDS
    print(f"{seeds} seeds, width of plain sampling after {REVIEWS} reviews, sequences of {CONFIDENCE:.0%} confidence")
    print(f"{'':12}{'error':>7}{'width':>8}{'reviews':>9}{'fewer':>8}{'covers: plain':>15}{'active':>8}")
    for name in QUICK_SETS if quick else SETS:
        pool = next(pools(folder, name, 1), None)
        if pool is None:
            print(f"{name:12}skipped: not below {folder}; TRUEGROUND_BENCH_DATA names the folder of the benchmark data")
            continue
        confidence, wrong = machine_labels(*pool)
        width, needed, plain, active = measure(confidence, wrong, seeds)
        fewer = f"{1 - needed:8.0%}" if np.isfinite(needed) else f"{'none':>8}"
        reviews = f"{needed * REVIEWS:9.0f}" if np.isfinite(needed) else f"{f'>{REVIEWS}':>9}"
        print(f"{name:12}{wrong.mean():7.1%}{width:8.3f}{reviews}{fewer}{plain:15.1%}{active:8.1%}", flush=True)


if __name__ == "__main__":
    main()
