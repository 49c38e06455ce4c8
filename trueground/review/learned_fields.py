"""The model of fields of a review project: learned from the reviews of all its runs, and used by the next one.

The project's registry of models keeps one a run, and can go back to an earlier one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from trueground import storage as paths
from trueground.errors import InputError
from trueground.models.registry import ModelRecord, Registry
from trueground.review.forms import ReviewedField
from trueground.review.merge import consensus
from trueground.review.project import ReviewRun
from trueground.review.steps import reviewed
from trueground.review.textract import form_fields
from trueground.run import folder_name

if TYPE_CHECKING:
    from trueground.documents.field_model import FieldModel


def model_of(run: ReviewRun) -> FieldModel | None:
    """The model that a run uses: the one that was current when it first asked. ``None``: there was none.

    Raises:
        InputError: its file is no model of this version.
    """
    from trueground.documents.field_model import FieldModel

    used = run.read_json("fields-model.json")
    if used is None:
        current = Registry(run.storage, run.project.output).current()
        used = {"model": None if current is None else current.model}
        run.write_json(used, "fields-model.json")
    return None if used["model"] is None else FieldModel.from_bytes(run.storage.read_bytes(used["model"]))


def learn_fields(run: ReviewRun) -> dict[str, Any]:
    """Train the model anew on the reviews of all runs, this one included, and make it the current one.

    Where there are too few reviews to learn from, the one before stays current.

    Returns:
        ``trained_on``, how many reviewed fields; ``model``, its URI; ``reason``, why there is none.
    """
    from trueground.documents.field_model import FieldModel

    fields = [field for each in _runs(run) for field in reviewed_fields(each)]
    try:
        model = FieldModel().fit(fields)
    except InputError as error:
        return {"trained_on": len(fields), "model": None, "reason": str(error)}
    registry, name = Registry(run.storage, run.project.output), folder_name(run.name)
    content, reason = model.to_bytes(), f"trained on all {len(fields)} fields that people reviewed"
    uri, card = registry.uri(name, "fields.skops"), registry.uri(name, "card.md")
    run.storage.write_bytes(uri, content)
    run.storage.write_text(card, model.card(run.project.name))
    record = ModelRecord(
        name=name,
        project=run.project.name,
        run=run.name,
        trainer="fields",
        created=datetime.now(UTC).isoformat(),
        model=uri,
        sha256=hashlib.sha256(content).hexdigest(),
        card=card,
        trained_on=len(fields),
        better=True,
        reason=reason,
    )
    registry.register(record)
    registry.promote(name, by=run.name, reason=reason)
    return {"trained_on": len(fields), "model": uri, "reason": None}


def reviewed_fields(run: ReviewRun) -> Iterator[ReviewedField]:
    """The fields that people looked at in a run, as the reader read them, with what people say of them together."""
    as_read = {
        line["id"]: {field.block_ids[0]: field for field in form_fields(line["prediction"])}
        for line in run.read_lines("read.jsonl")
        if "prediction" in line
    }
    # The project's conditions may have changed since. What people were shown is what they spoke of, and all of it.
    unconditional = replace(run, project=run.project.model_copy(update={"conditions": None}))
    shown = {
        line["id"]: {block["id"] for block in line["content"]["selectedAiServiceResponse"]["blocks"]}
        for line in run.read_lines("loops", "review.jsonl")
    }
    for found in reviewed(unconditional):
        name = found.line["id"]
        for part, said in consensus(found).items():
            if part in shown.get(name, ()) and part in as_read.get(name, ()):
                key, value = said or (None, None)
                yield ReviewedField(as_read[name][part], key, value)


def _runs(run: ReviewRun) -> Iterator[ReviewRun]:
    """The runs of a project in which people were asked."""
    runs = paths.join(run.project.output, "runs")
    for uri in run.storage.list(runs):
        folder = paths.parent(paths.parent(uri))
        if paths.parent(folder) == runs and uri == paths.join(folder, "reviews", "review.jsonl"):
            yield ReviewRun(run.project, paths.name(folder), run.storage)
