"""Accuracy, calibration and seconds of consolidated class labels, ours and crowd-kit's in the same run.

`python -m benchmarks.consolidation [--quick]`. Accuracy is the expectation over ties: where several classes are equally
probable, the method gets the share that a fair draw would. ECE is the expected calibration error in ten equal bins.
Nothing here is chosen by the truth of the set that is scored. `--quick` leaves out sets of more than 20,000 answers.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trueground.consolidation import METHODS
from trueground.consolidation.crowd import Crowd
from trueground.consolidation.methods import make_model

Floats = NDArray[np.float64]
CROWD_KIT = ("MajorityVote", "Wawa", "OneCoinDawidSkene", "DawidSkene")
QUICK_ANSWERS = 20_000


@dataclass(frozen=True)
class CrowdSet:
    """One data set: its answers, and the true class of some of its tasks."""

    name: str
    crowd: Crowd
    answers: pd.DataFrame  # task, worker, label as indices, as crowd-kit wants them
    truth: Floats  # [n, 2]: task, class; -1 for a class that nobody ever answered


def load_sets(folder: Path, *, quick: bool = False) -> list[CrowdSet]:
    """All data sets below ``folder``."""
    sets = [read_set(path.parent) for path in sorted(folder.glob("*/answers.csv"))]
    return [one for one in sets if not quick or len(one.crowd) <= QUICK_ANSWERS]


def read_set(folder: Path) -> CrowdSet:
    """Read ``answers.csv`` (task, worker, label) and ``gt.csv`` (task, truth)."""
    answers = pd.read_csv(folder / "answers.csv", dtype=str, keep_default_na=False)
    answers = answers.drop_duplicates(["task", "worker"], keep="last")
    truth = pd.read_csv(folder / "gt.csv", dtype=str, keep_default_na=False)
    columns, names = {}, {}
    for name in ("task", "worker", "label"):
        columns[name], names[name] = pd.factorize(answers[name], sort=name == "label")
    crowd = Crowd.of(*columns.values(), *(len(values) for values in names.values()))
    task = pd.Index(names["task"]).get_indexer(truth["task"])
    label = pd.Index(names["label"]).get_indexer(truth["truth"])
    return CrowdSet(folder.name, crowd, pd.DataFrame(columns), np.stack([task, label], axis=1)[task >= 0])


def posterior_of(method: str, one: CrowdSet) -> Floats:
    """Probabilities [n_tasks, n_classes] by one of our methods, or by ``crowd-kit <name>``."""
    if not method.startswith("crowd-kit "):
        return make_model(method).fit(one.crowd).posterior_
    import crowdkit.aggregation

    model = getattr(crowdkit.aggregation, method.removeprefix("crowd-kit "))()
    found = model.fit_predict_proba(one.answers)
    return found.reindex(index=range(one.crowd.n_tasks), columns=range(one.crowd.n_classes), fill_value=0.0).to_numpy()


def accuracy(posterior: Floats, truth: Floats) -> float:
    """Share of right labels, in percent, expected over ties."""
    rows = posterior[truth[:, 0]]
    best = rows >= rows.max(axis=1, keepdims=True) - 1e-9
    known = truth[:, 1] >= 0
    hit = best[np.arange(len(truth)), truth[:, 1]] & known
    return 100 * float((hit / best.sum(axis=1)).mean())


def accuracy_of(method: str, one: CrowdSet) -> float:
    """:func:`accuracy` of a method on a set."""
    return accuracy(posterior_of(method, one), one.truth)


def calibration_error(posterior: Floats, truth: Floats, bins: int = 10) -> float:
    """Mean distance of confidence from accuracy, weighted by how many tasks are in each bin."""
    rows = posterior[truth[:, 0]]
    confidence, right = rows.max(axis=1), rows.argmax(axis=1) == truth[:, 1]
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, confidence, bins) - np.bincount(place, right, bins)
    return float(np.abs(gaps).sum() / len(truth))


def measure(sets: list[CrowdSet]) -> pd.DataFrame:
    """A row for each method: accuracy on each set, then the means of accuracy and ECE, and seconds in all."""
    table = {}
    for method in (*METHODS, *(f"crowd-kit {name}" for name in CROWD_KIT)):
        scores, errors, start = {}, [], time.perf_counter()
        try:
            for one in sets:
                posterior = posterior_of(method, one)
                scores[one.name] = accuracy(posterior, one.truth)
                errors.append(calibration_error(posterior, one.truth))
        except Exception as error:  # not ours: Wawa needs a scikit-learn that this project does not use
            print(f"{method}: does not run here ({type(error).__name__}: {str(error).splitlines()[0][:80]})")
            continue
        seconds = time.perf_counter() - start
        table[method] = scores | {"MEAN": np.mean(list(scores.values())), "ECE": np.mean(errors), "s": seconds}
        print(f"{method}: {table[method]['MEAN']:.2f} %, {seconds:.1f} s", flush=True)
    return pd.DataFrame(table)


def one_million() -> float:
    """Seconds for a million answers: 200,000 tasks, 10,000 workers, 10 classes."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 10, 200_000)
    tasks, workers = np.repeat(np.arange(200_000), 5), rng.integers(0, 10_000, 1_000_000)
    right = rng.random(1_000_000) < rng.beta(4, 2, 10_000)[workers]
    labels = np.where(right, truth[tasks], rng.integers(0, 10, 1_000_000))
    return seconds_of(partial(make_model("ensemble").fit, Crowd.of(tasks, workers, labels, 200_000, 10_000, 10)))


def seconds_of(work: Callable[[], object]) -> float:
    """Wall-clock seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Measure what is there."""
    quick = "--quick" in sys.argv[1:]
    folder = Path(os.environ.get("TRUEGROUND_BENCH_DATA", "../shared/data")) / "crowd"
    sets = load_sets(folder, quick=quick)
    if not sets:
        print(
            f"skipped: no */answers.csv below {folder}; set TRUEGROUND_BENCH_DATA to the folder of the benchmark data"
        )
        return
    table = measure(sets)
    print("\nAccuracy in percent for each set, its mean, expected calibration error, seconds for all sets")
    print(table.to_string(float_format=lambda value: f"{value:.2f}"))
    if not quick:
        print(f"\nensemble, one million answers: {one_million():.1f} s")


if __name__ == "__main__":
    main()
