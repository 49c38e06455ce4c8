"""People and models see the same image."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from trueground.autolabel.features import image_features
from trueground.errors import InputError
from trueground.images import DARK, WHITE, seen, shown_otherwise, unshown_format
from trueground.manifests.images import content_problem
from trueground.reports.images import data_uri
from trueground.service.portal.pictures import kind_and_pixels, looks_like_a_picture


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def photo(size: tuple[int, int] = (60, 40)) -> Image.Image:
    small = np.random.default_rng(1).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def mpo() -> bytes:
    """Two pictures in one JPEG, as a camera writes a photo with its preview."""
    return encoded(photo(), "MPO", save_all=True, append_images=[photo((30, 20))])


def ring(colour: tuple[int, int, int], mode: str = "RGBA") -> Image.Image:
    """A drawing on nothing."""
    image = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((10, 5, 50, 35), outline=(*colour, 255), width=5)
    return image.convert(mode)


SHOWN: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encoded(photo(), "JPEG"),
    "cmyk": lambda: encoded(photo().convert("CMYK"), "JPEG"),
    "mpo": mpo,
    "png": lambda: encoded(photo()),
    "webp": lambda: encoded(photo(), "WEBP"),
    "avif": lambda: encoded(photo(), "AVIF"),
    "gif": lambda: encoded(photo(), "GIF"),
    "bmp": lambda: encoded(photo(), "BMP"),
    "palette": lambda: encoded(photo().convert("P")),
    "bilevel": lambda: encoded(photo().convert("1")),
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_browsers_show_is_accepted_shown_and_read(name: str) -> None:
    content = SHOWN[name]()
    assert content_problem(content) is None
    assert looks_like_a_picture(content) and kind_and_pixels(content) is not None
    kind, pixels = kind_and_pixels(content) or ("", 0)
    assert kind == {"cmyk": "image/jpeg", "mpo": "image/jpeg"}.get(name, kind) and pixels == 2400
    assert seen(content).size == (60, 40) and seen(content).mode == "RGB"
    assert data_uri(content) is not None and np.isfinite(image_features([content])).all()
    assert shown_otherwise(content) is None


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (encoded(photo(), "TIFF"), "TIFF"),
        (encoded(photo(), "JPEG2000"), "JPEG 2000"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"8BPS\0\1", "Photoshop"),
        (b"%PDF-1.7", "PDF"),
        (b"\0" * 128 + b"DICM", "DICOM"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<svg/>", "SVG"),
    ],
)
def test_what_browsers_do_not_show_is_named_with_what_to_do(content: bytes, name: str) -> None:
    problem, hint = content_problem(content) or ("", "")
    assert problem == f"an image of the format {name}, which browsers do not show"
    assert "Convert it to JPEG or PNG" in hint and unshown_format(content) is not None
    with pytest.raises(InputError, match=f"the format {name}") as caught:
        image_features([content])
    assert caught.value.hint == hint
    assert data_uri(content) is None


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize(("colour", "paper"), [((0, 0, 0), WHITE), ((200, 30, 30), WHITE), ((255, 255, 250), DARK)])
def test_a_transparent_drawing_stands_out_for_people_and_models(kind: str, colour: Any, paper: Any) -> None:
    content = encoded(ring(colour), kind, lossless=True)
    image = seen(content)
    assert image.getpixel((0, 0)) == paper
    assert max(abs(a - b) for a, b in zip(image.getpixel((12, 20)), paper, strict=True)) > 100  # type: ignore[arg-type]
    shown = shown_otherwise(content)
    assert shown is not None and Image.open(io.BytesIO(shown)).tobytes() == image.tobytes()
    np.testing.assert_allclose(image_features([content]), image_features([shown]), atol=1e-6)


def test_an_opaque_image_with_an_alpha_channel_is_shown_as_it_is() -> None:
    assert shown_otherwise(encoded(photo().convert("RGBA"))) is None
    assert shown_otherwise(encoded(photo().convert("LA"))) is None


def deep(top: int) -> tuple[bytes, NDArray[np.uint16]]:
    """Grey from 0 to this."""
    values = np.linspace(0, top, 2400).reshape(40, 60).astype(np.uint16)
    return encoded(Image.fromarray(values)), values


@pytest.mark.parametrize("top", [1023, 4095, 65535])
def test_deep_grey_is_windowed_for_people_and_models(top: int) -> None:
    content, values = deep(top)
    assert content_problem(content) is None
    expected = values.astype(float) / top * 255
    shown = shown_otherwise(content)
    assert shown is not None
    for image in (seen(content), Image.open(io.BytesIO(shown))):
        assert np.abs(np.asarray(image.convert("L"), dtype=float) - expected).max() < 2
    np.testing.assert_allclose(image_features([content]), image_features([shown]), atol=1e-6)


def test_one_hot_pixel_does_not_darken_the_rest() -> None:
    values = np.linspace(100, 200, 2400).reshape(40, 60).astype(np.uint16)
    values[7, 7] = 65535
    grey = np.asarray(seen(encoded(Image.fromarray(values))).convert("L"))
    assert grey[39, 59] > 250 and grey[0, 0] < 5 and 110 < grey[20, 30] < 145


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (60, 40), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert content_problem(content) is None
        shown = shown_otherwise(content)
        assert shown is not None
        for image in (seen(content), Image.open(io.BytesIO(shown))):
            red, green, blue = image.convert("RGB").getpixel((30, 20))  # type: ignore[misc]
            assert red > 240 and green < 20 and blue < 20


def test_a_photo_turned_by_exif_is_seen_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "WEBP", "PNG"):
        assert seen(encoded(photo(), kind, exif=exif)).size == (40, 60)


@pytest.mark.parametrize(
    "content", [b"", b"no image", encoded(photo())[:100], b"GIF89a", b"RIFF\0\0\0\0WEBPVP8X" + b"\x12" * 20]
)
def test_what_is_broken_is_said_so(content: bytes) -> None:
    assert content_problem(content) is not None
    with pytest.raises(InputError):
        seen(content)
