"""Pictures small enough to live inside a page."""

from __future__ import annotations

import base64
import io

from PIL import Image

from trueground.errors import InputError
from trueground.images import seen

SIDE = 96
"""The longest side of a thumbnail in pixels."""


def data_uri(data: bytes | str, side: int = SIDE) -> str | None:
    """A ``data:`` URI of an image, at most ``side`` pixels on its longest side, as people see it.

    A ready ``data:image/`` URI is handed back as it is. ``None`` means the bytes are not an image that can be shown.
    """
    if isinstance(data, str):
        return data if data.startswith("data:image/") else None
    try:
        # Lets the JPEG decoder work on a part of the pixels; other formats ignore it.
        small = seen(data, side * 2)
    except InputError:
        return None
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=82, method=4)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode("ascii")
