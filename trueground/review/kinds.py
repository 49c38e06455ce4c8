"""The kinds of predictions that people review: what reviewers see of one, what they say, and what it becomes.

A prediction has parts: a document its fields, an image its moderation labels, anything else one label. Reviewers have
an opinion of each part they were asked about; a part nobody could tell is missing from theirs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from trueground.activation_conditions import REKOGNITION, TEXTRACT
from trueground.errors import InputError
from trueground.review.conditions import Decision, Service
from trueground.review.forms import camel_case, form_input, missing_keys, said_of_form, service_request
from trueground.review.own_conditions import number_at
from trueground.review.project import CANNOT_TELL, ReviewProject
from trueground.review.textract import form_fields

Line = Mapping[str, Any]
"""A prediction line."""
Opinion = dict[str, Any]
"""What somebody says of the parts of a prediction, by part."""
NOTHING = ""
"""The part of a prediction without any: that it has none can be confirmed too."""


class ReviewKind(ABC):
    """How predictions of one service are reviewed."""

    template: ClassVar[str]
    """The folder of ``include/templates/`` that shows them."""
    source: ClassVar[str | None] = None
    """A2I's ``AwsManagedHumanLoopRequestSource``."""

    @abstractmethod
    def loop_input(self, line: Line, decision: Decision, project: ReviewProject) -> dict[str, Any]:
        """The input of the object's human loop: ``task.input`` of the template."""

    @abstractmethod
    def predicted(self, line: Line, decision: Decision) -> Opinion:
        """What the prediction says of the parts that reviewers are asked about."""

    @abstractmethod
    def opinion(self, line: Line, decision: Decision, content: Mapping[str, Any]) -> Opinion:
        """What one reviewer says of them. Raises :class:`InputError`: ``content`` has not the form of an answer."""

    @abstractmethod
    def value(self, line: Line, opinion: Opinion) -> Any:
        """The whole prediction with what people say put in the place of its parts."""

    @abstractmethod
    def confidence(self, line: Line) -> float:
        """How sure the prediction is, from 0 to 1; the lowest of its parts, 0 without any.

        Raises :class:`InputError`: it does not say.
        """


class ClassReview(ReviewKind):
    """One label of a text or an image."""

    template = "prediction"

    def loop_input(self, line: Line, decision: Decision, project: ReviewProject) -> dict[str, Any]:
        """The object, also as ``taskObject`` for templates of labeling jobs, the prediction, and what can be chosen."""
        media = {key: line[key] for key in ("source", "source-ref") if key in line}
        media["taskObject"] = next(iter(media.values()))
        prediction = {key: line["prediction"].get(key) for key in ("label", "confidence")}
        return {**media, **prediction, "labels": [*project.labels, CANNOT_TELL]}

    def predicted(self, line: Line, decision: Decision) -> Opinion:
        """The label."""
        label = line["prediction"].get("label")
        return {} if label is None else {"label": label}

    def opinion(self, line: Line, decision: Decision, content: Mapping[str, Any]) -> Opinion:
        """The label of the one ``crowd-classifier``, or of whatever else of a template has a ``label``."""
        labels = [value["label"] for value in content.values() if isinstance(value, Mapping) and "label" in value]
        if len(labels) != 1 or not isinstance(labels[0], str):
            raise InputError("an answer has one element with a label", field="answerContent")
        return {} if labels[0] == CANNOT_TELL else {"label": labels[0]}

    def value(self, line: Line, opinion: Opinion) -> Any:
        """The label."""
        return opinion.get("label", line["prediction"].get("label"))

    def confidence(self, line: Line) -> float:
        """Of the label."""
        return number_at(line["prediction"].get("confidence"), "prediction.confidence")


