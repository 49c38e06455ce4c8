import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from trueground.consolidation import METHODS, consolidate_classes, consolidate_frame
from trueground.errors import InputError

Ints = NDArray[np.int64]


def crowd(kind: str, seed: int, n_tasks: int = 400, n_workers: int = 60, k: int = 3, each: int = 5) -> tuple[Ints, ...]:
    """Tasks, workers, labels and truth of a simulated crowd."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n_tasks)
    accuracy = rng.beta(4, 2, n_workers)
    if kind == "guessers":
        accuracy = np.where(np.arange(n_workers) % 2, 1 / k, 0.9)
    confusions = np.array([np.eye(k) * a + (1 - np.eye(k)) * (1 - a) / (k - 1) for a in accuracy])
    if kind == "asymmetric":  # the last class is often taken for the first, by each worker in their own measure
        confusions[:, k - 1] = [rng.dirichlet([5, *[1] * (k - 2), 6]) for _ in range(n_workers)]
    shown = np.where(rng.random(n_tasks) < 0.2, rng.integers(0, k, n_tasks), truth) if kind == "misled" else truth
    tasks = np.repeat(np.arange(n_tasks), each)
    workers = np.concatenate([rng.choice(n_workers, each, replace=False) for _ in range(n_tasks)])
    rows = confusions[workers, shown[tasks]].cumsum(axis=1)
    labels = (rng.random(len(tasks))[:, None] * rows[:, -1:] > rows).sum(axis=1)
    return tasks, workers, labels, truth


def right(tasks: Ints, workers: Ints, labels: Ints, truth: Ints, method: str = "ensemble") -> float:
    result = consolidate_classes(
        tasks,
        workers,
        labels,
        n_tasks=len(truth),
        n_workers=workers.max() + 1,
        n_classes=truth.max() + 1,
        method=method,
    )
    return float((result.posterior.argmax(axis=1) == truth).mean())


def as_frame(tasks: Ints, workers: Ints, labels: Ints, *_: Ints) -> pd.DataFrame:
    return pd.DataFrame({"task": tasks, "worker": workers, "label": labels}).map(lambda value: f"id {value}")


@pytest.mark.parametrize("kind", ["coins", "guessers", "asymmetric"])
def test_the_ensemble_is_about_as_good_as_its_best_member_and_better_than_its_worst(kind: str) -> None:
    found = {m: np.mean([right(*crowd(kind, seed), method=m) for seed in range(4)]) for m in METHODS}
    members = [value for name, value in found.items() if name != "ensemble"]
    assert found["ensemble"] > min(members) + 0.01
    assert found["ensemble"] > max(members) - 0.015


def test_reliable_workers_are_told_from_guessers() -> None:
    tasks, workers, labels, truth = crowd("guessers", 1)
    result = consolidate_classes(tasks, workers, labels, n_tasks=len(truth), n_workers=60, n_classes=3)
    assert result.worker_accuracy[::2].min() > result.worker_accuracy[1::2].max()


def test_renaming_and_reordering_change_nothing_but_names() -> None:
    tasks, workers, labels, truth = crowd("asymmetric", 2)
    sizes = {"n_tasks": len(truth), "n_workers": 60, "n_classes": 3}
    plain = consolidate_classes(tasks, workers, labels, **sizes)
    rng = np.random.default_rng(0)
    task, worker, label, order = (rng.permutation(n) for n in (len(truth), 60, 3, len(tasks)))
    other = consolidate_classes(task[tasks][order], worker[workers][order], label[labels][order], **sizes)
    np.testing.assert_allclose(other.posterior[task][:, label], plain.posterior, atol=1e-8)
    np.testing.assert_allclose(other.worker_accuracy[worker], plain.worker_accuracy, atol=1e-8)


def test_a_tie_stays_a_tie_whatever_the_numbering() -> None:
    posterior = consolidate_classes([0, 0, 0], [0, 1, 2], [2, 0, 3], n_tasks=1, n_workers=3, n_classes=4).posterior
    assert posterior[0, 0] == posterior[0, 2] == posterior[0, 3] > posterior[0, 1]


def test_the_same_answers_give_the_same_bits() -> None:
    frame = as_frame(*crowd("coins", 3))
    pd.testing.assert_frame_equal(consolidate_frame(frame), consolidate_frame(frame), check_exact=True)


def test_the_order_of_rows_decides_only_the_order_of_the_result() -> None:
    frame = as_frame(*crowd("coins", 4, n_tasks=50, each=2))  # two answers each: many ties
    shuffled = frame.sample(frac=1, random_state=0)
    here, there = consolidate_frame(frame), consolidate_frame(shuffled)
    assert here["task"].tolist() == frame["task"].drop_duplicates().tolist()
    assert there["task"].tolist() == shuffled["task"].drop_duplicates().tolist()
    joined = here.merge(there, on="task")
    assert (joined["label_x"] == joined["label_y"]).all()
    np.testing.assert_allclose(joined["confidence_x"], joined["confidence_y"], atol=1e-8)


@pytest.mark.parametrize(("kind", "allowed"), [("misled", 0.08), ("coins", 0.08)])
def test_confidence_is_near_the_share_that_is_right(kind: str, allowed: float) -> None:
    assert abs(overconfidence(kind, "ensemble")) < allowed


def test_where_tasks_mislead_all_workers_alike_confidence_is_overstated_less_than_by_dawid_skene() -> None:
    assert overconfidence("misled", "dawid-skene") > 0.08
    assert abs(overconfidence("misled", "ensemble")) < overconfidence("misled", "dawid-skene") - 0.05


def overconfidence(kind: str, method: str) -> float:
    """Mean confidence less accuracy, over a few crowds."""
    gaps = []
    for seed in range(4):
        tasks, workers, labels, truth = crowd(kind, seed)
        sizes = {"n_tasks": len(truth), "n_workers": 60, "n_classes": 3}
        posterior = consolidate_classes(tasks, workers, labels, **sizes, method=method).posterior
        gaps.append(posterior.max(axis=1).mean() - (posterior.argmax(axis=1) == truth).mean())
    return float(np.mean(gaps))


def test_the_last_of_two_answers_of_a_worker_counts() -> None:
    frame = as_frame(*crowd("coins", 5, n_tasks=40))
    twice = consolidate_frame(pd.concat([frame.head(60).assign(label="id 0"), frame]))
    pd.testing.assert_frame_equal(twice, consolidate_frame(frame))


DEGENERATE: dict[str, Callable[[], tuple[list[int], list[int], list[int]]]] = {
    "one answer": lambda: ([0], [0], [0]),
    "one worker": lambda: (list(range(9)), [0] * 9, [0, 1, 2] * 3),
    "one class": lambda: ([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]),
    "one answer a task": lambda: (list(range(12)), [0, 1, 2] * 4, [0, 1, 1] * 4),
    "each worker answers once": lambda: ([0, 0, 0, 1, 1, 1], list(range(6)), [0, 0, 1, 1, 1, 0]),
    "no overlap of workers": lambda: ([0, 0, 1, 1], [0, 1, 2, 3], [0, 0, 1, 1]),
    "all disagree": lambda: ([0, 0, 0], [0, 1, 2], [0, 1, 2]),
    "two hundred classes": lambda: (
        np.repeat(range(200), 3).tolist(),
        [0, 1, 2] * 200,
        np.repeat(range(200), 3).tolist(),
    ),
}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("method", METHODS)
def test_degenerate_crowds_get_labels_that_someone_gave(name: str, method: str) -> None:
    frame = as_frame(*(np.array(column) for column in DEGENERATE[name]()))
    result = consolidate_frame(frame, method=method)
    assert result["task"].tolist() == frame["task"].drop_duplicates().tolist()
    assert result["confidence"].between(0, 1).all()
    if name == "one answer a task" and method not in ("ensemble", "majority"):
        return  # asked for by name, a model may know better than the one worker
    given = frame.groupby("task")["label"].agg(set)
    assert all(label in given[task] for task, label in zip(result["task"], result["label"], strict=True))
    if name == "two hundred classes":
        assert (result["confidence"] > 0.5).all()


@pytest.mark.parametrize("method", METHODS)
def test_tasks_and_workers_without_answers_and_classes_never_used_are_allowed(method: str) -> None:
    result = consolidate_classes([1, 1], [2, 0], [3, 3], n_tasks=4, n_workers=5, n_classes=6, method=method)
    assert result.posterior.shape == (4, 6) and result.worker_accuracy.shape == (5,)
    np.testing.assert_allclose(result.posterior.sum(axis=1), 1)
    assert result.posterior[1].argmax() == 3


def test_no_answers_give_no_labels() -> None:
    empty = consolidate_frame(pd.DataFrame({"task": [], "worker": [], "label": []}))
    assert empty.columns.tolist() == ["task", "label", "confidence"] and empty.empty
    result = consolidate_classes([], [], [], n_tasks=2, n_workers=0, n_classes=4)
    np.testing.assert_allclose(result.posterior, 0.25)


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        (([0, 1], [0], [0]), "equally long"),
        (([0.5], [0], [0]), "integer"),
        (([2], [0], [0]), "tasks: indices must be from 0 to 1"),
        (([0], [0], [-1]), "labels: indices"),
        (([[0]], [0], [0]), "one-dimensional"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays: tuple[list[int], ...], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        consolidate_classes(*arrays, n_tasks=2, n_workers=2, n_classes=2)


def test_frames_that_lack_something_are_refused() -> None:
    with pytest.raises(InputError, match="worker: the column is missing"):
        consolidate_frame(pd.DataFrame({"task": [1], "label": [1]}))
    with pytest.raises(InputError, match="label: the column has empty values"):
        consolidate_frame(pd.DataFrame({"task": [1], "worker": [1], "label": [None]}))
    with pytest.raises(InputError, match="unknown method"):
        consolidate_frame(pd.DataFrame({"task": [1], "worker": [1], "label": [1]}), method="oracle")


@pytest.mark.slow
def test_on_real_crowds_the_default_beats_majority_vote_and_crowd_kits_dawid_skene() -> None:
    from benchmarks.consolidation import accuracy_of, load_sets

    data = Path(os.environ.get("TRUEGROUND_BENCH_DATA", "../shared/data")) / "crowd"
    sets = load_sets(data) if data.is_dir() else []
    if not sets:
        pytest.skip(f"no crowd data below {data}; set TRUEGROUND_BENCH_DATA")
    mean = {
        name: np.mean([accuracy_of(name, one) for one in sets])
        for name in ("ensemble", "majority", "crowd-kit DawidSkene")
    }
    assert mean["ensemble"] > mean["majority"] + 1
    assert mean["ensemble"] > mean["crowd-kit DawidSkene"]
