"""What the events of a project's assets say to those who wait for them: the contract of their ``extra``.

A version of a schema never loses a field or changes what one means; it may gain fields, so readers pass over those they
do not know. What breaks this gets a new version, and a name of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trueground.errors import InputError

Extra = TypeVar("Extra", bound="AssetExtra")


class AssetExtra(BaseModel):
    """Base of all: what every event says."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: str = Field(alias="schema", description="name and version of this contract")
    project: str = Field(description="the labeling project")
    run: str = Field(description="the DAG run that the event comes from")

    def as_extra(self) -> dict[str, Any]:
        """As JSON, for the event."""
        return self.model_dump(mode="json", by_alias=True)


class LabelsExtra(AssetExtra):
    """A label set was published: assets ``<project>-labels`` and, by night, ``<project>-nights``."""

    version: Literal["trueground.labels/1"] = Field("trueground.labels/1", alias="schema")
    label_attribute: str = Field(description="the attribute of the manifest's lines that is the label")
    labels: str = Field(description="URI of the manifest of all runs' labels; it never changes")
    run_labels: str = Field(description="URI of the manifest of this run's labels")
    table: str = Field(description="URI of this run's labels as Parquet")
    certificate_uri: str = Field(description="URI of the certificate")
    report: str = Field(description="URI of the report")
    objects: int = Field(description="labels of this run")
    all_objects: int = Field(description="labels of all runs")
    human: int = Field(description="of this run's, those that people gave")
    machine: int = Field(description="of this run's, those that a model gave")
    answers: int = Field(description="answers that people gave in this run")
    seen_by_people: int = Field(description="objects that somebody answered about")
    human_share: float = Field(description="of this run's objects, the share that somebody answered about")
    certificate: dict[str, Any] = Field(description="what is promised of the labels, and how it was found")
    night: str | None = Field(None, description="the date of the run's night, which partitions ``<project>-nights``")


class AuditExtra(AssetExtra):
    """An audit was recorded: asset ``<project>-audit``."""

    version: Literal["trueground.audit/1"] = Field("trueground.audit/1", alias="schema")
    promise: Literal["holds", "broken", "unknown"] = Field(description="whether machine labels keep it")
    since: str | None = Field(description="the night since which that is so")
    accuracy: float = Field(description="what is promised")
    confidence: float = Field(description="of the limits, at all times together")
    lower: float = Field(description="lower limit of the error rate")
    upper: float = Field(description="upper limit of the error rate")
    estimate: float | None = Field(description="the error rate, estimated")
    reviews: int = Field(description="judgements of all nights")
    drift: Literal["steady", "drifted", "unknown"] | None = Field(
        None, description="whether what comes in is still like what the model learned from"
    )
    drift_since: str | None = Field(None, description="the night since which that is so")
    drift_evidence: float | None = Field(None, description="against it: 100 or more is an alarm")
    report: str | None = Field(None, description="URI of the page of all audits")


class ReviewsExtra(AssetExtra):
    """Predictions were reviewed: asset ``<project>-reviews``."""

    version: Literal["trueground.reviews/1"] = Field("trueground.reviews/1", alias="schema")
    project: str = Field(description="the review project")
    reviews: str = Field(description="URI of the merged results, one JSON object a prediction")
    table: str = Field(description="URI of the same as Parquet")
    labels: str | None = Field(description="URI of the manifest of what people reviewed, where predictions are labels")
    label_attribute: str | None = Field(description="the attribute of its lines that is the label")
    objects: int = Field(description="predictions, without those set aside")
    reviewed: int = Field(description="predictions that people were asked about")
    accepted: int = Field(description="predictions that nobody was asked about")
    changed: int = Field(description="predictions that people corrected")
    unresolved: int = Field(description="predictions that nobody could tell about")
    unanswered: int = Field(0, description="predictions that nobody answered about: stopped, or too late")
    set_aside: int = Field(description="predictions that could not be judged")


class ModelExtra(AssetExtra):
    """Another model became the current one: asset ``<project>-model``."""

    version: Literal["trueground.model/1"] = Field("trueground.model/1", alias="schema")
    name: str = Field(description="the model's name in the registry")
    model: str = Field(description="URI of the model file; it never changes")
    record: str = Field(description="URI of its record: data, metrics, comparison")
    card: str = Field(description="URI of its card")
    trainer: str = Field(description="what trained it")
    labels: list[str] = Field(description="URIs of the label sets it was trained on")
    accuracy: float | None = Field(description="share of the test objects that it is right about")
    lower: float | None = Field(description="lower limit of that, of a 95 % interval")
    upper: float | None = Field(description="upper limit of that")
    tested_on: int | None = Field(description="test objects, all labeled by people")
    previous: str | None = Field(description="the model that a rollback leads to")
    reason: str = Field(description="why it became current")


def read_extra(contract: type[Extra], extra: Any, *, asset: str) -> Extra:
    """What an asset event says.

    Args:
        contract: what it must say.
        extra: the event's ``extra``.
        asset: the asset's name, for the error.

    Raises:
        InputError: a field is missing or wrong, or the version is another; ``field`` names it.
    """
    if not isinstance(extra, Mapping):
        raise InputError("the event's extra must be an object", file=f"asset {asset}")
    try:
        # Lax about a missing version, a writer could leave out what tells what all else means.
        return contract.model_validate({"schema": None, **extra})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        problem = "the field is missing" if first["type"] == "missing" else first["msg"]
        raise InputError(problem, file=f"asset {asset}", field=f"extra.{place}") from None
