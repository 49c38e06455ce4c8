"""The form of `review_predictions`: what it asks, and the task that makes a review project of the answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param

from operators.connections import PROJECTS_FOLDER, TEMPLATES_FOLDER, data_root
from operators.forms import MakeProjectOperator, form_field, or_nothing
from operators.predictions import PREDICTIONS
from trueground.project import Data, load_projects
from trueground.project_files import ProjectPart
from trueground.project_form import content_of, field_schema, review_project_of
from trueground.review.project import ReviewProject, load_review_projects
from trueground.review.sources import CalledSource, EndpointSource, FileSource, ModelSource, RekognitionSource

if TYPE_CHECKING:
    from trueground.project_files import ProjectFile

SOURCES: Mapping[str, type[ProjectPart]] = {
    "predictions": FileSource,
    "service": FileSource,
    "prefix": Data,
    "column": Data,
    "manifest": Data,
    "project": ModelSource,
    "other": ModelSource,
    "connection": CalledSource,
    "min_confidence": RekognitionSource,
    "endpoint": EndpointSource,
    "content_type": EndpointSource,
    "prediction": EndpointSource,
}
"""The fields of a source that the form asks, by the kind of source that says what each may be."""

SECTIONS = {
    "Review": {
        "name": ("Name", "Of the review: small letters, digits and hyphens. Each form needs a new one."),
        "conditions": ("Activation conditions", "A2I's JSON, the list of them. Empty: everything is reviewed."),
        "most_set_aside": ("Set aside", "The run fails where more than this share of the predictions cannot be used."),
        "labels": ("Labels", "What reviewers choose from, one a line, where predictions are labels."),
        "label_attribute": ("Label attribute", "The key that holds the final label in the published manifest."),
        "connection": ("Connection", "The Airflow connection of the labeling service."),
    },
    "Predictions": {
        "source.kind": ("From", "Who predicts. Below, fill in what is named for it, and leave the rest empty."),
        "source.predictions": ("Predictions", "file: JSON Lines or Parquet; a path from the data root, or a URI."),
        "source.service": ("What they are", "file: custom (labels; so if empty), textract, or rekognition."),
        "source.prefix": ("Folder", "All others: what is predicted on, all images or texts below it."),
        "source.column": ("Column", "Of CSV files: the column with the text. Empty: it is recognized by its name."),
        "source.manifest": ("Manifest", "Instead of a folder: a manifest in JSON Lines."),
        "source.project": ("Labeling project", "model: whose current model predicts; its file in include/projects/."),
        "source.other": ("Other project", "model: one whose model predicts too, for the condition DisagreementCheck."),
        "source.endpoint": ("Endpoint", "sagemaker-endpoint: its name."),
        "source.content_type": ("Content type", "sagemaker-endpoint: image/…, text/…, or application/json."),
        "source.prediction": (
            "Where it is",
            "sagemaker-endpoint: JMESPath to it in the answer. Empty: all of it.",
        ),
        "source.min_confidence": ("Least confidence", "rekognition: labels below so many percent are not told."),
        "source.connection": ("Connection of AWS", "textract, rekognition, sagemaker-endpoint. Empty: as above."),
    },
    "Reviewers": {
        "review.team": ("Team", "The work team that reviews."),
        "review.reviewers_per_object": ("Reviewers an object", "How many people review the same object."),
        "review.second_team": ("Second team", "Looks at what reviewers and prediction do not agree on. Empty: nobody."),
        "review.escalation_team": ("Escalation team", "Decides what is in doubt, and what nobody could tell."),
        "review.title": ("Title", "What people read first."),
        "review.description": ("Description", "One sentence, in the list of work."),
        "review.template": ("Template", "A folder of include/templates/. Empty: the built-in page of the kind."),
        "review.task_time_limit": ("Time limit", "Seconds that a task may take before it goes to somebody else."),
        "review.availability": ("Availability", "Seconds until a task that nobody took fails."),
        "review.reviews_per_day": ("Budget", "At most so many reviews a day, where they are worth most. Empty: all."),
        "review.weight": ("Weight", "What makes a review worth more, a JMESPath expression: prediction.amount."),
    },
}
"""What the form asks, by the dotted places of a review project's fields: title and help."""


def review_form() -> dict[str, Param]:
    """The form of `review_predictions`. Teams are suggested as the project files name them; others may be written."""
    reviews = [project.review for project in load_review_projects(PROJECTS_FOLDER, data_root=data_root())[0].values()]
    named = {team for one in reviews for team in (one.team, one.second_team, one.escalation_team) if team}
    templates = sorted(folder.name for folder in TEMPLATES_FOLDER.iterdir() if folder.is_dir())
    changes: dict[str, dict[str, Any]] = {
        "source.kind": {"default": "file", "enum": list(PREDICTIONS)},
        "source.project": {"examples": sorted(load_projects(PROJECTS_FOLDER, data_root=data_root())[0])},
        "conditions": {"type": ["array", "null"], "items": {"type": "object"}, "default": None},
        "labels": {"type": ["array", "null"], "default": None},
        "review.template": {"enum": [*templates, None]},
        **{f"review.{team}": {"examples": sorted(named)} for team in ("team", "second_team", "escalation_team")},
    }
    return {
        place: form_field(section, title, help, {**_schema(place), **changes.get(place, {})})
        for section, fields in SECTIONS.items()
        for place, (title, help) in fields.items()
    }


def _schema(place: str) -> dict[str, Any]:
    if place == "source.kind":
        return {"type": "string"}
    if place.startswith("source."):
        field = place.removeprefix("source.")
        return or_nothing(field_schema(field, SOURCES[field]))
    return field_schema(place, ReviewProject)


class MakeReviewProjectOperator(MakeProjectOperator):
    """Make a review project of the form's values."""

    def content(self, values: dict[str, Any]) -> dict[str, Any]:
        """The project file that the form's values amount to."""
        content = {**content_of(values, "reviews"), "kind": "review-predictions"}
        if content["source"]["kind"] == "documents":
            # There is no later run that could use what this one teaches.
            content["source"]["learn"] = False
        return content

    def check(self, content: dict[str, Any]) -> ProjectFile:
        """The review project that the content declares. Raises :class:`InputError` with the field of the mistake."""
        return review_project_of(content, data_root=data_root())
