"""Text classification: one class a text."""

from __future__ import annotations

from trueground.tasks.classes import ClassTask


class TextClassification(ClassTask):
    """Ground Truth's text classification (single label)."""

    name = "text-classification"
    manifest_type = "groundtruth/text-classification"
    pre_functions = ("PRE-TextMultiClass",)
    post_functions = ("ACS-TextMultiClass",)
    source_key = "source"
    media = "text"


TASK_TYPE = TextClassification()
