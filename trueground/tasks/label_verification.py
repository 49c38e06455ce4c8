"""Label verification: people judge a label that an object already has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trueground.tasks.base import Answer, DataObject, Label
from trueground.tasks.classes import ClassTask


class LabelVerification(ClassTask):
    """Ground Truth's label verification. The judgement is one class, whatever kind of label is judged.

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
