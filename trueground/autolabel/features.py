"""Data objects as numbers. An object's features do not depend on any other object, so they stay comparable for ever."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trueground.images import seen

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from trueground.storage import Storage
    from trueground.tasks.base import DataObject, TaskType

SIDE = 32
"""Side of the raster that an image is brought to first."""
RASTER = 16
"""Side of the grey raster among the features."""
COLOURS = 4
"""Side of the raster of colours."""
DIRECTIONS = 8
CELLS = (4, 7)
"""Cells a side in which edges are counted: coarse ones forgive shifts, fine ones tell more."""
RASTER_WEIGHT = 0.5
HASHED = 2048
"""Features of the words of a text, and as many of the parts of its words."""
PARTS_WEIGHT = 0.7
POOL_FEATURES = 64
BATCH = 256


def object_features(task_type: TaskType, storage: Storage, objects: Sequence[DataObject]) -> NDArray[np.float32]:
    """The objects of a task type as numbers, ``[objects, features]``.

    Raises:
        InputError: an object is no image; see :func:`image_features`.
    """
    key = task_type.source_key
    if task_type.media == "text":
        return text_features(line[key] for line in objects)
    return image_features(storage.read_bytes(line[key]) for line in objects)


def image_features(images: Iterable[bytes]) -> NDArray[np.float32]:
    """Images as ``[n, 8*4*4 + 8*7*7 + 16*16 + 4*4*2]`` numbers: edges by direction, a grey raster, and colour.

    Edges and raster are scaled to unit length, so brightness and contrast of an image as a whole do not count. Edges
    are counted by direction in cells, each shared among its neighbouring cells and directions, as in Dalal and Triggs
    (CVPR 2005).

    Raises:
        InputError: a file is no image, or has too many pixels.
    """
    found, batch = [_blocks(np.zeros((0, SIDE, SIDE, 3), dtype=np.float32))], []
    for content in images:
        batch.append(_raster(content))
        if len(batch) == BATCH:
            found.append(_blocks(np.array(batch)))
            batch = []
    if batch:
        found.append(_blocks(np.array(batch)))
    return np.concatenate(found)


def text_features(texts: Iterable[str]) -> NDArray[np.float32]:
    """Texts as ``[n, 4096]`` numbers: words with pairs of words, and parts of words, each hashed to 2048 places.

    Signed hashing keeps inner products right on average (Weinberger et al., ICML 2009). For the objects of one run,
    :func:`text_pool_features` makes more of them.
    """
    lines = [_whole(text) for text in texts]
    if not lines:
        return np.zeros((0, 2 * HASHED), dtype=np.float32)
    features: NDArray[np.float32] = _hashed(lines).toarray()
    return features


def text_pool_features(texts: Iterable[str]) -> NDArray[np.float32]:
    """Texts in the (at most 64) directions in which these ones differ most, ``[n, 64]``, scaled to unit length.

    Latent semantic analysis (Deerwester et al., JASIS 1990): it learns from unlabeled objects which words go together,
    so fewer labels are needed. The result is only comparable within this pool.
    """
    from sklearn.utils.extmath import randomized_svd

    lines = [_whole(text) for text in texts]
    if len(lines) <= POOL_FEATURES:
        return text_features(lines)
    left, values, _ = randomized_svd(_hashed(lines), POOL_FEATURES, n_iter=4, random_state=0)
    return _unit((left * values).astype(np.float32))


def _whole(text: str) -> str:
    """A text as it is shown: with U+FFFD for half of a character, which no word can be counted by."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def width_of(media: str) -> int:
    """How many features an image or a text has, each by itself."""
    width: int = (text_features([]) if media == "text" else image_features([])).shape[1]
    return width


def _hashed(lines: Sequence[str]) -> csr_array:
    """The features of texts, most of which are 0."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import normalize

    words = HashingVectorizer(n_features=HASHED, ngram_range=(1, 2), norm=None, dtype=np.float32)
    parts = HashingVectorizer(n_features=HASHED, analyzer="char_wb", ngram_range=(3, 5), norm=None, dtype=np.float32)
    blocks = []
    for vectorizer, weight in ((words, 1.0), (parts, PARTS_WEIGHT)):
        counts = vectorizer.transform(lines)
        counts.data = np.sign(counts.data) * np.log1p(np.abs(counts.data))
        blocks.append(normalize(counts) * np.float32(weight))
    return hstack(blocks, format="csr", dtype=np.float32)


def _raster(content: bytes) -> NDArray[np.float32]:
    """An image as people see it, as ``[32, 32, 3]`` numbers from 0 to 1."""
    image = seen(content, 4 * SIDE).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def _blocks(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features ``[n, d]`` of rasters ``[n, 32, 32, 3]``."""
    count = len(images)
    grey = images @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    small = grey.reshape(count, RASTER, SIDE // RASTER, RASTER, SIDE // RASTER).mean(axis=(2, 4))
    small = small.reshape(count, RASTER * RASTER)
    colour = images.reshape(count, COLOURS, SIDE // COLOURS, COLOURS, SIDE // COLOURS, 3).mean(axis=(2, 4))
    blocks: NDArray[np.float32] = np.concatenate(
        [
            *_edges(grey),
            RASTER_WEIGHT * _unit(small - small.mean(axis=1, keepdims=True)),
            (colour[..., :2] - colour[..., 2:]).reshape(count, COLOURS * COLOURS * 2),
        ],
        axis=1,
    )
    return blocks


def _edges(grey: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Strength of edges by direction and cell, ``[n, 8 * cells * cells]`` for each size of cell."""
    from scipy.ndimage import gaussian_filter

    down, right = np.gradient(gaussian_filter(grey, (0, 1, 1)), axis=(1, 2))
    strength = np.hypot(down, right)
    place = np.arctan2(down, right) / (2 * np.pi) * DIRECTIONS
    found: list[list[NDArray[np.float32]]] = [[] for _ in CELLS]
    for direction in range(DIRECTIONS):
        apart = np.abs((place - direction + DIRECTIONS / 2) % DIRECTIONS - DIRECTIONS / 2)
        mine = strength * np.maximum(0, 1 - apart)
        for cells, counted in zip(CELLS, found, strict=True):
            share = _shares(cells)
            counted.append((share @ mine @ share.T).reshape(len(grey), cells * cells))
    return [_unit(np.sqrt(np.concatenate(counted, axis=1))) for counted in found]


def _shares(cells: int) -> NDArray[np.float32]:
    """How much of each row of pixels belongs to each row of cells, ``[cells, 32]``: falls evenly to the next cell."""
    centres = (np.arange(SIDE) + 0.5) / SIDE * cells - 0.5
    shares: NDArray[np.float32] = np.maximum(0, 1 - np.abs(centres[None, :] - np.arange(cells)[:, None]))
    return shares.astype(np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (rows / np.maximum(lengths, 1e-9)).astype(np.float32)
    return unit
