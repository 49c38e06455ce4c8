"""Pictures small enough to live inside a page."""

from __future__ import annotations

import base64
import io

from PIL import Image, ImageOps

from trueground.manifests.images import FORMATS

SIDE = 96
"""The longest side of a thumbnail in pixels."""
MAX_PIXELS = 100_000_000
"""Larger images are not opened: 100 megapixels, the limit for objects to label."""


def data_uri(data: bytes | str, side: int = SIDE) -> str | None:
    """A ``data:`` URI of an image, at most ``side`` pixels on its longest side, upright.

    A ready ``data:image/`` URI is handed back as it is. ``None`` means the bytes are not an image that can be shown.
    """
    if isinstance(data, str):
        return data if data.startswith("data:image/") else None
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            # Lets the JPEG decoder work on an eighth of the pixels; other formats ignore it.
            image.draft("RGB", (side * 2, side * 2))
            upright = ImageOps.exif_transpose(image)
            small = upright.convert("RGBA" if "A" in upright.mode or "transparency" in upright.info else "RGB")
            small.thumbnail((side, side), Image.Resampling.LANCZOS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    out = io.BytesIO()
    small.save(out, "WEBP", quality=82, method=4)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode("ascii")
