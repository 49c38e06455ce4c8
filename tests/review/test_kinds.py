"""What reviewers say of documents and pictures, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.review.test_conditions import form, one, picture
from trueground.activation_conditions import REKOGNITION, TEXTRACT
from trueground.errors import InputError
from trueground.review.conditions import parse_conditions
from trueground.review.kinds import Opinion, review_kind
from trueground.review.merge import consensus
from trueground.review.steps import Reviewed

UNSURE = {"Conditions": [one("ModerationLabelConfidenceCheck", ModerationLabelName="*", ConfidenceLessThan=90)]}
PICTURE = picture(("Smoking", 60.0), ("Weapons", 99.0), ("Drinking", 70.0))
FORM = form(("Name", 50.0, [50.0, 50.0]), ("Date", 99.0, [99.0, 99.0]), ("Total", 40.0, [40.0, 40.0]))
FIELDS = {
    "Conditions": [one("ImportantFormKeyConfidenceCheck", ImportantFormKey="*", KeyValueBlockConfidenceLessThan=90)]
}


def said(*names: str, **more: Any) -> dict[str, Any]:
    return {REKOGNITION: {"moderationLabels": [{"name": name, "parentName": ""} for name in names], **more}}


def pairs(*fields: tuple[str, str, str], unknown: tuple[str, ...] = ()) -> dict[str, Any]:
    """An answer about a form: the id of the key's block, key, value."""
    blocks: list[dict[str, Any]] = []
    for name, key, value in fields:
        relation = {"type": "VALUE", "ids": [f"{name}-value"]}
        blocks += [
            {"id": name, "entityTypes": ["KEY"], "text": key, "relationships": [relation]},
            {"id": f"{name}-value", "entityTypes": ["VALUE"], "text": value, "relationships": []},
        ]
    return {TEXTRACT: {"blocks": blocks, **({"cannotTell": list(unknown)} if unknown else {})}}


def reviewed(line: dict[str, Any], conditions: Any, *answers: tuple[Any, dict[str, Any]]) -> Reviewed:
    """An object with what people answered: the step and the content of each."""
    kind, decision = review_kind(line["service"]), parse_conditions(conditions, service=line["service"]).evaluate(line)
    opinions = tuple((step, kind.opinion(line, decision, content)) for step, content in answers)
    return Reviewed(line, decision, kind.predicted(line, decision), opinions, tuple({} for _ in answers))


def final(found: Reviewed) -> Any:
    return review_kind(found.line["service"]).value(found.line, consensus(found))


def test_moderation_labels_are_judged_one_by_one_by_most_reviewers() -> None:
    found = reviewed(
        PICTURE, UNSURE, ("review", said("Smoking")), ("review", said("Smoking", "Drinking")), ("review", said())
    )
    # Nobody was asked about weapons.
    assert final(found) == ["Smoking", "Weapons"]
    assert found.disagreed and not found.doubtful


@pytest.mark.parametrize("content", [said("Drinking", "Smoking"), {REKOGNITION: {"ModerationLabels": [
    {"Name": "Smoking", "ParentName": ""}, {"Name": "Drinking", "ParentName": ""}]}}])  # fmt: skip
def test_what_confirms_all_labels_is_no_disagreement_however_it_is_spelled(content: Any) -> None:
    found = reviewed(PICTURE, UNSURE, ("review", content))
    assert not found.disagreed and final(found) == ["Smoking", "Weapons", "Drinking"]


def test_who_cannot_tell_has_no_opinion() -> None:
    found = reviewed(PICTURE, UNSURE, ("review", said(cannotTell=True)))
    assert found.doubtful and found.disagreed and consensus(found) == {}
    escalated = reviewed(PICTURE, UNSURE, ("review", said(cannotTell=True)), ("escalation", said("Drinking")))
    assert final(escalated) == ["Weapons", "Drinking"]


def test_experts_outvote_everybody() -> None:
    found = reviewed(PICTURE, UNSURE, ("review", said()), ("second", said()), ("escalation", said("Smoking")))
    assert final(found) == ["Smoking", "Weapons"]


