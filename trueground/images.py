"""How an image is decoded: the same for people and for models.

What browsers show is accepted: JPEG (also MPO, which cameras write), PNG, WebP, AVIF, GIF and BMP. Of an animation the
first frame counts. An image is seen upright by its EXIF orientation; what is transparent lies on a background that it
stands out from; and grey of more than 8 bits is windowed: its own range becomes black to white.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from trueground.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP")
"""What is decoded at all, MPO as JPEG. Pillow has Ghostscript run PostScript; its rarer readers are less tried."""
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp")
OTHER_SUFFIXES = (".heic", ".heif", ".tif", ".tiff", ".jp2", ".jxl", ".psd", ".dng", ".cr2", ".nef", ".dcm", ".svg")
"""Images that browsers do not show, or not as a picture."""
PIXELS = 100_000_000
"""The most that is decoded, as Ground Truth has it: a small file can decode to more memory than there is."""
WINDOW = (0.1, 99.9)
"""Percentiles of deep grey that become black and white: single hot or dead pixels do not count."""
LIGHT = 170
"""What is on average lighter than this would not stand out from white."""
WHITE, DARK = (255, 255, 255), (40, 40, 40)
CONVERT = "Convert it to JPEG or PNG, for example with ImageMagick: magick in.{suffix} out.png"


def unshown_format(head: bytes) -> tuple[str, str] | None:
    """The name and the suffix of a format that browsers do not show, by the first bytes of a file; else ``None``."""
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"):
        # An AVIF file may have the general brand first, and its own among those that it is compatible with.
        return None if b"avif" in head[8:64] else ("HEIC", "heic")
    for magic, name, suffix in (
        (b"II*\0", "TIFF", "tif"),
        (b"MM\0*", "TIFF", "tif"),
        (b"II+\0", "BigTIFF", "tif"),
        (b"\0\0\0\x0cjP  ", "JPEG 2000", "jp2"),
        (b"\xff\x4f\xff\x51", "JPEG 2000", "jp2"),
        (b"\0\0\0\x0cJXL ", "JPEG XL", "jxl"),
        (b"\xff\x0a", "JPEG XL", "jxl"),
        (b"8BPS", "Photoshop", "psd"),
        (b"%PDF", "PDF", "pdf"),
        (b"%!PS", "PostScript", "eps"),
    ):
        if head.startswith(magic):
            return name, suffix
    if head[128:132] == b"DICM":
        return "DICOM", "dcm"
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in start):
        return "SVG", "svg"
    return None


def format_problem(content: bytes) -> tuple[str, str]:
    """Why a file that Pillow does not know as one of :data:`FORMATS` is no image to us, and what to do."""
    known = unshown_format(content)
    if known is None:
        return "the file is not an image", "Save it as PNG or JPEG, or take it out."
    return f"an image of the format {known[0]}, which browsers do not show", CONVERT.format(suffix=known[1])


def seen(content: bytes, side: int | None = None) -> Image:
    """An image as people see it: its first frame, upright, in RGB.

    Args:
        content: the file.
        side: how many pixels a side are enough; a JPEG is then decoded at a fraction of its size.

    Raises:
        InputError: it is no image that browsers show, is broken, or has more than :data:`PIXELS` pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            if opened.width * opened.height > PIXELS:
                raise InputError(f"an image of {opened.width} x {opened.height} pixels is too large")
            if side is not None:
                opened.draft("RGB", (side, side))
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith(("I", "F")):
                image = _windowed(image)
            if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
                image = _on_background(image.convert("RGBA"))
            return image.convert("RGB")
    except UnidentifiedImageError:
        problem, hint = format_problem(content)
        raise InputError(f"not an image: {problem}" if "format" not in problem else problem, hint=hint) from None
    # Pillow's readers meet broken files with all of these.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, Image.DecompressionBombError) as error:
        raise InputError(f"not an image: {error}", hint="Save it again, or take it out.") from error


def shown_otherwise(content: bytes) -> bytes | None:
    """A PNG to show instead of a file; ``None`` where a browser shows the file itself as :func:`seen` does.

    Raises:
        InputError: it is no image that browsers show, or is broken.
    """
    from PIL import Image

    if not may_need_another(content[:4096]):
        return None
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            deep = image.mode.startswith(("I", "F"))
            still = getattr(image, "n_frames", 1) == 1
            if still and not deep and not _is_transparent(image):
                return None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, Image.DecompressionBombError) as error:
        raise InputError(f"not an image: {error}", hint="Save it again, or take it out.") from error
    out = io.BytesIO()
    # Speed before size: it is made anew for each request.
    seen(content).save(out, "PNG", compress_level=1)
    return out.getvalue()


def may_need_another(head: bytes) -> bool:
    """Whether the first bytes of a file allow that a browser shows it otherwise than :func:`seen` does."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        depth, colour = head[24:25], head[25:26]
        return (depth == b"\x10" and colour in b"\0\4") or colour in b"\4\6" or b"tRNS" in head or b"acTL" in head
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        # Bit 1 of an extended file: an animation; bit 4: transparency. The plain lossless kind may have it too.
        return head[12:16] == b"VP8L" or (head[12:16] == b"VP8X" and bool(head[20:21] and head[20] & 0x12))
    return head.startswith(b"GIF8") or head[4:12] in (b"ftypavif", b"ftypavis", b"ftypmif1", b"ftypmsf1")


def _is_transparent(image: Image) -> bool:
    if not ("A" in image.mode or "a" in image.mode or "transparency" in image.info):
        return False
    # In the histogram, the last place is that of what is opaque.
    return any(image.convert("RGBA").getchannel("A").histogram()[:255])


def _windowed(image: Image) -> Image:
    """Grey of more than 8 bits in 8 bits, its own range as black to white; Pillow would cut off what is above 255."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image, dtype=np.float32)
    values = np.where(np.isfinite(values), values, 0)
    # Of a large image a part tells the range as well.
    low, high = np.percentile(values.ravel()[:: max(1, values.size // 1_000_000)], WINDOW)
    if high <= low:
        low, high = float(values.min()), float(values.max())
    scaled = (values - low) / max(float(high - low), 1e-9) * 255
    return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


def _on_background(image: Image) -> Image:
    """An RGBA image on white; on dark, where what is drawn is itself light."""
    from PIL import Image, ImageStat

    alpha = image.getchannel("A")
    grey = image.convert("RGB").convert("L")
    drawn = ImageStat.Stat(grey, alpha.point(lambda value: 255 if value > 127 else 0))
    light = bool(drawn.count[0]) and drawn.mean[0] > LIGHT
    # An image that is opaque all over but for its corners keeps them white.
    mostly = bool(drawn.count[0] > 0.9 * image.width * image.height)
    paper = Image.new("RGBA", image.size, (*(DARK if light and not mostly else WHITE), 255))
    return Image.alpha_composite(paper, image)
