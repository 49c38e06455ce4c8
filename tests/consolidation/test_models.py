import numpy as np
import pytest

from trueground.consolidation.bayesian_combination import BayesianCombination
from trueground.consolidation.confusions import ConfusionCounts
from trueground.consolidation.crowd import Crowd, Floats
from trueground.consolidation.dawid_skene import DawidSkene
from trueground.consolidation.evidence import answer_evidence, answer_hashes
from trueground.consolidation.majority_vote import MajorityVote
from trueground.consolidation.one_coin import OneCoin

# Dawid and Skene (1979), table 1: what five anaesthetists said of 45 patients, the first of them three times.
ANAESTHETISTS = """\
1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 2322223 4444444 2223343
1111111 2223212 1211111 1112111 1111111 1111111 2222221 2221322 2222222 2222221 2223222 2212222 1111111 1111111
2322222 1111111 1111111 1121121 1111111 3333233 1111111 2222222 2223232 4334343 2212232 2323233 3333432 1111111
1111111 1212111 2322222 1211111 2222222
"""


def anaesthetists() -> Crowd:
    labels = np.array([int(digit) - 1 for digit in ANAESTHETISTS if digit.isdigit()])
    # Made directly, not by Crowd.of, which would keep only the last of the first observer's three answers.
    return Crowd(np.repeat(np.arange(45), 7), np.tile([0, 0, 0, 1, 2, 3, 4], 45), labels, 45, 5, 4)


def random_crowd(seed: int, n_tasks: int = 300, n_workers: int = 40, each: int = 5) -> tuple[Crowd, Floats]:
    """Two classes of which the second is often missed."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n_tasks)
    tasks = np.repeat(np.arange(n_tasks), each)
    workers = np.concatenate([rng.choice(n_workers, each, replace=False) for _ in range(n_tasks)])
    right = rng.random(len(tasks)) < np.where(truth[tasks] == 0, 0.95, rng.beta(4, 4, n_workers)[workers])
    labels = np.where(right, truth[tasks], 1 - truth[tasks])
    return Crowd.of(tasks, workers, labels, n_tasks, n_workers, 2), truth


def test_em_without_a_prior_finds_the_frequencies_and_error_rates_of_the_paper() -> None:
    model = DawidSkene(strength=0, trust=0, max_iter=200, tol=1e-9).fit(anaesthetists())
    # Smoothing of the class frequencies by one task moves the third decimal.
    assert model.posterior_.mean(axis=0) == pytest.approx([0.40, 0.42, 0.11, 0.07], abs=0.01)
    counts = ConfusionCounts.of(anaesthetists(), model.posterior_)
    first = np.array([counts.pairs[label, label] / counts.totals[0, label] for label in range(4)])
    assert first == pytest.approx([0.89, 0.88, 0.66, 0.44], abs=0.01)


@pytest.mark.parametrize("model", [DawidSkene(), BayesianCombination(), DawidSkene(prior="population", anchor=0.2)])
def test_em_stops_before_its_limit_where_answers_are_plenty(model: DawidSkene) -> None:
    crowd, _ = random_crowd(0, each=15)
    model.fit(crowd)
    assert model.n_iter_ < model.max_iter
    assert model.strength_ != 8.0 or model.strength is None
    again = DawidSkene.fit(model, crowd).posterior_
    np.testing.assert_array_equal(again, model.posterior_)


@pytest.mark.parametrize("model", [MajorityVote(), OneCoin(), DawidSkene(), BayesianCombination()])
def test_posteriors_are_distributions(model: MajorityVote | OneCoin | DawidSkene) -> None:
    posterior = model.fit(random_crowd(1)[0]).posterior_
    assert posterior.min() >= 0
    np.testing.assert_allclose(posterior.sum(axis=1), 1)


def test_majority_vote_smoothing_breaks_no_tie_and_is_never_certain() -> None:
    crowd = Crowd.of([0, 0, 1, 1, 1, 2], [0, 1, 0, 1, 2, 0], [0, 1, 1, 1, 0, 1], 4, 3, 2)
    plain = MajorityVote(smoothing=0).fit(crowd).posterior_
    np.testing.assert_allclose(plain, [[0.5, 0.5], [1 / 3, 2 / 3], [0, 1], [0.5, 0.5]])
    smoothed = MajorityVote().fit(crowd).posterior_
    np.testing.assert_allclose(smoothed[[0, 3]], 0.5)
    assert smoothed[1, 1] > 0.6 and 0.9 < smoothed[2, 1] < 1


def test_one_coin_finds_who_guesses() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 4, 400)
    tasks, workers = np.repeat(np.arange(400), 8), np.tile(np.arange(8), 400)
    accuracy = np.array([0.25, 0.25, 0.25, 0.6, 0.7, 0.8, 0.9, 0.9])
    wrong = (truth[tasks] + rng.integers(1, 4, len(tasks))) % 4
    labels = np.where(rng.random(len(tasks)) < accuracy[workers], truth[tasks], wrong)
    model = OneCoin().fit(Crowd.of(tasks, workers, labels, 400, 8, 4))
    assert model.worker_accuracy_ == pytest.approx(accuracy, abs=0.06)


def test_a_learned_strength_follows_how_much_workers_differ() -> None:
    def strength(spread: float) -> float:
        rng = np.random.default_rng(5)
        rows = rng.dirichlet(np.array([0.8, 0.2]) * spread, size=(60, 2))
        rows[:, 1] = rows[:, 1, ::-1]
        truth = rng.integers(0, 2, 600)
        tasks = np.repeat(np.arange(600), 15)
        workers = np.concatenate([rng.choice(60, 15, replace=False) for _ in range(600)])
        labels = (rng.random(len(tasks)) < rows[workers, truth[tasks], 1]).astype(int)
        return DawidSkene(prior="population").fit(Crowd.of(tasks, workers, labels, 600, 60, 2)).strength_

    assert strength(3) < 12 < strength(300)


def test_held_out_answers_speak_against_one_coin_where_one_class_is_missed() -> None:
    crowd, truth = random_crowd(0, each=15)
    evidence = answer_evidence({"coin": OneCoin(), "ds": DawidSkene()}, crowd, folds=3)
    assert evidence is not None and evidence["ds"] > evidence["coin"]
    right = [(m.fit(crowd).posterior_.argmax(axis=1) == truth).mean() for m in (DawidSkene(), OneCoin())]
    assert right[0] > right[1]


def test_hashes_of_answers_follow_the_answers_through_renaming_and_reordering() -> None:
    crowd, _ = random_crowd(0)
    rng = np.random.default_rng(1)
    task, worker, order = rng.permutation(300), rng.permutation(40), rng.permutation(len(crowd))
    other = Crowd.of(task[crowd.tasks][order], worker[crowd.workers][order], 1 - crowd.labels[order], 300, 40, 2)
    here = {(task[t], worker[w]): h for t, w, h in zip(crowd.tasks, crowd.workers, answer_hashes(crowd), strict=True)}
    there = {(t, w): h for t, w, h in zip(other.tasks, other.workers, answer_hashes(other), strict=True)}
    assert here == there
    assert len(set(here.values())) > 0.9 * len(here)


def test_a_crowd_of_clones_has_no_evidence() -> None:
    tasks, workers = np.repeat(np.arange(20), 3), np.tile(np.arange(3), 20)
    crowd = Crowd.of(tasks, workers, np.zeros(60, int), 20, 3, 2)
    assert answer_evidence({"majority": MajorityVote()}, crowd, folds=3) is None
