"""What the model of fields learns from reviewed documents."""

from __future__ import annotations

import random
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from skops import io

from trueground.documents.field_model import FieldModel
from trueground.documents.values import KnownValues, outline, shape
from trueground.errors import InputError
from trueground.review.forms import ReviewedField
from trueground.review.textract import FormField, form_fields


def read(key: str, value: str, *, confidence: float = 99.0, key_confidence: float = 99.9) -> FormField:
    keys, values = (key_confidence,) * len(key.split()), (confidence,) * len(value.split())
    return FormField(key, value, 97.0, keys + values, ("key", "value"), values)


def reviewed(count: int, seed: int = 0) -> list[ReviewedField]:
    """Fields of which one in four is misread: its zeros are taken for the letter O, and its words are less sure."""
    chance, fields = random.Random(seed), []
    for _ in range(count):
        key, value = chance.choice(
            [
                ("Invoice no.:", f"INV-{chance.randrange(10_000, 99_999)}0"),
                ("Total:", f"{chance.randrange(1000, 9999)}.{chance.randrange(10, 99)} EUR"),
                ("Client:", f"{chance.choice(('Moreau', 'Novak', 'Tanaka'))} {chance.choice(('Glass', 'Foods'))}"),
            ]
        )
        wrong = chance.random() < 0.25
        seen = value.replace("0", "O").replace("EUR", "EUP").replace("an", "on") if wrong else value
        fields.append(ReviewedField(read(key, seen, confidence=chance.gauss(88 if wrong else 97, 4)), key, value))
    return fields


@pytest.fixture(scope="module")
def model() -> FieldModel:
    return FieldModel().fit(reviewed(200))


def test_what_is_misread_is_mended_from_what_other_documents_say(model: FieldModel) -> None:
    assert model.check(read("Invoice no.:", "INV-4711O0")).value == "INV-471100"
    assert model.check(read("Client:", "Tonaka Gloss", confidence=80)).value == "Tanaka Glass"
    assert model.check(read("Invoioe no.:", "INV-471100", key_confidence=70)).key == "Invoice no.:"


def test_what_was_read_surely_is_not_taken_for_another_word(model: FieldModel) -> None:
    new = read("Client:", "Tanaba Glass", confidence=99.9)
    assert (model.check(new).value, model.check(read("Client no.:", "4711")).key) == ("Tanaba Glass", "Client no.:")


def test_a_field_that_was_read_unsurely_or_looks_unusual_is_less_likely_right(model: FieldModel) -> None:
    usual, unsure, unusual = (
        model.check(field).probability
        for field in (
            read("Total:", "1234.50 EUR"),
            read("Total:", "1234.50 EUR", confidence=60),
            read("Total:", "Moreau", confidence=99),
        )
    )
    assert usual > 0.9 and unsure < usual and unusual < usual


def test_its_chances_fit_what_happens_to_documents_it_has_not_seen(model: FieldModel) -> None:
    fields = reviewed(400, seed=1)
    checked = [model.check(field.read) for field in fields]
    right = [(found.key, found.value) == (field.key, field.value) for found, field in zip(checked, fields, strict=True)]
    share = sum(right) / len(right)
    assert abs(sum(found.probability for found in checked) / len(checked) - share) < 0.05
    loss = sum((found.probability - good) ** 2 for found, good in zip(checked, right, strict=True)) / len(right)
    assert loss < 0.8 * share * (1 - share)


def response() -> dict[str, Any]:
    def block(kind: str, name: str, **more: Any) -> dict[str, Any]:
        return {"BlockType": kind, "Id": name, "Confidence": 98.0, **more}

    def side(entity: str, name: str, words: list[str], *more: Any) -> dict[str, Any]:
        relations = [*more, {"Type": "CHILD", "Ids": words}]
        return block("KEY_VALUE_SET", name, EntityTypes=[entity], Relationships=relations)

    words = {"w1": "Invoice", "w2": "no.:", "w3": "INV-4711O0", "w4": "Client:", "w5": "Tonaka", "w6": "Gloss"}
    blocks = [
        block("PAGE", "p"),
        *(block("WORD", name, Text=text, TextType="PRINTED") for name, text in words.items()),
        side("KEY", "k1", ["w1", "w2"], {"Type": "VALUE", "Ids": ["v1"]}),
        side("VALUE", "v1", ["w3"]),
        side("KEY", "k2", ["w4"], {"Type": "VALUE", "Ids": ["v2"]}),
        side("VALUE", "v2", ["w5", "w6"]),
    ]
    blocks[5]["Confidence"] = blocks[6]["Confidence"] = 70.0
    return {"Blocks": blocks, "DocumentMetadata": {"Pages": 1}}


def test_applied_to_a_response_it_mends_the_words_and_says_its_chances(model: FieldModel) -> None:
    given = response()
    mended = model.apply(given)
    shape_of = botocore.session.get_session().get_service_model("textract").shape_for("AnalyzeDocumentResponse")
    assert ParamValidator().validate(mended, shape_of).generate_report() == ""
    first, second = form_fields(mended)
    assert (first.value, second.value) == ("INV-471100", "Tanaka Glass")
    assert first.confidence == pytest.approx(100 * model.check(form_fields(given)[0]).probability, abs=0.001)
    assert set(second.word_confidences) == {second.confidence}
    assert given == response()


def test_it_is_the_same_after_it_was_kept_as_a_file(model: FieldModel) -> None:
    again = FieldModel.from_bytes(model.to_bytes())
    field = read("Client:", "Novok Foods", confidence=80)
    assert again.check(field) == model.check(field)
    assert again.trained_on == 200


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"no model", "not a model file"),
        (io.dumps({"trueground field model": 99}), "of another version"),
        (io.dumps({"trueground field model": 1, "mean": 0}), "lacks parts"),
    ],
)
def test_a_file_of_another_kind_or_version_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        FieldModel.from_bytes(content)


def test_too_few_reviews_are_refused() -> None:
    with pytest.raises(InputError, match="are too few to learn from"):
        FieldModel().fit(reviewed(10))
    right = [ReviewedField(read("A:", str(number)), "A:", str(number)) for number in range(50)]
    with pytest.raises(InputError, match="50 reviewed fields, of which 50 are right"):
        FieldModel().fit(right)


def test_shapes_say_the_kind_of_each_character() -> None:
    assert (shape("INV-47, Ab"), outline("INV-47, Ab")) == ("AAA-99, Aa", "A-9, Aa")


def test_a_value_that_cannot_be_mended_stays_as_it_was_read() -> None:
    known = KnownValues().learn([("No:", f"AB{number}", f"AB{number}") for number in range(1000, 1010)])
    assert known.mend_value("No:", "A81001") == "AB1001"
    assert known.mend_value("No:", "??1001") == "??1001"
    assert known.mend_value("No:", "AB10011") == "AB10011"
    assert known.mend_value("Other:", "A81001") == "A81001"
