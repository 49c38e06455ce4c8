"""The model: closed-form leave-one-out, files without code, features that stand alone."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from trueground.autolabel import model as module
from trueground.autolabel.features import image_features, text_features
from trueground.autolabel.model import LabelModel
from trueground.errors import InputError


def data(rows: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    randomness = np.random.default_rng(seed)
    classes = randomness.integers(0, 3, rows)
    return randomness.normal(0, 1, (rows, 4)) + 2 * np.eye(3, 4)[classes], np.array(["x", "y", "z"])[classes]


def test_the_closed_form_is_the_model_that_has_not_seen_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, names = data()
    weights = np.linspace(0.5, 1.5, len(rows))
    # One width and ridge, and the kernel of the whole: leaving a row out must change the weight of that row alone.
    monkeypatch.setattr(module, "WIDTHS", (0.5,))
    monkeypatch.setattr(module, "RIDGES", (0.1,))
    whole = LabelModel().fit(rows, names, weights)
    for left in (0, 17, 41):
        tiny = weights.copy()
        tiny[left] = 1e-12
        # The ridge is scaled by the mean weight; keep it what it was.
        monkeypatch.setattr(module, "RIDGES", (0.1 * weights.mean() / tiny.mean(),))
        without = LabelModel().fit(rows, names, tiny)
        without.temperature_ = whole.temperature_
        assert without.predict_proba(rows[left : left + 1])[0] == pytest.approx(
            whole.leave_one_out_proba_[left], abs=1e-6
        )


def test_it_learns_and_says_how_sure_it_is() -> None:
    rows, names = data(300)
    model = LabelModel().fit(rows[:200], names[:200])
    assert np.mean(model.predict(rows[200:]) == names[200:]) > 0.8
    assert model.predict_proba(rows).sum(axis=1) == pytest.approx(np.ones(300))


def test_it_comes_back_from_its_file_and_refuses_others() -> None:
    rows, names = data()
    model = LabelModel().fit(rows, names)
    again = LabelModel.from_bytes(model.to_bytes())
    assert np.array_equal(again.predict_proba(rows), model.predict_proba(rows))
    for other in (b"", b"no model", pickle.dumps(model)):
        with pytest.raises(InputError, match="model file"):
            LabelModel.from_bytes(other)


def test_objects_with_other_features_are_refused_in_words() -> None:
    rows, names = data()
    model = LabelModel.from_bytes(LabelModel().fit(rows, names).to_bytes())
    assert model.width == 4
    with pytest.raises(InputError, match=r"as 4 numbers, these are 5.*train it again"):
        model.predict(np.zeros((2, 5)))


def test_a_model_file_with_missing_parts_is_refused() -> None:
    from skops import io as skops

    with pytest.raises(InputError, match="lacks parts"):
        LabelModel.from_bytes(skops.dumps({"trueground label model": module.FORMAT, "gamma_": 1.0}))


def test_one_class_is_nothing_to_learn_from() -> None:
    with pytest.raises(ValueError, match="two classes"):
        LabelModel().fit([[0.0], [1.0]], ["a", "a"])


def png(value: int, size: int = 40) -> bytes:
    out = io.BytesIO()
    picture = np.full((size, size), 255, dtype=np.uint8)
    picture[:, value : value + 8] = 0
    Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()


def test_features_do_not_depend_on_the_other_objects() -> None:
    images = [png(4), png(20), png(30)]
    assert np.array_equal(image_features(images)[1:2], image_features(images[1:2]))
    texts = ["the food was good", "the train was late"]
    assert text_features(texts)[1] == pytest.approx(text_features(texts[1:])[0], abs=1e-6)


def test_features_of_a_file_that_is_no_image_say_so() -> None:
    with pytest.raises(InputError, match="not an image"):
        image_features([b"GIF89a nonsense"])
