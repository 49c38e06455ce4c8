"""Data objects as numbers. An object's features do not depend on any other object, so they stay comparable for ever."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from trueground.errors import InputError

RASTER = 16
"""Side of the grey raster that an image is brought to."""
COLOURS = 4
"""Side of the raster of colours."""
MOST_PIXELS = 100_000_000
ORIENTATIONS = 8
CELLS = 4
TEXT_FEATURES = 1024
HASHED = 2**18


def image_features(images: Iterable[bytes]) -> NDArray[np.float32]:
    """Images as ``[n, 16*16 + 4*4*8 + 4*4*2]`` numbers: a grey raster, gradients by direction, and colour.

    Every block is scaled to unit length, so brightness and contrast of an image as a whole do not count. Gradients are
    counted by direction in 4 x 4 cells, as in Dalal and Triggs (CVPR 2005).

    Raises:
        InputError: a file is no image, or has too many pixels.
    """
    rows = [_one_image(content) for content in images]
    return np.array(rows, dtype=np.float32).reshape(len(rows), -1)


def text_features(texts: Iterable[str]) -> NDArray[np.float32]:
    """Texts as ``[n, 1024]`` numbers: hashed words and parts of words, brought down by a fixed random projection.

    The projection keeps distances (Johnson and Lindenstrauss, 1984; sparse form of Achlioptas, 2003).
    """
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.pipeline import make_union
    from sklearn.random_projection import SparseRandomProjection

    words = HashingVectorizer(n_features=HASHED, ngram_range=(1, 2), norm=None, alternate_sign=False)
    parts = HashingVectorizer(n_features=HASHED, analyzer="char_wb", ngram_range=(3, 5), norm=None, alternate_sign=False)
    counts = make_union(words, parts).transform(list(texts))
    counts.data = np.log1p(counts.data)
    projection = SparseRandomProjection(TEXT_FEATURES, random_state=0, dense_output=True)
    projection.fit(np.zeros((1, 2 * HASHED)))
    rows: NDArray[np.float32] = projection.transform(counts).astype(np.float32)
    return _unit(rows)


def _one_image(content: bytes) -> NDArray[np.float32]:
    try:
        with Image.open(io.BytesIO(content)) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise InputError(f"an image of {opened.width} x {opened.height} pixels is too large")
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"not an image: {error}") from error
    grey: NDArray[np.float32] = np.asarray(
        image.convert("L").resize((RASTER, RASTER), Image.Resampling.BOX), dtype=np.float32
    ) / np.float32(255)
    fine: NDArray[np.float32] = np.asarray(
        image.convert("L").resize((32, 32), Image.Resampling.BOX), dtype=np.float32
    ) / np.float32(255)
    colour: NDArray[np.float32] = np.asarray(
        image.resize((COLOURS, COLOURS), Image.Resampling.BOX), dtype=np.float32
    ) / np.float32(255)
    chroma = colour[..., :2] - colour[..., 2:]
    blocks = [_unit((grey - grey.mean()).reshape(1, -1)), _unit(_gradients(fine).reshape(1, -1)), chroma.reshape(1, -1)]
    return np.concatenate([block[0] for block in blocks])


def _gradients(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Strength of edges by cell and direction ``[4, 4, 8]``."""
    down, right = np.gradient(grey)
    strength = np.hypot(down, right)
    direction = ((np.arctan2(down, right) % np.pi) / np.pi * ORIENTATIONS).astype(int) % ORIENTATIONS
    side = len(grey) // CELLS
    rows, columns = np.indices(grey.shape) // side
    counted = np.zeros((CELLS, CELLS, ORIENTATIONS), dtype=np.float32)
    np.add.at(counted, (rows, columns, direction), strength)
    return np.sqrt(counted)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (rows / np.maximum(lengths, 1e-9)).astype(np.float32)
    return unit
