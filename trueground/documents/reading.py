"""From the bytes of a page to a response of Textract's shape."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from trueground.documents.blocks import response_of
from trueground.documents.ocr import recognize
from trueground.documents.pairs import find_pairs
from trueground.errors import InputError
from trueground.images import seen
from trueground.manifests.images import IMAGE_BYTES, content_problem

if TYPE_CHECKING:
    from PIL.Image import Image


def read_document(image: bytes) -> dict[str, Any]:
    """Read one page: its lines and words, and its key-value pairs by their layout.

    The page may be some degrees askew. The same bytes give the same response, with the same ``Id`` for each block.
    Nothing is fetched: the models are part of RapidOCR's package (the extra ``documents``).

    Args:
        image: a PNG or JPEG file of at most 40 MB and 100 megapixels.

    Returns:
        A response as of Textract's ``AnalyzeDocument`` with the feature ``FORMS``: ``DocumentMetadata`` and ``Blocks``
        of the types ``PAGE``, ``LINE``, ``WORD`` and ``KEY_VALUE_SET``, with confidences from 0 to 100 and geometry in
        shares of the page's width and height.

    Raises:
        InputError: it is no such image, or there is no text on it.
    """
    page = _page_of(image)
    lines = recognize(page)
    if not lines:
        raise InputError("there is no text on the page", hint="Take the page out, or scan it again.")
    return response_of(lines, find_pairs(lines, page.width), page.size, hashlib.sha256(image).hexdigest())


def _page_of(content: bytes) -> Image:
    """The page in RGB, upright as browsers show it. Raises :class:`InputError`."""
    if len(content) > IMAGE_BYTES:
        raise InputError(f"{len(content):,} bytes; a page may have {IMAGE_BYTES:,}", hint="Make the image smaller.")
    if problem := content_problem(content):
        raise InputError(problem[0], hint=problem[1])
    # Only now a large image is decoded whole. What is transparent is paper.
    return seen(content)