def test_fields_of_a_form_are_judged_one_by_one_and_added_ones_are_kept() -> None:
    found = reviewed(
        FORM,
        FIELDS,
        ("review", pairs(("0-k", "Name", "Ada"), ("2-k", "Total", "7"), ("new-1", "Due", "May"))),
        ("review", pairs(("0-k", "Name", "Ada"), ("2-k", "Total", "9"), ("new-2", "Due", "May"))),
        ("review", pairs(("0-k", "Name", "Eda"), ("2-k", "Total", "9"))),
    )
    assert final(found) == [["Name", "Ada"], ["Date", "something"], ["Total", "9"], ["Due", "May"]]


def test_a_field_that_is_no_pair_is_taken_out_and_one_nobody_could_read_stays_as_it_was_read() -> None:
    found = reviewed(FORM, FIELDS, ("review", pairs(unknown=("2-k",))))
    assert final(found) == [["Date", "something"], ["Total", "something"]]
    assert found.doubtful


def test_a_key_that_people_do_not_find_either_is_told_and_one_that_they_find_is_added() -> None:
    missing = {"Conditions": [one("MissingImportantFormKey", ImportantFormKey="Due", ImportantFormKeyAliases=["By"])]}
    absent, found = pairs(), pairs(("new-1", "By", "May"))
    confirmed = reviewed(FORM, missing, ("review", absent))
    assert not confirmed.disagreed and consensus(confirmed) == {"+Due": None}
    assert final(confirmed) == review_kind("textract").value(FORM, {})
    assert final(reviewed(FORM, missing, ("review", found)))[-1] == ["By", "May"]
    disputed = reviewed(FORM, missing, ("review", found), ("review", absent))
    assert disputed.doubtful, "one found it, another did not"
    unknown = reviewed(FORM, missing, ("review", pairs(("new-1", "Due", "M"), unknown=("Due",))))
    assert unknown.doubtful and consensus(unknown) == {}


def test_that_there_is_nothing_can_be_confirmed_or_not() -> None:
    sample = {"Conditions": [one("Sampling", RandomSamplingPercentage=100)]}
    page, image = form(), picture()
    for line, nothing in ((page, pairs()), (image, said())):
        found = reviewed(line, sample, ("review", nothing))
        assert not found.disagreed and consensus(found) and final(found) == []
    assert reviewed(image, sample, ("review", said(cannotTell=True))).doubtful
    added = reviewed(page, sample, ("review", pairs(("new-1", "Due", "May"))))
    assert added.disagreed and final(added) == [["Due", "May"]]


def test_as_many_for_one_thing_as_for_another_is_doubt_and_the_prediction_wins_it() -> None:
    found = reviewed(
        FORM, FIELDS,
        ("review", pairs(("0-k", "Name", "something"), ("2-k", "Total", "7"))),
        ("second", pairs(("0-k", "Name", "Ada"), ("2-k", "Total", "9"))),
    )  # fmt: skip
    assert found.doubtful
    assert final(found) == [["Name", "something"], ["Date", "something"], ["Total", "7"]]


@pytest.mark.parametrize(
    ("line", "content"),
    [(PICTURE, {}), (PICTURE, {REKOGNITION: {"moderationLabels": "Smoking"}}), (FORM, {}), (FORM, {TEXTRACT: []})],
)
def test_an_answer_of_another_form_is_refused_by_name(line: dict[str, Any], content: Any) -> None:
    conditions = UNSURE if line is PICTURE else FIELDS
    with pytest.raises(InputError) as caught:
        reviewed(line, conditions, ("review", content))
    assert str(caught.value.field).startswith("answerContent")


def test_a_prediction_as_a_whole_has_the_form_of_its_kind() -> None:
    nothing: Opinion = {}
    assert review_kind("rekognition").value(PICTURE, nothing) == ["Smoking", "Weapons", "Drinking"]
    assert review_kind("textract").value(FORM, nothing)[0] == ["Name", "something"]
