"""Whether people can be shown an image."""

from __future__ import annotations

import io

from trueground.errors import InputError, UnavailableError
from trueground.images import FORMATS, PIXELS, format_problem
from trueground.storage import Storage

IMAGE_BYTES = 40 * 1024 * 1024
DECODED_PIXELS = 16_000_000
"""Larger images are not decoded whole to be checked, which would take 300 MB for the largest."""


def image_problem(storage: Storage, uri: str) -> tuple[str, str] | None:
    """What keeps people from seeing an image, and what to do about it; ``None`` where nothing does.

    An image has at most 40 MB and 100 megapixels, as for Ground Truth
    (https://docs.aws.amazon.com/sagemaker/latest/dg/input-data-limits.html), and a format of
    :data:`trueground.images.FORMATS`.
    """
    try:
        size = storage.size(uri)
        if size > IMAGE_BYTES:
            return f"{size:,} bytes; an image may have {IMAGE_BYTES:,}", "Make the image smaller."
        content = storage.read_bytes(uri)
    except (FileNotFoundError, IsADirectoryError):
        return "there is no such file", "Correct the URI, or put the file there."
    except UnavailableError:
        raise  # nothing is wrong with the image
    except InputError as error:
        return error.problem, error.hint or "Correct the URI."
    except OSError as error:
        return f"the file cannot be read: {error.strerror or error}", "Allow it to be read."
    return content_problem(content)


def content_problem(content: bytes) -> tuple[str, str] | None:
    """What keeps people from seeing the image in a file's bytes, as :func:`image_problem` says it."""
    from PIL import Image, UnidentifiedImageError

    if not content:
        return "the file is empty", "Put the image there again."
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            pixels = image.width * image.height
            if pixels > PIXELS:
                return f"{image.width} x {image.height} pixels; an image may have {PIXELS:,}", "Make it smaller."
            if image.format in ("JPEG", "MPO"):
                # At an eighth of the size: reads the whole file, and decodes sixty times less.
                image.draft(image.mode, (max(1, image.width // 8), max(1, image.height // 8)))
                image.load()
            elif pixels <= DECODED_PIXELS:
                image.load()
            else:
                image.verify()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return f"more than {PIXELS:,} pixels", "Make it smaller."
    except UnidentifiedImageError:
        return format_problem(content)
    # Pillow's readers meet broken files with all of these.
    except (OSError, SyntaxError, ValueError, IndexError, TypeError) as error:
        return f"the image is broken: {error}", "Save it again, or take it out."
    return None
