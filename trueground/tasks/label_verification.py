"""Label verification: people judge a label that an object already has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trueground.errors import InputError
from trueground.tasks.base import Answer, DataObject, Label
from trueground.tasks.classes import ClassTask


class LabelVerification(ClassTask):
    """Ground Truth's label verification. The judgement is one class, and so is the label that is judged: workers would
    not see boxes or masks yet.

    What workers comment is kept in the label's ``extra`` and written as ``worker-feedback``.
    """

    name = "label-verification"
    manifest_type = "groundtruth/label-verification"
    pre_functions = ("PRE-VerificationBoundingBox", "PRE-VerificationSemanticSegmentation")
    post_functions = ("ACS-VerificationBoundingBox", "ACS-VerificationSemanticSegmentation")
    source_key = "source-ref"
    media = "image"

    def task_input(self, data_object: DataObject, categories: Sequence[str]) -> dict[str, Any]:
        """Also ``manifestLine``: the object with the label to judge."""
        source = data_object.get("source-ref", data_object.get("source"))
        return {"taskObject": source, "labels": list(categories), "manifestLine": data_object}

    def check_object(self, data_object: DataObject) -> None:
        """Raise :class:`InputError` unless the object has a label that is one class."""
        found = [
            value for key, value in data_object.items() if key.endswith("-metadata") and isinstance(value, Mapping)
        ]
        if any(isinstance(metadata.get("class-name"), str) for metadata in found):
            return
        kinds = sorted({str(metadata["type"]) for metadata in found if "type" in metadata})
        has = f"only labels of the type {', '.join(kinds)}" if kinds else "no label"
        raise InputError(
            f"label verification (PRE-VerificationBoundingBox) is supported for labels that are one class, and the "
            f"object has {has}: workers would not see what they judge",
            hint="Give the object a label whose metadata has a class-name; boxes and masks cannot be verified yet.",
        )

    def consolidate(self, answers: Iterable[Answer], categories: Sequence[str]) -> list[Label]:
        """Judgements, each with the comments on its object."""
        known = list(answers)
        given: dict[str, list[Answer]] = {}
        for answer in known:
            given.setdefault(answer.object_id, []).append(answer)
        return [_with_comments(label, given[label.object_id]) for label in super().consolidate(known, categories)]

    def consolidator(self, answers: Iterable[Answer], categories: Sequence[str]) -> Callable[[Sequence[Answer]], Label]:
        """Judgements, each with the comments on its object."""
        judge = super().consolidator(answers, categories)
        return lambda given: _with_comments(judge(given), given)


def _with_comments(label: Label, answers: Sequence[Answer]) -> Label:
    comments = [{"comment": comment} for answer in answers for comment in _comments(answer.content)]
    return replace(label, extra={**label.extra, "worker-feedback": comments}) if comments else label


def _comments(content: Mapping[str, Any]) -> list[str]:
    found = [item.get("workerComment") for item in content.values() if isinstance(item, Mapping)]
    return [comment.strip() for comment in found if isinstance(comment, str) and comment.strip()]


TASK_TYPE = LabelVerification()
