"""The operators of a document project's models: learn, promote, go back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.review.test_learned_fields import Runs, read_once, runs
from trueground.contracts import ModelExtra, read_extra
from trueground.models.registry import Registry

__all__ = ["read_once", "runs"]

pytestmark = pytest.mark.thorough


def test_two_nights_teach_two_models_and_one_trigger_goes_back(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk import Asset
    from airflow.sdk.exceptions import AirflowSkipException
    from operators.learn_fields import LearnFieldsOperator, PromoteFieldsOperator, RollBackFieldsOperator

    monkeypatch.setenv("TRUEGROUND_DATA_ROOT", str(runs.folder / "data"))
    monkeypatch.setattr("operators.base.PROJECTS_FOLDER", runs.folder)
    asset = Asset("invoices-model")
    events: list[ModelExtra] = []

    def run(operator: Any) -> Any:
        event = SimpleNamespace(extra=None)
        result = operator.execute({"outlet_events": {asset: event}, "ti": SimpleNamespace(xcom_push=print)})
        if event.extra is not None:
            events.append(read_extra(ModelExtra, event.extra, asset=asset.name))
        return result

    how: dict[str, Any] = {"project": "project.yaml"}
    with pytest.raises(AirflowSkipException, match="too few to learn from"):
        run(LearnFieldsOperator(task_id="learn_fields", run_name="nobody reviewed", **how))
    for night in ("first", "second"):
        runs.review(runs.run(night))
        learn = LearnFieldsOperator(task_id="learn_fields", run_name=night, **how)
        learned = run(learn)
        assert learned["better"] and run(learn) == learned
        (written,) = learn.get_openlineage_facets_on_complete(None).outputs
        assert written.name.endswith("fields.skops")
        run(PromoteFieldsOperator(task_id="promote", run_name=night, model=asset, **how))
    run(RollBackFieldsOperator(task_id="roll_back", run_name="back", model=asset, reason="to be sure", **how))
    assert [(event.name, event.previous) for event in events] == [("first", None), ("second", "first"), ("first", None)]
    third = runs.run("third")
    current = Registry(third.storage, third.project.output).current()
    assert current is not None and third.read_json("fields-model.json") == {"model": current.model}
    assert current.name == "first"


def test_a_model_that_is_no_better_is_used_only_where_somebody_approves(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk import Asset
    from airflow.sdk.exceptions import AirflowSkipException
    from operators.learn_fields import PromoteFieldsOperator

    from trueground.review.learned_fields import learn_fields

    monkeypatch.setenv("TRUEGROUND_DATA_ROOT", str(runs.folder / "data"))
    monkeypatch.setattr("operators.base.PROJECTS_FOLDER", runs.folder)
    first = runs.run("first")
    runs.review(first)
    registry = Registry(first.storage, first.project.output)
    registry.register(learn_fields(first).model_copy(update={"better": False, "reason": "worse"}))
    asset = Asset("invoices-model")
    context: Any = {"outlet_events": {asset: SimpleNamespace(extra=None)}}
    how: dict[str, Any] = {"project": "project.yaml", "run_name": "first", "model": asset}
    with pytest.raises(AirflowSkipException, match="not promoted: worse"):
        PromoteFieldsOperator(task_id="promote", **how).execute(context)
    assert registry.current() is None
    PromoteFieldsOperator(task_id="promote", by_rule=False, **how).execute(context)
    assert context["outlet_events"][asset].extra["reason"] == "approved; worse"
