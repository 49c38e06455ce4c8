"""What OpenLineage is told of a task."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from openlineage.client.serde import Serde

pytestmark = pytest.mark.thorough

PROJECT = """
kind: review-predictions
name: moods
source: {kind: file, predictions: predictions.jsonl}
labels: [good, bad]
output: reviews
review: {team: reviewers}
"""


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("s3://bucket/deep/labels.manifest", ("s3://bucket", "deep/labels.manifest")),
        ("file:///data/a%20b.jsonl", ("file", "/data/a b.jsonl")),
    ],
)
def test_a_file_is_named_by_openlineages_convention(uri: str, place: tuple[str, str]) -> None:
    from operators.lineage import place as place_of

    assert place_of(uri) == place


@pytest.mark.usefixtures("nothing_missing")
def test_a_step_tells_what_it_read_and_wrote_and_how_many_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk import Asset
    from operators.predictions import ChoosePredictionsToReviewOperator, TakePredictionsOperator
    from operators.reviews import MergeReviewsOperator

    (tmp_path / "moods.yaml").write_text(PROJECT)
    monkeypatch.setenv("TRUEGROUND_DATA_ROOT", str(tmp_path))
    monkeypatch.setattr("operators.base.PROJECTS_FOLDER", tmp_path)
    line = {"id": "a", "service": "custom", "source": "a", "prediction": {"label": "good"}}
    (tmp_path / "predictions.jsonl").write_text(json.dumps(line) + "\n")
    context: Any = {"outlet_events": {Asset("moods-reviews"): SimpleNamespace()}}
    how = {"project": "moods.yaml", "run_name": "night"}
    take = TakePredictionsOperator(task_id="predict", **how)
    merge = MergeReviewsOperator(task_id="merge", reviews=Asset("moods-reviews"), **how)
    take.execute(context)
    ChoosePredictionsToReviewOperator(task_id="choose", **how).execute(context)
    merge.execute(context)

    (read,), (written,) = files(take)
    assert (read["namespace"], read["name"]) == ("file", str(tmp_path / "predictions.jsonl"))
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 1
    inputs, outputs = files(merge)
    assert [item["name"] for item in inputs] == [written["name"]], "predictions are tied to their reviews"
    published = str(tmp_path / "reviews/runs/night/published")
    assert {item["name"] for item in outputs} == {
        f"{published}/reviews.jsonl", f"{published}/reviews.parquet", f"{published}/labels.manifest",
    }  # fmt: skip


def test_a_step_of_no_interest_tells_nothing() -> None:
    from operators.predictions import ChoosePredictionsToReviewOperator

    assert files(ChoosePredictionsToReviewOperator(task_id="choose", project="moods.yaml")) == ([], [])


def files(operator: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Inputs and outputs as OpenLineage's client writes them."""
    lineage = operator.get_openlineage_facets_on_complete(None)
    told = [[json.loads(Serde.to_json(item)) for item in items] for items in (lineage.inputs, lineage.outputs)]
    return told[0], told[1]
