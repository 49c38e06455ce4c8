"""Where predictions come from: what the ``source`` of a review project may say.

Each kind of source has one function that writes prediction lines, and one operator that calls it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from trueground.project import Data
from trueground.project_files import ProjectPart
from trueground.review.conditions import Service
from trueground.review.own_conditions import checked_expression

URIS = ("source.predictions", "source.prefix", "source.manifest")
"""Fields that may be paths from the data root."""


class FileSource(ProjectPart):
    """Predictions that somebody else made: JSON Lines or Parquet."""

    kind: Literal["file"]
    predictions: Annotated[str, Field(min_length=1)]
    service: Service = "custom"


class ModelSource(Data):
    """The current model of a labeling project, on other objects of the same sort.

    Lines carry the object's ``novelty`` and, as ``other``, what the model of the project ``other`` says, if named.
    """

    kind: Literal["model"]
    project: Annotated[str, Field(min_length=1, description="the labeling project's file in include/projects/")]
    other: Annotated[str, Field(min_length=1)] | None = None
    service: Literal["custom"] = "custom"


class DocumentsSource(Data):
    """Images of documents, read on this machine; what is found has Textract's shape.

    With ``learn``, a model of fields learns from each run's reviews, mends what the next one reads, and says how likely
    each field is right. A new one is used by the rule, or once one of the ``approvers`` (anybody, if none is named)
    says so in Airflow.
    """

    kind: Literal["documents"]
    learn: bool = True
    promote: Literal["rule", "approval"] = "rule"
    approvers: tuple[str, ...] = ()
    service: Literal["textract"] = "textract"


class CalledSource(Data):
    """A service of AWS that is called once for each object; ``connection`` is the project's where it is not given."""

    connection: str | None = None
    service: Service


class TextractSource(CalledSource):
    """Textract's ``AnalyzeDocument``, on images of documents."""

    kind: Literal["textract"]
    service: Literal["textract"] = "textract"


class RekognitionSource(CalledSource):
    """Rekognition's ``DetectModerationLabels``, on images; labels below ``min_confidence`` percent are not told."""

    kind: Literal["rekognition"]
    min_confidence: Annotated[float, Field(ge=0, le=100)] = 50.0
    service: Literal["rekognition"] = "rekognition"


class EndpointSource(CalledSource):
    """A SageMaker endpoint.

    It is sent an image, a text (``text/…``), or the manifest's line (``application/json``). ``prediction`` is a
    JMESPath expression that finds the prediction in its answer: an object, a list of probabilities in the order of the
    project's ``labels``, or a label.
    """

    kind: Literal["sagemaker-endpoint"]
    endpoint: Annotated[str, Field(min_length=1)]
    content_type: Annotated[str, Field(min_length=3)]
    prediction: Annotated[str, Field(min_length=1)] = "@"
    service: Literal["custom"] = "custom"

    @field_validator("prediction")
    @classmethod
    def _expression(cls, value: str) -> str:
        return checked_expression(value)


Source = Annotated[
    FileSource | ModelSource | DocumentsSource | TextractSource | RekognitionSource | EndpointSource,
    Field(discriminator="kind"),
]
