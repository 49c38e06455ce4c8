"""What a file's first bytes say: whether it is a picture, of which kind, and how large it is once decoded."""

from __future__ import annotations

import io
import struct

from PIL import Image

PIXELS_AT_MOST = 100_000_000
"""As Ground Truth: a larger picture is not shown, because a small file can decode to more memory than there is."""
HEAD = 64 * 1024
"""Bytes that nearly always hold a picture's size."""
HEAD_AT_MOST = 8 * 1024 * 1024
"""Where they do not: embedded profiles and thumbnails come first. What needs more is no picture to us."""
_FORMATS = ("PNG", "JPEG", "GIF", "BMP")
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM")


def looks_like_a_picture(head: bytes) -> bool:
    """Whether a file starts as a picture does."""
    return head.startswith(_MAGIC) or _is_webp(head) or _is_avif(head)


def kind_and_pixels(head: bytes) -> tuple[str, int] | None:
    """The MIME type and the decoded pixels of a picture; ``None`` where these bytes do not tell. Decodes nothing."""
    if _is_webp(head):
        # By hand: Pillow makes room for the whole picture just to say how large it is.
        size = _webp_size(head)
        return ("image/webp", size[0] * size[1]) if size else None
    if _is_avif(head):
        size = _avif_size(head)
        return ("image/avif", size[0] * size[1]) if size else None
    try:
        with Image.open(io.BytesIO(head), formats=_FORMATS) as picture:
            # Cameras write several pictures into one JPEG (MPO); browsers show the first.
            kind = "JPEG" if picture.format == "MPO" else str(picture.format)
            return Image.MIME[kind], picture.width * picture.height
    except Image.DecompressionBombError:
        return "image/x-too-large", PIXELS_AT_MOST + 1
    except (OSError, SyntaxError, ValueError, EOFError, struct.error):
        return None


def _is_webp(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def _is_avif(head: bytes) -> bool:
    # Its own brand, or a general one and its own among those that it is compatible with.
    return head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis", b"mif1", b"msf1") and b"avi" in head[8:64]


def _avif_size(head: bytes) -> tuple[int, int] | None:
    """The largest of the sizes that a file's items have: a picture, its transparency, thumbnails."""
    sizes = []
    place = head.find(b"ispe")
    while 0 <= place <= len(head) - 16:
        sizes.append(struct.unpack(">II", head[place + 8 : place + 16]))
        place = head.find(b"ispe", place + 4)
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _webp_size(head: bytes) -> tuple[int, int] | None:
    chunk = head[12:16]
    if len(head) < 30:
        return None
    if chunk == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if chunk == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None
