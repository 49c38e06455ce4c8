"""The form of reviews: what its values amount to, for each kind of source, and on S3."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.moto_server import MotoServer, serve_s3

NAMES = {"name": "seen", "review.team": "reviewers"}
PREDICTIONS = [
    {"id": "a", "service": "custom", "source": "a", "prediction": {"label": "good", "confidence": 0.9}},
    {"id": "b", "service": "custom", "source": "b", "prediction": {"label": "bad", "confidence": 0.2}},
]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[MotoServer]:
    """Everything is on S3."""
    with serve_s3("lake") as server:
        connection = {
            "conn_type": "aws", "login": "x", "password": "x",
            "extra": {"region_name": "us-east-1", "service_config": {"s3": {"endpoint_url": server.url}}},
        }  # fmt: skip
        monkeypatch.setitem(os.environ, "AIRFLOW_CONN_TRUEGROUND", json.dumps(connection))
        monkeypatch.setenv("TRUEGROUND_DATA_ROOT", "s3://lake/root")
        yield server


def filled(**values: Any) -> dict[str, Any]:
    """The form with some of its fields filled in, and all others as they are at first."""
    from operators.review_form import review_form

    form = review_form()
    given = {**NAMES, **{name.replace("__", "."): value for name, value in values.items()}}
    for place, value in given.items():
        form[place].value = value
    return {place: param.resolve() for place, param in form.items()}


def made(values: dict[str, Any], run_id: str = "manual__1") -> str:
    """The URI of the project that the form makes."""
    from operators.review_form import MakeReviewProjectOperator

    operator = MakeReviewProjectOperator(task_id="project")
    uri: str = operator.execute({"params": values, "run_id": run_id})["project"]  # type: ignore[typeddict-item]
    return uri


@pytest.mark.usefixtures("nothing_missing")
@pytest.mark.parametrize(
    "values",
    [
        {"source__predictions": "p.jsonl", "labels": ["good", "bad"]},
        {"source__predictions": "p.jsonl", "source__service": "textract"},
        {"source__kind": "model", "source__project": "digits.yaml", "source__prefix": "new", "labels": ["0", "1"]},
        {"source__kind": "documents", "source__prefix": "pages"},
        {"source__kind": "textract", "source__manifest": "in.manifest", "source__connection": "aws_default"},
        {"source__kind": "rekognition", "source__prefix": "s3://b/pictures", "source__min_confidence": 20},
        {"source__kind": "sagemaker-endpoint", "source__endpoint": "animals", "source__content_type": "image/png",
         "source__prefix": "new", "labels": ["cat", "dog"]},
    ],
)  # fmt: skip
def test_every_kind_of_source_can_be_asked_for(s3: MotoServer, values: dict[str, Any]) -> None:
    from operators.connections import data_root, storage_of

    from trueground.project_form import review_project_of

    uri = made(filled(**values))
    assert uri.startswith("s3://lake/root/seen/reviews/runs/")
    project = review_project_of(json.loads(storage_of("trueground").read_text(uri)), data_root=data_root())
    assert project.source.kind == values.get("source__kind", "file")
    for place, value in values.items():
        found = getattr(project.source, place.removeprefix("source__"), None) if "__" in place else project.labels
        wanted = tuple(value) if isinstance(value, list) else value
        assert found == wanted or str(found) == f"s3://lake/root/{value}"
    assert not getattr(project.source, "learn", False), "no later run could use it"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"labels": ["good", "bad"]}, "source.predictions"),
        ({"source__predictions": "p.jsonl"}, "labels"),
        ({"source__predictions": "p.jsonl", "source__prefix": "new", "labels": ["a", "b"]}, "source.prefix"),
        ({"source__kind": "model", "source__prefix": "new", "labels": ["a", "b"]}, "source.project"),
        ({"source__kind": "textract"}, "source"),
        ({"source__kind": "rekognition", "source__prefix": "new", "source__endpoint": "x"}, "source.endpoint"),
    ],
)
def test_what_does_not_fit_the_source_is_refused_by_its_field(
    s3: MotoServer, values: dict[str, Any], field: str
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match=rf"^{field}: "):
        made(filled(**values))
    assert "Contents" not in s3.client().list_objects_v2(Bucket="lake"), "a form that is refused leaves nothing"


def test_a_value_that_cannot_be_is_refused_at_the_form() -> None:
    from airflow.sdk.exceptions import ParamValidationError

    for values in (
        {"source__kind": "crystal-ball"},
        {"source__min_confidence": 101},
        {"source__service": "comprehend"},
    ):
        with pytest.raises(ParamValidationError):
            filled(**values)


@pytest.mark.usefixtures("nothing_missing")
def test_predictions_are_taken_as_the_form_asks_and_a_name_belongs_to_one_run(s3: MotoServer) -> None:
    from airflow.sdk.exceptions import AirflowFailException
    from operators.predictions import PredictAsAskedOperator

    lines = "".join(json.dumps(line) + "\n" for line in PREDICTIONS)
    s3.client().put_object(Bucket="lake", Key="root/p.jsonl", Body=lines.encode())
    values = filled(source__predictions="p.jsonl", labels=["good", "bad"])
    project = made(values)
    assert made(values) == project, "safe to repeat"
    predict = PredictAsAskedOperator(task_id="predict", project=project, run_name="manual__1")
    assert predict.execute({}) == {"predictions": 2}
    inputs = predict.get_openlineage_facets_on_complete(None).inputs
    assert [(one.namespace, one.name) for one in inputs] == [("s3://lake", "root/p.jsonl")]
    with pytest.raises(AirflowFailException, match="name: the run 'manual__1' works on 'seen'"):
        made(values, "manual__2")
