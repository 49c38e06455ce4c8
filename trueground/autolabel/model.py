"""The model that labels: kernel ridge regression with closed-form leave-one-out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from trueground.errors import InputError
from trueground.models.files import dump_state, load_state
from trueground.tasks.base import Label

LANDMARKS = 800
"""Training rows that span the function; with no more rows than this, the solution is the exact one."""
WIDTHS = (0.25, 0.5, 1.0, 2.0)
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
CHUNK = 4096
LEAST_WEIGHT = 0.05
MARK, FORMAT = "trueground label model", 1
STATE = {
    "classes_",
    "coefficients_",
    "gamma_",
    "landmarks_",
    "leave_one_out_proba_",
    "mean_",
    "scale_",
    "targets_",
    "temperature_",
}
"""What a fitted model is made of."""


class LabelModel(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    r"""A classifier that needs few labels and knows how sure it is.

    Each class's indicator is regressed on radial features
    :math:`\phi(x) = K(x, Z) K(Z, Z)^{-1/2}`, :math:`K(a, b) = \exp(-\gamma |a - b|^2)`, by weighted ridge regression
    (Saunders et al., ICML 1998; landmarks ``Z`` by Williams and Seeger, NIPS 2000). With the hat matrix's diagonal
    ``h``, a row's prediction by the model that has not seen it is ``(f - h y) / (1 - h)``, which costs nothing. It
    chooses width and ridge, and the temperature of the softmax that turns scores into probabilities.

    Fitted: ``classes_``, ``leave_one_out_proba_`` ``[rows, classes]``, ``targets_`` ``[rows]`` (class numbers).
    """

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> LabelModel:
        """Fit on ``X [rows, features]`` and class names ``y [rows]``; weights are positive, 1 by default.

        Raises:
            ValueError: there are fewer than two classes, or lengths differ.
        """
        rows = np.asarray(X, dtype=np.float64)
        self.classes_, targets = np.unique(np.asarray(y), return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"two classes are needed to learn from, all labels are {self.classes_[:1]}")
        if len(rows) != len(targets):
            raise ValueError(f"{len(rows)} rows, but {len(targets)} labels")
        weights = np.ones(len(rows)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        self.mean_, self.scale_ = rows.mean(axis=0), _scale(rows)
        rows = (rows - self.mean_) / self.scale_
        self.landmarks_ = rows[_spread(len(rows), LANDMARKS)]
        distances = squared_distances(rows, self.landmarks_)
        between = squared_distances(self.landmarks_, self.landmarks_)
        typical = float(np.median(distances[distances > 0])) if (distances > 0).any() else 1.0
        wanted = np.eye(len(self.classes_))[targets]
        best = np.inf
        for width in WIDTHS:
            gamma = 1 / (width * typical)
            root = _inverse_root(np.exp(-gamma * between))
            phi = np.exp(-gamma * distances) @ root
            values, vectors = np.linalg.eigh(phi.T @ (phi * weights[:, None]))
            rotated = phi @ vectors
            projected = rotated.T @ (wanted * weights[:, None])
            for ridge in RIDGES:
                damped = 1 / (np.maximum(values, 0) + ridge * weights.mean())
                solution = damped[:, None] * projected
                hat = np.minimum(weights * ((rotated**2) @ damped), 1 - 1e-6)
                fitted = rotated @ solution
                left_out = (fitted - hat[:, None] * wanted) / (1 - hat)[:, None]
                loss = float(np.average(((left_out - wanted) ** 2).sum(axis=1), weights=weights))
                if loss < best:
                    best, scores = loss, left_out
                    self.gamma_, self.coefficients_ = gamma, root @ (vectors @ solution)
        self.temperature_ = _temperature(scores, targets, weights)
        self.leave_one_out_proba_ = _softmax(scores * self.temperature_)
        self.targets_ = targets
        return self

    @classmethod
    def learn(cls, X: ArrayLike, labels: Sequence[Label]) -> LabelModel | None:
        """A model of human labels, each weighing as much as it is sure; ``None`` where they are of one class only.

        Ground Truth writes a confidence of 0 where one person answered alone; that says nothing against a label.
        """
        targets = np.array([label.value for label in labels])
        if len(set(targets.tolist())) < 2:
            return None
        return cls().fit(X, targets, sample_weight=np.array([weight_of(label) for label in labels]))

    def accuracy(self) -> float:
        """The share of its training rows that it is right about without having learned from them."""
        return float(np.mean(self.left_out_confidence()[1]))

    @property
    def width(self) -> int:
        """The number of features of each object."""
        return len(self.mean_)

    def left_out_confidence(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """How sure the model is of each training row without having learned from it, and whether it is right there."""
        right: NDArray[np.bool_] = self.leave_one_out_proba_.argmax(axis=1) == self.targets_
        return self.leave_one_out_proba_.max(axis=1), right

    def scaled(self, X: ArrayLike) -> NDArray[np.float64]:
        """Rows as the landmarks are: less the mean of the training rows, by their scale."""
        rows: NDArray[np.float64] = (np.asarray(X, dtype=np.float64) - self.mean_) / self.scale_
        return rows

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities ``[rows, classes]``.

        Raises:
            InputError: the rows have another number of features than those it learned from.
        """
        rows = np.asarray(X)
        if rows.shape[1] != self.width:
            raise InputError(
                f"the model knows objects as {self.width} numbers, these are {rows.shape[1]}",
                hint="It was trained with another version of the features: train it again.",
            )
        found = np.empty((len(rows), len(self.classes_)))
        for start in range(0, len(rows), CHUNK):
            part = self.scaled(rows[start : start + CHUNK])
            kernel = np.exp(-self.gamma_ * squared_distances(part, self.landmarks_))
            found[start : start + CHUNK] = _softmax(kernel @ self.coefficients_ * self.temperature_)
        return found

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The likeliest class of each row."""
        classes: NDArray[Any] = self.classes_[np.argmax(self.predict_proba(X), axis=1)]
        return classes

    def to_bytes(self) -> bytes:
        """The fitted model as a skops file, which holds data and no code."""
        state = {name: value for name, value in vars(self).items() if name.endswith("_")}
        return dump_state(state, MARK, FORMAT)

    @classmethod
    def from_bytes(cls, content: bytes) -> LabelModel:
        """What :meth:`to_bytes` wrote. Raises :class:`InputError` for anything else."""
        model = cls()
        for name, value in load_state(content, MARK, FORMAT, STATE).items():
            setattr(model, name, value)
        return model


def weight_of(label: Label) -> float:
    """How much a label counts in training: its confidence, which Ground Truth writes as 0.00 for one person alone."""
    return 1.0 if label.human and label.confidence == 0 else max(label.confidence, LEAST_WEIGHT)


def _scale(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """One scale for all features: those that vary little say little."""
    return np.full(rows.shape[1], max(float(np.sqrt(rows.var(axis=0).sum())), 1e-9))


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """Up to ``most`` row numbers, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def squared_distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row of ``a [n, features]`` to each of ``b [m, features]``, ``[n, m]``."""
    squared: NDArray[np.float64] = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T
    return np.maximum(squared, 0)


def _inverse_root(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(kernel)
    keep = values > values[-1] * 1e-10
    root: NDArray[np.float64] = vectors[:, keep] / np.sqrt(values[keep])
    return root


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return shares


def _temperature(scores: NDArray[np.float64], targets: NDArray[np.int64], weights: NDArray[np.float64]) -> float:
    """The factor under which the left-out scores foretell the labels best (Guo et al., ICML 2017)."""
    from scipy.optimize import minimize_scalar

    def loss(log_factor: float) -> float:
        shares = _softmax(scores * np.exp(log_factor))
        found = np.maximum(shares[np.arange(len(targets)), targets], 1e-12)
        return float(-np.average(np.log(found), weights=weights))

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 5.0), method="bounded").x))
