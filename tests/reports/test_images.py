from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from trueground.reports.images import SIDE, data_uri


def opened(uri: str | None) -> Image.Image:
    assert uri is not None
    head, _, body = uri.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_a_large_photo_becomes_a_small_picture() -> None:
    data = encoded(Image.effect_noise((3000, 2000), 80).convert("RGB"), "JPEG")
    uri = data_uri(data)
    assert opened(uri).size == (SIDE, 64)
    assert len(uri or "") < 20_000


def test_a_small_image_is_not_blown_up() -> None:
    assert opened(data_uri(encoded(Image.new("L", (8, 8)), "PNG"))).size == (8, 8)


def test_a_photo_taken_sideways_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert opened(data_uri(encoded(Image.new("RGB", (400, 200)), "JPEG", exif=exif))).size == (48, SIDE)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "I;16", "CMYK"])
def test_images_of_every_mode_are_shown(mode: str) -> None:
    image = Image.new(mode, (200, 100))
    assert opened(data_uri(encoded(image, "JPEG" if mode == "CMYK" else "PNG"))).size == (SIDE, 48)


def test_what_is_transparent_is_paper() -> None:
    image = opened(data_uri(encoded(Image.new("RGBA", (50, 50), (255, 0, 0, 0)), "PNG")))
    assert image.convert("RGB").getpixel((25, 25)) == (255, 255, 255)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<svg/>", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_is_not_an_image_is_not_shown(data: bytes) -> None:
    assert data_uri(data) is None


def test_an_image_cut_short_is_not_shown() -> None:
    whole = encoded(Image.effect_noise((300, 300), 90), "PNG")
    assert data_uri(whole[: len(whole) // 2]) is None


def test_an_image_that_would_fill_the_memory_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trueground.images.PIXELS", 99 * 100)
    assert data_uri(encoded(Image.new("L", (100, 100)), "PNG")) is None


def test_a_ready_uri_is_taken_as_it_is_and_nothing_else_is() -> None:
    assert data_uri("data:image/png;base64,AAAA") == "data:image/png;base64,AAAA"
    assert data_uri("https://example.org/x.png") is None
