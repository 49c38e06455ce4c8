"""How many answers auto-labeling needs, and how often it breaks its promise, beside the usual rule.

The usual rule takes a random fifth as validation set, trains on it and on uncertain objects, and accepts everything
above the confidence at which the validation set is right often enough. Ours audits what it is about to accept.
People are perfect here: what is measured is the method, not the crowd.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from pathlib import Path

import numpy as np

from trueground.autolabel.audit import settle_round
from trueground.autolabel.choose import AutoLabelSettings, plan_round
from trueground.autolabel.features import text_features
from trueground.autolabel.model import LabelModel

POOL, TARGET, CONFIDENCE, FIRST, EACH, ROUNDS = 2000, 0.95, 0.95, 100, 100, 8


def main() -> int:
    """Print a row for each data set found."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="fewer sets and seeds")
    quick = options.parse_args().quick
    folder = Path(os.environ.get("TRUEGROUND_BENCH_DATA", "../shared/data")) / "autolabel"
    if not folder.is_dir():
        print(f"skipped: no data in {folder} (set TRUEGROUND_BENCH_DATA)")
        return 0
    seeds = range(3 if quick else 10)
    print(f"pool {POOL}, target {TARGET:.0%} with {CONFIDENCE:.0%} confidence, {len(seeds)} seeds")
    print(
        f"{'set':12}{'people':>9}{'broke':>8}{'error':>8}   {'usual rule: people':>18}{'broke':>8}{'seconds a run':>15}"
    )
    sets = ("sms_spam", "mnist10k") if quick else sorted(path.name for path in folder.iterdir())
    for name in sets:
        rows, truth = load(folder / name)
        start = time.perf_counter()
        ours = [audited(*draw(rows, truth, seed), seed) for seed in seeds]
        seconds = (time.perf_counter() - start) / len(seeds)
        usual = [validated(*draw(rows, truth, seed), seed) for seed in seeds]
        people, error = np.mean(ours, axis=0)
        broke = np.mean([wrong > 1 - TARGET for _, wrong in ours])
        usual_broke = np.mean([wrong > 1 - TARGET for _, wrong in usual])
        print(
            f"{name:12}{people:9.1%}{broke:8.0%}{error:8.2%}   {np.mean(usual, axis=0)[0]:18.1%}{usual_broke:8.0%}"
            f"{seconds:15.1f}",
            flush=True,
        )
    return 0


def load(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Features ``[objects, features]`` and class names."""
    if (folder / "data.npz").exists():
        data = np.load(folder / "data.npz")
        keys = sorted(data.files, key=lambda key: -data[key].ndim)
        images = data[keys[0]].reshape(len(data[keys[0]]), -1).astype(np.float32) / 255
        return images, data[keys[-1]].astype(str)
    with (folder / "data.csv").open(encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle))
    label = "label" if "label" in lines[0] else list(lines[0])[-1]
    text = "text" if "text" in lines[0] else next(key for key in lines[0] if key != label)
    chosen = np.random.default_rng(0).permutation(len(lines))[: 4 * POOL]
    return text_features([lines[i][text] for i in chosen]), np.array([lines[i][label] for i in chosen])


def draw(rows: np.ndarray, truth: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A pool drawn at random."""
    chosen = np.random.default_rng(seed).permutation(len(rows))[:POOL]
    return rows[chosen], truth[chosen]


def audited(rows: np.ndarray, truth: np.ndarray, seed: int) -> tuple[float, float]:
    """Our rounds: share of objects that people label, and error of the machine labels."""
    human: dict[int, str] = {}
    machine: dict[int, str] = {}
    drawn: set[int] = set()
    model, proposals = None, 0
    for number in range(1, ROUNDS):
        plan = plan_round(
            rows,
            human=human,
            machine=machine,
            classes=sorted(set(truth)),
            model=model,
            drawn=drawn,
            settings=AutoLabelSettings(TARGET, CONFIDENCE),
            round=number,
            proposals=proposals,
            budget=FIRST if number == 1 else EACH,
            seed=seed,
        )
        proposals += bool(plan.proposal)
        drawn |= {*plan.audit, *(plan.query if number == 1 else ())}
        human |= {i: str(truth[i]) for i in (*plan.query, *plan.audit)}
        settlement = settle_round(plan, human)
        machine |= dict(zip(settlement.accepted, settlement.classes, strict=True))
        if len(human) + len(machine) == len(rows):
            break
        known = sorted(human)
        model = LabelModel().fit(rows[known], [human[i] for i in known])
    wrong = sum(truth[i] != label for i, label in machine.items())
    return 1 - len(machine) / len(rows), wrong / max(1, len(machine))


def validated(rows: np.ndarray, truth: np.ndarray, seed: int) -> tuple[float, float]:
    """The usual rule, with the same model: threshold by the accuracy measured on a random fifth."""
    order = np.random.default_rng([seed, 1]).permutation(len(rows))
    check, rest = order[: len(rows) // 5], order[len(rows) // 5 :]
    known, rest = rest[:FIRST], rest[FIRST:]
    for _ in range(3):
        model = LabelModel().fit(rows[known], truth[known])
        shares = np.sort(model.predict_proba(rows[rest]), axis=1)
        hardest = np.argsort(shares[:, -1] - shares[:, -2])[:EACH]
        known, rest = np.concatenate([known, rest[hardest]]), np.delete(rest, hardest)
    model = LabelModel().fit(rows[known], truth[known])
    shares = model.predict_proba(rows[check])
    sure, right = shares.max(axis=1), model.classes_[shares.argmax(axis=1)] == truth[check]
    falling = np.argsort(-sure)
    good = np.flatnonzero(np.cumsum(right[falling]) / np.arange(1, len(check) + 1) >= TARGET)
    if not len(good):
        return 1.0, 0.0
    shares = model.predict_proba(rows[rest])
    taken = shares.max(axis=1) >= sure[falling][good[-1]]
    wrong = model.classes_[shares.argmax(axis=1)][taken] != truth[rest][taken]
    return 1 - taken.sum() / len(rows), float(wrong.mean()) if len(wrong) else 0.0


if __name__ == "__main__":
    sys.exit(main())
