"""Image classification: one class an image."""

from __future__ import annotations

from trueground.tasks.classes import ClassTask


class ImageClassification(ClassTask):
    """Ground Truth's image classification (single label)."""

    name = "image-classification"
    manifest_type = "groundtruth/image-classification"
    pre_functions = ("PRE-ImageMultiClass",)
    post_functions = ("ACS-ImageMultiClass",)
    source_key = "source-ref"
    media = "image"


TASK_TYPE = ImageClassification()
