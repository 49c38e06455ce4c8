"""Where predictions come from: what the ``source`` of a review project may say.

Each kind of source has one function that writes prediction lines, and one operator that calls it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trueground.project import Data
from trueground.project_files import ProjectPart
from trueground.review.conditions import Service

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
    each field is right.
    """

    kind: Literal["documents"]
    learn: bool = True
    service: Literal["textract"] = "textract"


Source = Annotated[FileSource | ModelSource | DocumentsSource, Field(discriminator="kind")]
