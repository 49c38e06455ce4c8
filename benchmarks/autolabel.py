"""Share of objects that people must label, and how often the promise breaks, ours beside the usual rule.

`python -m benchmarks.autolabel [--quick]`. Pools of 2,000 objects; the machine's labels are to be 95 % right with 95 %
confidence; people know the truth. "usual" is what Ground Truth documents: people label a validation set (20 % of the
pool, drawn at random), and what the model is surer of than a threshold is labeled by machine, the lowest threshold at
which 95 % of that set are right; the model is logistic regression on objects with small margins. Both use the same
features, budgets and rounds. `broke` is the share of runs in which fewer than 95 % of the machine's labels were right.
"""

from __future__ import annotations

import csv
import io
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from trueground.autolabel.choose import AutoLabelSettings
from trueground.autolabel.features import image_features, text_pool_features
from trueground.autolabel.simulate import SimulatedRun, simulate_rounds

Features = NDArray[np.float32]
POOL, FIRST, EACH, ROUNDS = 2000, 100, 50, 20
VALIDATION = 0.2
PROMISE = AutoLabelSettings(accuracy=0.95, confidence=0.95)
SETS = ("digits", "sms_spam", "mnist10k", "banking77", "subj", "trec", "fashion10k", "ag_news")
QUICK_SETS, QUICK_SEEDS, SEEDS = ("digits", "sms_spam", "mnist10k"), 4, 20


def pools(folder: Path, name: str, seeds: int) -> Iterator[tuple[Features, NDArray[np.str_]]]:
    """A pool of features and true classes for each seed; nothing where the data set is not there."""
    if name == "digits":
        digits = load_digits()
        yield from image_pools((digits.images * 255 / 16).astype(np.uint8), digits.target.astype(str), seeds)
    elif (folder / name / "data.npz").exists():
        with np.load(folder / name / "data.npz", allow_pickle=False) as data:
            yield from image_pools(data["X"], data["y"].astype(str), seeds)
    elif (folder / name / "data.csv").exists():
        with open(folder / name / "data.csv", newline="", encoding="utf-8") as file:
            rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
        for chosen in samples(len(rows), seeds):
            features = text_pool_features(rows[i][0] for i in chosen)
            yield features, np.array([rows[i][1] for i in chosen])


def image_pools(
    images: NDArray[np.uint8], classes: NDArray[np.str_], seeds: int
) -> Iterator[tuple[Features, NDArray[np.str_]]]:
    """Pools of images: through PNG files, as a labeling project would have them."""
    features = image_features(png(image) for image in images)
    for chosen in samples(len(classes), seeds):
        yield features[chosen], classes[chosen]


def png(image: NDArray[np.uint8]) -> bytes:
    """An image file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def samples(count: int, seeds: int) -> Iterable[NDArray[np.int64]]:
    """Object numbers of each pool."""
    return (np.random.default_rng([seed, 7]).permutation(count)[:POOL] for seed in range(seeds))


def usual_rule(features: Features, truth: NDArray[np.str_], seed: int) -> SimulatedRun:
    """Label by a threshold that a validation set chose, in every round."""
    order = np.random.default_rng(seed).permutation(len(truth))
    cut = round(len(truth) * VALIDATION)
    validation, train, pool = order[:cut], order[cut : cut + FIRST], order[cut + FIRST :]
    machine, wrong = 0, 0
    while len(pool):
        if len(set(truth[train].tolist())) > 1:
            model = LogisticRegression(C=10, max_iter=300).fit(features[train], truth[train])
            threshold = lowest_threshold(model, features[validation], truth[validation])
            shares = model.predict_proba(features[pool])
            sure = shares.max(axis=1) >= threshold
            guesses = model.classes_[shares.argmax(axis=1)]
            machine += int(sure.sum())
            wrong += int((guesses[sure] != truth[pool[sure]]).sum())
            pool, shares = pool[~sure], np.sort(shares[~sure], axis=1)
            pool = pool[np.argsort(shares[:, -1] - shares[:, -2], kind="stable")]
        train, pool = np.concatenate([train, pool[:EACH]]), pool[EACH:]
    return SimulatedRun(len(truth), len(truth) - machine, machine, wrong)


def lowest_threshold(model: LogisticRegression, features: Features, truth: NDArray[np.str_]) -> float:
    """The confidence from which on the promised share of a validation set is right."""
    shares = model.predict_proba(features)
    order = np.argsort(-shares.max(axis=1), kind="stable")
    right = model.classes_[shares.argmax(axis=1)[order]] == truth[order]
    good = np.flatnonzero(np.cumsum(right) / np.arange(1, len(right) + 1) >= PROMISE.accuracy)
    return float(shares.max(axis=1)[order[good[-1]]]) if len(good) else np.inf


def summary(runs: list[SimulatedRun]) -> str:
    """Human share, its spread, error of the machine's labels, and share of broken promises."""
    shares = [run.human_share for run in runs]
    error = np.mean([run.wrong / run.machine for run in runs if run.machine] or [0])
    broke = np.mean([run.breaks(PROMISE.accuracy) for run in runs])
    return f"{np.mean(shares):6.1%} ±{np.std(shares):5.1%} {error:6.1%} {broke:6.0%}"


def main() -> None:
    """Measure what is there."""
    quick = "--quick" in sys.argv[1:]
    folder = Path(os.environ.get("TRUEGROUND_BENCH_DATA", "../shared/data")) / "autolabel"
    seeds = QUICK_SEEDS if quick else SEEDS
    print(f"{POOL} objects a pool, {seeds} pools, {FIRST} objects first, {EACH} a round, {ROUNDS} rounds at the most")
    print(f"{'':12}{'audited: human':>16} {'error':>6} {'broke':>6}   {'usual: human':>14} {'error':>6} {'broke':>6}")
    for name in QUICK_SETS if quick else SETS:
        start, ours, usual = time.perf_counter(), [], []
        for seed, (features, truth) in enumerate(pools(folder, name, seeds)):
            ours.append(
                simulate_rounds(features, truth, settings=PROMISE, first=FIRST, each=EACH, rounds=ROUNDS, seed=seed)
            )
            usual.append(usual_rule(features, truth, seed))
        if not ours:
            print(f"{name:12}skipped: not below {folder}; TRUEGROUND_BENCH_DATA names the folder of the benchmark data")
            continue
        print(f"{name:12}{summary(ours)}   {summary(usual)}   {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
