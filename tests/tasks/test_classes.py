"""The task types whose answer is one class."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueground.errors import InputError
from trueground.manifests import object_key
from trueground.tasks import task_type
from trueground.tasks.base import Answer, AnswerError, Label

SAMPLES = Path(__file__).parent / "samples"
CATEGORIES = ["cat", "dog", "7"]
CREATED = datetime(2026, 11, 23, 20, 15, 1)
IMAGES, TEXTS, VERIFICATION = map(task_type, ("image-classification", "text-classification", "label-verification"))


def answer(worker: str, label: str, key: str = "s3://b/1.png", element: str = "crowd-image-classifier") -> Answer:
    return Answer(object_id=key, worker_id=worker, content={element: {"label": label}})


@pytest.mark.parametrize(
    ("sample", "type_name", "attribute", "categories"),
    [
        ("out-image-classification", "image-classification", "species", ["dog", "cat"]),
        ("out-text-classification", "text-classification", "mood", ["negative", "positive"]),
        (
            "out-label-verification-bounding-box",
            "label-verification",
            "verify-bounding-box-attribute-name",
            ["good", "bad"],
        ),
        ("out-semantic-segmentation-verification", "label-verification", "verify-city-streets-ref", ["good", "bad"]),
    ],
)
def test_what_aws_wrote_is_read_and_written_again(
    sample: str, type_name: str, attribute: str, categories: list[str]
) -> None:
    (line,) = map(json.loads, (SAMPLES / f"{sample}.jsonl").read_text().splitlines())
    metadata = line[f"{attribute}-metadata"]
    kind = task_type(type_name)
    label = kind.read_label(line, attribute, categories)
    assert label is not None and label.object_id == object_key(line) and label.human
    assert (label.value, label.confidence) == (metadata["class-name"], metadata["confidence"])

    # The docs' samples predate what the service wrote in the end: an integer, and labeling-job/ before the name.
    job = metadata["job-name"]
    created = datetime.fromisoformat(metadata["creation-date"])
    written = kind.write_label(label, attribute, categories, job_name=job, created=created)
    metadata = {**metadata, "job-name": f"labeling-job/{job}"}
    assert written == {attribute: int(line[attribute]), f"{attribute}-metadata": metadata}
    assert type(written[attribute]) is int


LABELS = st.builds(
    Label,
    object_id=st.just("s3://b/1.png"),
    value=st.sampled_from(CATEGORIES),
    confidence=st.floats(0, 1).map(lambda share: round(share, 2)),
    human=st.booleans(),
    extra=st.dictionaries(st.just("adjustment-status"), st.sampled_from(["adjusted", "unadjusted"])),
)


@given(label=LABELS, created=st.datetimes(), job=st.from_regex("[a-z]{1,9}", fullmatch=True))
def test_a_written_label_is_read_back_as_it_was(label: Label, created: datetime, job: str) -> None:
    keys = IMAGES.write_label(label, "animal", CATEGORIES, job_name=job, created=created)
    line = json.loads(json.dumps({"source-ref": "s3://b/1.png", **keys}))
    assert IMAGES.read_label(line, "animal", CATEGORIES) == label
    assert datetime.strptime(keys["animal-metadata"]["creation-date"], "%Y-%m-%dT%H:%M:%S.%f") == created
    # Without its name the class is known by its index, as a number and as text.
    del line["animal-metadata"]["class-name"]
    for index in (line["animal"], str(line["animal"])):
        again = IMAGES.read_label({**line, "animal": index}, "animal", CATEGORIES)
        assert again is not None and again.value == label.value


def test_a_date_with_a_zone_is_written_in_utc_without_it() -> None:
    label = Label("k", "cat", 1.0)
    for created in (
        CREATED.replace(tzinfo=UTC),
        (CREATED + timedelta(hours=2)).replace(tzinfo=timezone(timedelta(hours=2))),
    ):
        written = IMAGES.write_label(label, "a", CATEGORIES, job_name="j", created=created)
        assert written["a-metadata"]["creation-date"] == "2026-11-23T20:15:01.000000"


def test_a_label_of_no_category_is_not_written() -> None:
    with pytest.raises(ValueError, match="'cow' is not one of the categories"):
        IMAGES.write_label(Label("k", "cow", 1.0), "a", CATEGORIES, job_name="j", created=CREATED)


@pytest.mark.parametrize(
    "line",
    [
        {"source-ref": "s3://b/1.png"},
        {"source-ref": "s3://b/1.png", "a": None},
        {"source-ref": "s3://b/1.png", "a-metadata": {"failure-reason": "nobody answered"}},
        {"source-ref": "s3://b/1.png", "a": 0, "a-metadata": {"class-name": "cat", "failure-reason": "too late"}},
    ],
)
def test_a_line_without_a_label_or_with_a_failed_one_has_none(line: dict[str, Any]) -> None:
    assert IMAGES.read_label(line, "a", CATEGORIES) is None


@pytest.mark.parametrize("metadata", [{}, {"a-metadata": {}}, {"a-metadata": "odd"}])
def test_a_label_with_little_metadata_is_read(metadata: dict[str, Any]) -> None:
    label = IMAGES.read_label({"source-ref": "s3://b/1.png", "a": "2", **metadata}, "a", CATEGORIES)
    assert label == Label("s3://b/1.png", "7", 0.0, human=True)


@pytest.mark.parametrize("value", [3, -1, "3", "cat", True, 1.0, [0], {}])
def test_a_value_that_is_no_index_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"is not the number of one of 3 categories") as caught:
        IMAGES.read_label({"source-ref": "s3://b/1.png", "a": value}, "a", CATEGORIES)
    assert caught.value.field == "a"


@pytest.mark.parametrize("element", ["crowd-image-classifier", "crowd-classifier", "my question"])
def test_an_answer_is_found_whatever_the_element_is_called(element: str) -> None:
    content = {element: {"label": "dog"}, "comment": {"text": "hm"}, "note": "x"}
    assert IMAGES.parse_answer(content, CATEGORIES) == "dog"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({}, "no element of the answer has a label; it holds nothing"),
        ({"a": {}, "b": "cat"}, "it holds 'a', 'b'"),
        ({"a": {"label": "cat"}, "b": {"label": "dog"}}, "the elements 'a', 'b' each have one"),
        ({"a": {"label": "cow"}}, "'cow' is not one of the categories"),
        ({"a": {"label": None}}, "the label of 'a' must be a text, it is None"),
        ({"a": {"label": ["cat"]}}, "must be a text"),
        ({"a": {"label": "Cat"}}, "'Cat' is not one of"),
        (["cat"], "a mapping of element name to output"),
    ],
)
def test_an_answer_of_another_form_is_refused_with_the_reason(content: Any, problem: str) -> None:
    with pytest.raises(AnswerError) as caught:
        IMAGES.parse_answer(content, CATEGORIES)
    assert problem in str(caught.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=5),
        lambda inner: st.dictionaries(st.text(max_size=5) | st.just("label"), inner),
    )
)
def test_no_answer_breaks_the_parser(content: Any) -> None:
    try:
        assert IMAGES.parse_answer(content, CATEGORIES) in CATEGORIES
    except AnswerError as error:
        assert str(error)


def test_answers_become_one_label_an_object_in_the_order_of_their_coming() -> None:
    answers = [answer(worker, "dog", "b") for worker in "uvw"] + [
        answer("u", "cat", "a"),
        answer("v", "cat", "a"),
        answer("w", "dog", "a"),
    ]
    labels = IMAGES.consolidate(iter(answers), CATEGORIES)
    assert [(label.object_id, label.value) for label in labels] == [("b", "dog"), ("a", "cat")]
    assert 0.5 < labels[1].confidence < labels[0].confidence <= 1
    assert all(label.human for label in labels)


def test_where_one_person_answered_the_manifest_shows_no_confidence_as_on_aws() -> None:
    (alone,) = IMAGES.consolidate([answer("u", "dog")], CATEGORIES)
    (both,) = IMAGES.consolidate([answer("u", "dog"), answer("v", "dog")], CATEGORIES)
    (again,) = IMAGES.consolidate([answer("u", "cat"), answer("u", "dog")], CATEGORIES)
    machine = Label("k", "dog", 0.876, human=False)
    written = [
        IMAGES.write_label(label, "a", CATEGORIES, job_name="j", created=CREATED)["a-metadata"]["confidence"]
        for label in (alone, both, again, machine)
    ]
    assert written[0] == written[2] == 0.0 and written[1] == round(both.confidence, 2) > 0.5 and written[3] == 0.88
    assert alone.confidence > 0.3, "the full confidence stays with the label"


def test_no_answers_make_no_labels_and_no_agreement() -> None:
    assert IMAGES.consolidate([], CATEGORIES) == [] and IMAGES.agreement([], CATEGORIES) is None


def test_a_wrong_answer_names_its_worker_and_object() -> None:
    with pytest.raises(AnswerError, match=r"answer of v to s3://b/1\.png: 'cow' is not one"):
        IMAGES.consolidate([answer("u", "dog"), answer("v", "cow")], CATEGORIES)


def test_agreement_is_one_for_equal_answers_and_undefined_for_lone_ones() -> None:
    same = [answer(worker, label, key) for worker in "uv" for key, label in (("1", "cat"), ("2", "dog"))]
    split = [answer("u", "cat", "1"), answer("v", "dog", "1"), answer("u", "dog", "2"), answer("v", "cat", "2")]
    assert IMAGES.agreement(same, CATEGORIES) == pytest.approx(1.0)
    assert IMAGES.agreement(split, CATEGORIES) < 0  # type: ignore[operator]
    assert IMAGES.agreement([answer("u", "cat", "1"), answer("u", "dog", "2")], CATEGORIES) is None


def test_people_get_what_ground_truths_functions_give() -> None:
    assert IMAGES.task_input({"source-ref": "s3://b/1.png", "id": 1}, CATEGORIES) == {
        "taskObject": "s3://b/1.png",
        "labels": CATEGORIES,
    }
    assert TEXTS.task_input({"source": "hello"}, CATEGORIES)["taskObject"] == "hello"
    for line in ({"source-ref": "s3://b/1.png", "a": 1}, {"source": "hello", "a": 1}):
        given = VERIFICATION.task_input(line, ["right", "wrong"])
        assert given["manifestLine"] == line and given["taskObject"] in line.values()
        assert given["labels"] == ["right", "wrong"]


def test_comments_on_a_judged_label_are_kept() -> None:
    def judge(worker: str, comment: object) -> Answer:
        return Answer("s3://b/1.png", worker, {"crowd-image-classifier": {"label": "bad", "workerComment": comment}})

    judgements = ["good", "bad"]
    (label,) = VERIFICATION.consolidate([judge("u", " too wide "), judge("v", ""), judge("w", None)], judgements)
    keys = VERIFICATION.write_label(label, "verify-box", judgements, job_name="j", created=CREATED)
    assert keys["verify-box"] == 1
    assert keys["verify-box-metadata"]["worker-feedback"] == [{"comment": "too wide"}]
    (silent,) = VERIFICATION.consolidate([judge("v", "")], judgements)
    keys = VERIFICATION.write_label(silent, "verify-box", judgements, job_name="j", created=CREATED)
    assert "worker-feedback" not in keys["verify-box-metadata"]