class FormReview(ReviewKind):
    """The key-value pairs of a document, by the id of the key's block, or ``+`` and the key where there was none.

    ``None`` is what is no pair, or not there.
    """

    template = "textract-analyze-document"
    source = TEXTRACT

    def loop_input(self, line: Line, decision: Decision, project: ReviewProject) -> dict[str, Any]:
        """As A2I has it."""
        return form_input(line, decision)

    def predicted(self, line: Line, decision: Decision) -> Opinion:
        """The pairs as they were read, and that keys which are missing are so."""
        asked: Opinion = {field.block_ids[0]: (field.key, field.value) for field in decision.selected}
        asked |= {f"+{wanted['importantFormKey']}": None for wanted in missing_keys(line, decision)}
        return asked or {NOTHING: None}

    def opinion(self, line: Line, decision: Decision, content: Mapping[str, Any]) -> Opinion:
        """The pairs that are right, and those that were added, under their keys."""
        said, unknown = said_of_form(content)
        known = {field.block_ids[0] for field in form_fields(line["prediction"])}
        wanted = {
            name: f"+{key['importantFormKey']}"
            for key in missing_keys(line, decision)
            for name in (key["importantFormKey"], *key["importantFormKeyAliases"])
        }
        # Each reviewer's page gives a pair that was missing an id of its own.
        added = {wanted.get(pair[0], f"+{pair[0]}"): pair for name, pair in said.items() if name not in known}
        unknown |= {wanted[name] for name in unknown if name in wanted}
        opinion = {name: said.get(name) for name in self.predicted(line, decision)} | added
        return {name: pair for name, pair in opinion.items() if name not in unknown}

    def value(self, line: Line, opinion: Opinion) -> Any:
        """Keys and values in the document's order, then those that were added."""
        read = {field.block_ids[0]: (field.key, field.value) for field in form_fields(line["prediction"])}
        return [list(pair) for pair in (read | opinion).values() if pair is not None]

    def confidence(self, line: Line) -> float:
        """Of the pairs and their words."""
        fields = form_fields(line["prediction"])
        return min((min(field.confidence, *field.word_confidences) / 100 for field in fields), default=0.0)


class ModerationReview(ReviewKind):
    """The moderation labels of an image: each applies or does not."""

    template = "rekognition-detect-moderation-labels"
    source = REKOGNITION

    def loop_input(self, line: Line, decision: Decision, project: ReviewProject) -> dict[str, Any]:
        """As A2I has it."""
        response = line["prediction"]
        version = {"moderationModelVersion": response.get("ModerationModelVersion", "")}
        selected = [camel_case(label) for label in decision.selected]
        return {
            **service_request(line["source-ref"], "image"),
            "aiServiceResponse": camel_case(response),
            "humanTaskActivationConditionResults": dict(decision.results),
            "selectedAiServiceResponse": {"moderationLabels": selected, **version},
        }

    def predicted(self, line: Line, decision: Decision) -> Opinion:
        """All that was predicted applies."""
        return {label["Name"]: True for label in decision.selected} or {NOTHING: False}

    def opinion(self, line: Line, decision: Decision, content: Mapping[str, Any]) -> Opinion:
        """Of each label that was shown, whether it was chosen."""
        answer = content.get(REKOGNITION)
        # AWS's documents and its element differ in the case of the first letter.
        answer = answer if isinstance(answer, Mapping) else {}
        labels = answer.get("moderationLabels", answer.get("ModerationLabels"))
        if not isinstance(labels, list):
            raise InputError(
                "an answer has a list of moderation labels", field=f"answerContent.{REKOGNITION}.moderationLabels"
            )
        if answer.get("cannotTell"):
            return {}
        chosen = {label.get("name", label.get("Name")) for label in labels}
        return {name: name in chosen for name in self.predicted(line, decision)}

    def value(self, line: Line, opinion: Opinion) -> Any:
        """The names of the labels that apply."""
        names = [label["Name"] for label in line["prediction"]["ModerationLabels"]]
        return [name for name in names if opinion.get(name, True)]

    def confidence(self, line: Line) -> float:
        """Of the labels."""
        labels = line["prediction"]["ModerationLabels"]
        shares = (number_at(label.get("Confidence"), "prediction.ModerationLabels") for label in labels)
        return min((share / 100 for share in shares), default=0.0)


_KINDS: Mapping[Service, ReviewKind] = {
    "custom": ClassReview(),
    "textract": FormReview(),
    "rekognition": ModerationReview(),
}


def review_kind(service: Service) -> ReviewKind:
    """How predictions of a service are reviewed."""
    return _KINDS[service]
