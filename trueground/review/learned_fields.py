"""The model of fields of a review project: learned from the reviews of all its runs, and used by the next one.

The project's registry of models keeps one a run, and can go back to an earlier one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trueground import storage as paths
from trueground.errors import InputError
from trueground.models.data import in_test_split, sha256_of
from trueground.models.evaluate import Comparison, compare_models
from trueground.models.registry import DataVersion, ModelRecord, Registry, model_content
from trueground.models.retrain import model_name, registry_of
from trueground.quality.bounds import wilson_interval
from trueground.review.forms import ReviewedField
from trueground.review.merge import consensus
from trueground.review.project import ReviewRun
from trueground.review.steps import reviewed
from trueground.review.textract import form_fields
from trueground.storage import Storage

if TYPE_CHECKING:
    from trueground.documents.field_model import FieldModel


TEST_SHARE = 0.2
"""Of the documents, those whose fields no model learns from."""


def model_of(run: ReviewRun) -> FieldModel | None:
    """The model that a run uses: the one that was current when it first asked. ``None``: there was none.

    Raises:
        InputError: its file is no model of this version.
    """
    from trueground.documents.field_model import FieldModel

    used = run.read_json("fields-model.json")
    if used is None:
        current = registry_of(run).current()
        used = {"model": None if current is None else current.model}
        run.write_json(used, "fields-model.json")
    return None if used["model"] is None else FieldModel.from_bytes(run.storage.read_bytes(used["model"]))


def learn_fields(run: ReviewRun) -> ModelRecord:
    """Train a model anew on the reviews of all runs, this one included, and register it; nobody uses it yet.

    The fields of some documents, always the same ones, are kept for testing. The rule promotes a model that is right
    about as many of them as the current one, at least; it learned from more.

    Returns:
        What is registered of it.

    Raises:
        TooFewReviews: there is nothing to learn from.
        InputError: a review has not the form that its page gives; ``file`` names it.
    """
    from trueground.documents.field_model import FieldModel

    found = [(each, list(reviewed_fields(each))) for each in _runs(run)]
    kept = [(in_test_split(document, TEST_SHARE), field) for _, fields in found for document, field in fields]
    train, test = ([field for tested, field in kept if tested == wanted] for wanted in (False, True))
    model = FieldModel().fit(train)
    registry, name = registry_of(run), model_name(run)
    content, (uri, card) = model.to_bytes(), (registry.uri(name, file) for file in ("fields.skops", "card.md"))
    right = _right(model, test)
    lower, upper = wilson_interval(int(right.sum()), len(right))
    champion, comparison, better = compared(registry, name, test, right)
    record = ModelRecord(
        name=name,
        project=run.project.name,
        run=run.name,
        trainer="fields",
        created=datetime.now(UTC).isoformat(),
        model=uri,
        sha256=hashlib.sha256(content).hexdigest(),
        card=card,
        data=tuple(_version(each, len(fields)) for each, fields in found),
        trained_on=len(train),
        tested_on=len(test),
        accuracy=float(right.mean()) if test else None,
        lower=lower if test else None,
        upper=upper if test else None,
        champion=champion,
        champion_accuracy=comparison.champion_accuracy,
        compared_on=comparison.objects,
        p_value=comparison.p_value,
        better=better,
        reason=comparison.reason,
    )
    run.storage.write_bytes(uri, content)
    run.storage.write_text(card, model.card(record))
    registry.register(record)
    return record


def compared(
    registry: Registry, name: str, test: Sequence[ReviewedField], right: NDArray[np.bool_]
) -> tuple[str | None, Comparison, bool]:
    """The name of the current model, how a new one compares with it, and whether the rule promotes the new one.

    Args:
        registry: the project's models.
        name: of the new one.
        test: the fields of test documents.
        right: of each, whether the new one says what people say, ``[fields]``.
    """
    pointer = registry.pointer()
    # Where a run is repeated after its model was promoted, the one before is what it is compared with.
    current = pointer and (pointer.history[-1].previous if pointer.model == name else pointer.model)
    if not current:
        return None, compare_models(right, None, right), True
    try:
        before = _right(_load(registry.storage, registry.record(current)), test)
    except InputError as error:
        # Nobody could use it any more, so there is nothing to defend.
        first = compare_models(right, None, right)
        return current, replace(first, reason=f"the current model cannot be used: {error}"), True
    comparison = compare_models(np.ones(len(test), dtype=bool), before, right)
    return current, comparison, bool(test) and int(right.sum()) >= int(before.sum())


def _right(model: FieldModel, fields: Sequence[ReviewedField]) -> NDArray[np.bool_]:
    """Which of some fields a model says as people do."""
    checked = [model.check(field.read) for field in fields]
    return np.array(
        [(one.key, one.value) == (field.key, field.value) for one, field in zip(checked, fields, strict=True)],
        dtype=bool,
    )


def _load(storage: Storage, record: ModelRecord) -> FieldModel:
    from trueground.documents.field_model import FieldModel

    return FieldModel.from_bytes(model_content(storage, record))


def _version(run: ReviewRun, fields: int) -> DataVersion:
    uri = run.uri("reviews", "review.jsonl")
    digest = sha256_of(run.storage, uri)
    return DataVersion(kind="reviews", uri=uri, attribute="fields", sha256=digest, objects=fields)


def reviewed_fields(run: ReviewRun) -> Iterator[tuple[str, ReviewedField]]:
    """The fields that people looked at in a run with their document's id: as the reader read them, and what people say
    of them together.
    """
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
                yield name, ReviewedField(as_read[name][part], key, value)


def _runs(run: ReviewRun) -> Iterator[ReviewRun]:
    """The runs of a project in which people were asked."""
    runs = paths.join(run.project.output, "runs")
    for uri in run.storage.list(runs):
        folder = paths.parent(paths.parent(uri))
        if paths.parent(folder) == runs and uri == paths.join(folder, "reviews", "review.jsonl"):
            yield ReviewRun(run.project, paths.name(folder), run.storage)
