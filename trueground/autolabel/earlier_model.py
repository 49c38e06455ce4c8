"""The first round's start: what the project's current model, from earlier nights, says of tonight's objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trueground.errors import InputError
from trueground.models import ModelRecord, Registry, load_model
from trueground.run import Run
from trueground.tasks.base import DataObject

if TYPE_CHECKING:
    from trueground.autolabel.choose import Forecast


def earlier_forecast(run: Run, objects: list[DataObject]) -> Forecast | None:
    """The current model's forecast; ``None`` where there is no model, or none that knows this project's classes.

    Which model that is, is decided once a run: so a step that is repeated asks people about the same objects. The run's
    ``earlier-model.json`` holds its name, or the reason why there is none.
    """
    registry = Registry(run.storage, run.project.output)
    decided = run.read_json("earlier-model.json")
    forecast = None
    try:
        if decided is None:
            current = registry.current()
            decided = {"model": current and current.name}
        if decided["model"] is not None:
            forecast = _forecast(run, registry.record(decided["model"]), objects)
    except InputError as error:
        # Labeling does not need it.
        decided = {"model": None, "reason": str(error)}
    run.write_json(decided, "earlier-model.json")
    return forecast


def why_no_earlier_model(run: Run) -> str | None:
    """What is wrong with the current model, once the first round was planned; ``None`` where it is used, or none is."""
    decided = run.read_json("earlier-model.json") or {}
    return decided.get("reason")


def _forecast(run: Run, record: ModelRecord, objects: list[DataObject]) -> Forecast:
    import numpy as np

    from trueground.autolabel.choose import Forecast
    from trueground.autolabel.features import BATCH, object_features

    model = load_model(run.storage, record)
    if unknown := set(model.classes_.tolist()) - set(run.categories):
        raise InputError(f"the model knows {', '.join(sorted(unknown))}, which the project does not", file=record.model)
    parts = [objects[start : start + BATCH] for start in range(0, len(objects), BATCH)]
    shares = [model.predict_proba(object_features(run.task_type, run.storage, part)) for part in parts]
    return Forecast.of_earlier(model, np.concatenate(shares))
