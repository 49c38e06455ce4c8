"""Whether people can be shown an image."""

from __future__ import annotations

import io

from trueground.errors import InputError, UnavailableError
from trueground.storage import Storage

IMAGE_BYTES = 40 * 1024 * 1024
IMAGE_PIXELS = 100_000_000
DECODED_PIXELS = 16_000_000
"""Larger images are not decoded whole to be checked, which would take 300 MB for the largest."""

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
"""What is decoded at all. Pillow has Ghostscript run PostScript, and its rarer readers are the less tried ones."""


def image_problem(storage: Storage, uri: str) -> tuple[str, str] | None:
    """What keeps people from seeing an image, and what to do about it; ``None`` where nothing does.

    Ground Truth takes PNG and JPEG of at most 40 MB and 100 megapixels
    (https://docs.aws.amazon.com/sagemaker/latest/dg/input-data-limits.html).
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
        with Image.open(io.BytesIO(content)) as image:
            if image.format not in ("PNG", "JPEG"):
                return f"an image of the format {image.format}", "Save it as PNG or JPEG."
            pixels = image.width * image.height
            if pixels > IMAGE_PIXELS:
                return f"{image.width} x {image.height} pixels; an image may have {IMAGE_PIXELS:,}", "Make it smaller."
            if image.format == "JPEG":
                # At an eighth of the size: reads the whole file, and decodes sixty times less.
                image.draft(image.mode, (max(1, image.width // 8), max(1, image.height // 8)))
                image.load()
            elif pixels <= DECODED_PIXELS:
                image.load()
            else:
                image.verify()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return f"more than {IMAGE_PIXELS:,} pixels", "Make it smaller."
    except UnidentifiedImageError:
        return "the file is not an image", "Save it as PNG or JPEG, or take it out."
    # Pillow's readers meet broken files with all of these.
    except (OSError, SyntaxError, ValueError, IndexError, TypeError) as error:
        return f"the image is broken: {error}", "Save it again, or take it out."
    return None
