"""What people are shown of a document, and what their answers make of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trueground.errors import InputError
from trueground.review.conditions import parse_conditions
from trueground.review.forms import form_input, said_of_form

FORMS = "AWS/Textract/AnalyzeDocument/Forms/V1"
CONDITIONS = {
    "Conditions": [
        {
            "Or": [
                {
                    "ConditionType": "ImportantFormKeyConfidenceCheck",
                    "ConditionParameters": {"ImportantFormKey": "*", "KeyValueBlockConfidenceLessThan": 90},
                },
                {
                    "ConditionType": "MissingImportantFormKey",
                    "ConditionParameters": {"ImportantFormKey": "IBAN:", "ImportantFormKeyAliases": ["Account:"]},
                },
            ]
        }
    ]
}


def line(uri: str = "file:///data/1.jpg") -> dict[str, Any]:
    """A prediction with the pairs Date: 1 (sure), Total: 2 and Net: 3 (unsure)."""
    blocks: list[dict[str, Any]] = []
    for number, (key, confidence) in enumerate([("Date:", 99.0), ("Total:", 60.0), ("Net:", 70.0)], 1):
        names = {part: f"{part}{number}" for part in ("key", "value", "word", "number")}
        for part, text in (("word", key), ("number", str(number))):
            blocks.append({"BlockType": "WORD", "Id": names[part], "Text": text, "Confidence": confidence})
        for part, child in (("key", "word"), ("value", "number")):
            relations = [{"Type": "CHILD", "Ids": [names[child]]}]
            if part == "key":
                relations.append({"Type": "VALUE", "Ids": [names["value"]]})
            blocks.append({"BlockType": "KEY_VALUE_SET", "Id": names[part], "EntityTypes": [part.upper()],
                           "Confidence": confidence, "Relationships": relations})  # fmt: skip
    return {"id": "1", "service": "textract", "source-ref": uri, "prediction": {"Blocks": blocks}}


def decide(given: dict[str, Any]) -> Any:
    return parse_conditions(CONDITIONS, service="textract").evaluate(given)


def answer(*pairs: tuple[str, str, str], unknown: tuple[str, ...] = ()) -> dict[str, Any]:
    blocks = []
    for name, key, value in pairs:
        relations = [{"type": "VALUE", "ids": [f"of {name}"]}]
        blocks += [
            {"id": name, "entityTypes": ["KEY"], "text": key, "relationships": relations},
            {"id": f"of {name}", "entityTypes": ["VALUE"], "text": value, "relationships": []},
        ]
    return {FORMS: {"blocks": blocks, **({"cannotTell": list(unknown)} if unknown else {})}}


def test_people_are_asked_about_the_pairs_that_the_conditions_selected_and_keys_that_are_missing() -> None:
    given = line()
    shown = form_input(given, decide(given))
    pairs = [block for block in shown["selectedAiServiceResponse"]["blocks"] if block["blockType"] == "KEY_VALUE_SET"]
    assert [(block["id"], block["text"]) for block in pairs] == [
        ("key2", "Total:"), ("value2", "2"), ("key3", "Net:"), ("value3", "3"),
    ]  # fmt: skip
    assert shown["humanLoopContext"]["importantFormKeys"] == [
        {"importantFormKey": "IBAN:", "importantFormKeyAliases": ["Account:"]}
    ]
    assert shown["humanTaskActivationConditionResults"]["Conditions"][0]["EvaluationResult"] is True
    assert len(shown["aiServiceResponse"]["blocks"]) == len(given["prediction"]["Blocks"])
    json.dumps(shown)


def test_a_key_that_was_read_surely_is_not_asked_for_as_if_it_were_missing() -> None:
    check = {
        "ConditionType": "ImportantFormKeyConfidenceCheck",
        "ConditionParameters": {"ImportantFormKey": "Date:", "KeyValueBlockConfidenceLessThan": 90},
    }
    given = line()
    decision = parse_conditions({"Conditions": [*CONDITIONS["Conditions"], check]}, service="textract").evaluate(given)
    keys = form_input(given, decision)["humanLoopContext"]["importantFormKeys"]
    assert [key["importantFormKey"] for key in keys] == ["IBAN:"]


def test_a_file_is_named_as_aws_does_where_it_is_on_s3_and_by_its_uri_elsewhere() -> None:
    on_s3, elsewhere = line("s3://bucket/a/1.jpg"), line()
    document = form_input(on_s3, decide(on_s3))["aiServiceRequest"]["document"]
    assert document == {"s3Object": {"bucket": "bucket", "name": "a/1.jpg"}}
    assert form_input(elsewhere, decide(elsewhere))["source-ref"] == "file:///data/1.jpg"


def test_an_answer_says_of_each_pair_what_it_is_and_which_nobody_could_read() -> None:
    content = answer(("key2", "Total:", "20"), ("new", "IBAN:", "DE1"), unknown=("key2",))
    assert said_of_form(content) == ({"key2": ("Total:", "20"), "new": ("IBAN:", "DE1")}, {"key2"})


@pytest.mark.parametrize("content", [None, {}, {FORMS: []}, {FORMS: {"blocks": "none"}}])
def test_an_answer_of_another_form_is_refused_by_name(content: Any) -> None:
    with pytest.raises(InputError) as caught:
        said_of_form(content)
    assert caught.value.field == f"answerContent.{FORMS}.blocks"
