"""How unlike the training data an object is."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trueground.autolabel.model import LabelModel, squared_distances

CHUNK = 1024


class Novelty:
    """The share of training objects that are closer to the rest of the training data than an object is.

    It is a quantile of the distance to the nearest neighbour, as in conformal anomaly detection (Laxhammar and Falkman,
    2010): of objects like those of the training, a tenth have a novelty over 0.9. The model's landmarks, an even sample
    of its training rows, stand for these.

    Args:
        model: the model; its training data is what objects are compared with.
    """

    def __init__(self, model: LabelModel) -> None:
        self._model = model
        self._known = np.asarray(model.landmarks_)
        squared = squared_distances(self._known, self._known)
        np.fill_diagonal(squared, np.inf)
        self._typical = np.sort(squared.min(axis=1))

    def of(self, features: ArrayLike) -> NDArray[np.float64]:
        """The novelty ``[rows]``, from 0 to 1, of objects by their features ``[rows, features]``."""
        rows = self._model.scaled(features)
        nearest = np.concatenate(
            [
                squared_distances(rows[start : start + CHUNK], self._known).min(axis=1)
                for start in range(0, len(rows), CHUNK)
            ]
            or [np.zeros(0)]
        )
        found: NDArray[np.float64] = np.searchsorted(self._typical, nearest, side="left") / len(self._typical)
        return found
