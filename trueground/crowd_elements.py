"""The ``crowd-*`` elements of task templates: those that Trueground's portal defines, and those that only AWS has.

The portal's scripts define them (``service/portal/static/crowd``); a test keeps the two lists the same.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CrowdElement:
    """What a template's check has to know of an element.

    Args:
        answers: its output is part of the answer.
        whole_task: it brings its own Submit button, and a form where the template has none.
        toggles: its output is ``{value: true or false}``, so elements of one name are put together.
        categories: the output has a ``label``, one of the attribute ``categories``.
    """

    answers: bool = False
    whole_task: bool = False
    toggles: bool = False
    categories: bool = False


_CLASSIFIER = CrowdElement(answers=True, whole_task=True, categories=True)
_WHOLE_TASK = CrowdElement(answers=True, whole_task=True)
_INPUT = CrowdElement(answers=True)
_TOGGLE = CrowdElement(answers=True, toggles=True)
_PLAIN = CrowdElement()

ELEMENTS: dict[str, CrowdElement] = {
    "crowd-alert": _PLAIN,
    "crowd-button": _PLAIN,
    "crowd-card": _PLAIN,
    "crowd-checkbox": _TOGGLE,
    "crowd-classifier": _CLASSIFIER,
    "crowd-form": _PLAIN,
    "crowd-image-classifier": _CLASSIFIER,
    "crowd-input": _INPUT,
    "crowd-instructions": _PLAIN,
    "crowd-modal": _PLAIN,
    "crowd-radio-button": _TOGGLE,
    "crowd-radio-group": _PLAIN,
    "crowd-rekognition-detect-moderation-labels": _WHOLE_TASK,
    "crowd-slider": _INPUT,
    "crowd-slider-label": _PLAIN,
    "crowd-tab": _PLAIN,
    "crowd-tabs": _PLAIN,
    "crowd-text-area": _INPUT,
    "crowd-textract-analyze-document": _WHOLE_TASK,
    "crowd-toggle-button": _TOGGLE,
}
"""Those that the portal defines, by name."""

ONLY_ON_AWS: dict[str, CrowdElement] = {
    "crowd-badge": _PLAIN,
    "crowd-bounding-box": _WHOLE_TASK,
    "crowd-classifier-multi-select": _WHOLE_TASK,
    "crowd-entity-annotation": _WHOLE_TASK,
    "crowd-fab": _PLAIN,
    "crowd-icon-button": _PLAIN,
    "crowd-image-classifier-multi-select": _WHOLE_TASK,
    "crowd-instance-segmentation": _WHOLE_TASK,
    "crowd-keypoint": _WHOLE_TASK,
    "crowd-line": _WHOLE_TASK,
    "crowd-polygon": _WHOLE_TASK,
    "crowd-polyline": _WHOLE_TASK,
    "crowd-question-answer-generation": _WHOLE_TASK,
    "crowd-semantic-segmentation": _WHOLE_TASK,
    "crowd-text-ranking": _WHOLE_TASK,
    "crowd-toast": _PLAIN,
}
"""Those that AWS documents and the portal does not have."""
