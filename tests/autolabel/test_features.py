from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from trueground.autolabel import features
from trueground.autolabel.features import image_features, text_features, text_pool_features
from trueground.errors import InputError


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(seed: int = 0, size: int = 96) -> Image.Image:
    """A smooth coloured picture that is different in every corner."""
    small = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)


def similarity(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_an_image_has_the_same_features_in_any_company() -> None:
    files = [encode(picture(seed)) for seed in range(features.BATCH + 3)]
    together = image_features(files)
    np.testing.assert_allclose(together[-1:], image_features(files[-1:]), atol=1e-6)
    np.testing.assert_array_equal(together, image_features(iter(files)))


def test_no_images_make_no_rows_of_the_same_width() -> None:
    assert image_features([]).shape == (0, image_features([encode(picture())]).shape[1])


def test_size_and_encoding_matter_little_and_content_matters_much() -> None:
    one, larger, jpeg, other = image_features(
        [
            encode(picture(1)),
            encode(picture(1, 640)),
            encode(picture(1, 640), "JPEG", quality=90),
            encode(picture(2)),
        ]
    )
    assert min(similarity(one, larger), similarity(one, jpeg)) > 0.97
    assert similarity(one, other) < 0.9


def test_a_picture_turned_by_exif_is_read_upright() -> None:
    upright, exif = picture(3), Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to see it upright"
    turned = encode(upright.transpose(Image.Transpose.ROTATE_90), exif=exif)
    expected, found = image_features([encode(upright), turned])
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_kind_of_pixel_is_read(mode: str) -> None:
    rows = image_features([encode(picture().convert(mode), "JPEG" if mode == "CMYK" else "PNG")])
    assert np.isfinite(rows).all() and rows.any()


def test_deep_grey_is_not_cut_off() -> None:
    grey = np.asarray(picture(4).convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 200)
    shallow = Image.fromarray(grey)
    assert similarity(*image_features([encode(deep), encode(shallow)])) > 0.99


def test_a_plain_image_has_finite_features() -> None:
    assert np.isfinite(image_features([encode(Image.new("RGB", (1, 1)))])).all()


@pytest.mark.parametrize("content", [b"", b"not an image", encode(picture())[:200], b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="not an image"):
        image_features([content])


def test_an_image_with_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trueground.images.PIXELS", 96 * 96 - 1)
    with pytest.raises(InputError, match="96 x 96 pixels is too large"):
        image_features([encode(picture())])


def test_a_text_has_the_same_features_in_any_company() -> None:
    texts = ["the cat sat on the mat", "übermäßig viel Geld 💸", ""]
    together = text_features(texts)
    assert together.shape == (3, 4096) and together.dtype == np.float32
    np.testing.assert_array_equal(together[1:2], text_features(texts[1:2]))
    assert not together[2].any()
    assert text_features([]).shape == (0, 4096)


def test_texts_with_common_words_are_close() -> None:
    a, b, c = text_features(["please send my card again", "send me the card please", "goals in the second half"])
    assert similarity(a, b) > similarity(a, c) + 0.2


def test_reducing_to_a_pool_keeps_who_is_near_whom_and_is_deterministic() -> None:
    texts = [f"{topic} number {n}" for topic in ("football match goals", "bank card payment") for n in range(60)]
    rows = text_pool_features(texts)
    assert rows.shape == (120, 64)
    np.testing.assert_array_equal(rows, text_pool_features(texts))
    assert (rows[:60] @ rows[:60].T).mean() > (rows[:60] @ rows[60:].T).mean() + 0.3


def test_a_small_pool_is_left_as_it_is() -> None:
    np.testing.assert_array_equal(text_pool_features(["one", "two"]), text_features(["one", "two"]))
