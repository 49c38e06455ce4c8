"""How often the drift alarm errs, and how soon it rings.

Run `python -m benchmarks.drift [--quick]`. A reference of 600 objects, then 10 nights of 100 new ones each, all drawn
from one data set without replacement: `false` is the share of seeds in which the alarm ever rang, which is to be 5 % at
most. Then the inputs change after the third night, and `found` is the share of seeds in which it rang within seven more
nights, `nights` how many it took (median). Changes: three of ten objects come from another data set, or are of a class
that was not there before (the first by name with objects enough). `seconds` is the time that the seeds of a data set
took.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.autolabel import png
from trueground.autolabel.features import image_features, text_features
from trueground.quality.drift import DriftTest, InputScores

REFERENCE, NIGHTS, A_NIGHT, STEADY = 600, 10, 100, 3
REPLACED = round(0.3 * A_NIGHT)
STRANGERS = REPLACED * (NIGHTS - STEADY)
FALSE_ALARMS = 0.05
SEEDS, QUICK_SEEDS = 200, 20
MOST = 5000
SETS = {"mnist10k": "fashion10k", "fashion10k": "mnist10k", "ag_news": "subj", "trec": "banking77"}
QUICK_SETS = {"mnist10k": "fashion10k"}

Features = NDArray[np.float32]


def first_alarm(pool: Features, nights: Callable[[int, Features], Features], seed: int) -> int | None:
    """The night in which the alarm rings, from 0; ``None`` where it never does.

    Args:
        pool: ``REFERENCE`` objects and ``A_NIGHT`` for each night, in random order.
        nights: makes of a night's number and objects what really comes.
        seed: breaks ties.
    """
    reference, rest = pool[:REFERENCE], pool[REFERENCE:]
    scores = InputScores(reference[::2])
    test = DriftTest(scores(reference[1::2]), FALSE_ALARMS)
    for night in range(len(rest) // A_NIGHT):
        test.add(scores(nights(night, rest[night * A_NIGHT : (night + 1) * A_NIGHT])), seed)
        if test.drifted:
            return night
    return None


def pool_of(features: Features, seed: int) -> Features:
    """A seed's reference and nights."""
    chosen = np.random.default_rng([seed, 11]).permutation(len(features))
    return features[chosen[: REFERENCE + NIGHTS * A_NIGHT]]


def strangers_of(features: Features, seed: int) -> Features:
    """What a seed's later nights bring, ``STRANGERS`` objects; ``ValueError`` where there are fewer."""
    return features[np.random.default_rng([seed, 12]).choice(len(features), STRANGERS, replace=False)]


def mixed(strangers: Features) -> Callable[[int, Features], Features]:
    """Three of ten objects of the later nights come from elsewhere, each night others of ``STRANGERS`` objects."""

    def come(night: int, objects: Features) -> Features:
        if night < STEADY:
            return objects
        start = (night - STEADY) * REPLACED
        return np.concatenate([strangers[start : start + REPLACED], objects[REPLACED:]])

    return come


def load(folder: Path, name: str) -> tuple[Features, NDArray[np.str_]] | None:
    """Features and classes of a whole data set, at most ``MOST`` objects; ``None`` where it is not there."""
    if (folder / name / "data.npz").exists():
        with np.load(folder / name / "data.npz", allow_pickle=False) as data:
            return image_features(png(image) for image in data["X"][:MOST]), data["y"][:MOST].astype(str)
    if (folder / name / "data.csv").exists():
        with open(folder / name / "data.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:MOST]]
        return text_features(row["text"] for row in rows), np.array([row["label"] for row in rows])
    return None


def main() -> None:
    """Measure what is there."""
    quick = "--quick" in sys.argv[1:]
    folder = Path(os.environ.get("TRUEGROUND_BENCH_DATA", "../shared/data")) / "autolabel"
    seeds = QUICK_SEEDS if quick else SEEDS
    print(
        f"{seeds} seeds, {REFERENCE} reference objects, {NIGHTS} nights of {A_NIGHT}, false alarms {FALSE_ALARMS:.0%}"
    )
    print(f"{'':12}{'false':>8}   {'change':24}{'found':>8}{'nights':>8}{'seconds':>9}")
    for name, other in (QUICK_SETS if quick else SETS).items():
        loaded, stranger = load(folder, name), load(folder, other)
        if loaded is None or stranger is None:
            print(f"{name:12}skipped: not below {folder}; TRUEGROUND_BENCH_DATA names the folder of the benchmark data")
            continue
        features, classes = loaded
        first = classes == min(label for label, count in Counter(classes.tolist()).items() if count >= STRANGERS)
        began = time.monotonic()
        steady: list[int | None] = []
        changed: dict[str, list[int | None]] = {f"30 % {other}": [], "30 % a new class": []}
        for seed in range(seeds):
            steady.append(first_alarm(pool_of(features, seed), lambda _, objects: objects, seed))
            for rang, known, new in zip(
                changed.values(), (features, features[~first]), (stranger[0], features[first]), strict=True
            ):
                rang.append(first_alarm(pool_of(known, seed), mixed(strangers_of(new, seed)), seed))
        seconds = time.monotonic() - began
        false = np.mean([night is not None for night in steady])
        for change, rang in changed.items():
            took = [night - STEADY + 1 for night in rang if night is not None and night >= STEADY]
            found = f"{len(took) / seeds:8.0%}{np.median(took) if took else np.nan:8.0f}"
            print(f"{name:12}{false:8.1%}   {change:24}{found}{seconds:9.0f}", flush=True)


if __name__ == "__main__":
    main()
