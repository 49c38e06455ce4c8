"""The review project: one YAML file that says which predictions people review, and who."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from trueground.errors import InputError
from trueground.project import Project, load_project, load_projects
from trueground.project_files import ProjectFile, ProjectPart, check_label_attribute, read_project, read_projects
from trueground.review.conditions import Conditions, parse_conditions
from trueground.review.own_conditions import checked_expression
from trueground.review.sources import URIS as SOURCE_URIS
from trueground.review.sources import Source
from trueground.run import RunFolder
from trueground.yamlfile import read_yaml

URIS = ("output", *SOURCE_URIS)
"""Fields that may be paths from the data root."""
CANNOT_TELL = "Cannot tell"
"""What a reviewer of classes may choose besides them."""
Name = Annotated[str, Field(min_length=1)]


class Reviewing(ProjectPart):
    """Who reviews, and what they are asked. Times are in seconds.

    ``second_team`` looks at what the first reviewers and the prediction do not agree on; ``escalation_team`` decides
    what is still in doubt, and what nobody could tell. Of what the conditions choose, at most ``reviews_per_day``
    objects are reviewed: those likeliest to be wrong, times their ``weight`` (a JMESPath expression).
    """

    team: Name
    reviewers_per_object: Annotated[int, Field(ge=1, le=9)] = 1
    second_team: Name | None = None
    escalation_team: Name | None = None
    title: Annotated[str, Field(min_length=1, max_length=128)] = "Review a prediction"
    description: Annotated[str, Field(min_length=1, max_length=255)] = "Say what is right, and correct what is not."
    template: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")] | None = None
    task_time_limit: Annotated[int, Field(ge=30, le=28_800)] = 600
    availability: Annotated[int, Field(ge=60, le=2_592_000)] = 864_000
    shards: Annotated[int, Field(ge=1, le=64)] = 1
    reviews_per_day: Annotated[int, Field(ge=0)] | None = None
    weight: Name | None = None

    @field_validator("weight")
    @classmethod
    def _expression(cls, value: str | None) -> str | None:
        return value if value is None else checked_expression(value)

    @model_validator(mode="after")
    def _other_people(self) -> Reviewing:
        teams = [team for team in (self.team, self.second_team, self.escalation_team) if team is not None]
        if len(set(teams)) < len(teams):
            raise ValueError("a team stands there twice: nobody looks a second time at what they reviewed")
        return self


class ReviewProject(ProjectFile):
    """A review project. URIs are absolute once it is loaded.

    A run fails where more than ``most_set_aside`` of its predictions, or all, cannot be used.
    """

    kind: Literal["review-predictions"]
    source: Source
    conditions: Any = None
    labels: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = ()
    label_attribute: str = "label"
    most_set_aside: Annotated[float, Field(ge=0, le=1)] = 0.5
    review: Reviewing

    @field_validator("conditions")
    @classmethod
    def _wrapped(cls, value: Any) -> Any:
        # As in A2I's JSON, or the list alone.
        return {"Conditions": value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _rules(self) -> ReviewProject:
        check_label_attribute(self.label_attribute)
        custom = self.source.service == "custom"
        if custom != bool(self.labels):
            problem = "what people choose from is missing" if custom else "only classes are chosen from labels"
            raise InputError(problem, field="labels")
        if len(set(self.labels)) < len(self.labels) or CANNOT_TELL in self.labels:
            raise InputError(f"a label stands there twice, or is called {CANNOT_TELL!r}", field="labels")
        try:
            self.parsed_conditions()
        except InputError as error:
            place = f"conditions.{error.field}" if error.field else "conditions"
            raise InputError(error.problem, field=place, hint=error.hint) from None
        return self

    @property
    def teams(self) -> dict[str, str]:
        """The work teams that its human loops go to, by field."""
        fields = ("team", "second_team", "escalation_team")
        return {f"review.{field}": team for field in fields if (team := getattr(self.review, field)) is not None}

    @property
    def prefixes(self) -> dict[str, str]:
        """The folder whose files are predicted on."""
        prefix = getattr(self.source, "prefix", None)
        return {"source.prefix": prefix} if prefix is not None else {}

    def parsed_conditions(self) -> Conditions:
        """The conditions, ready to be evaluated. Raises :class:`InputError`."""
        return parse_conditions(self.conditions, service=self.source.service)


@dataclass(frozen=True)
class ReviewRun(RunFolder):
    """A run of a review project."""

    project: ReviewProject


def teams_of_projects(folder: str | os.PathLike[str], *, data_root: str | None = None) -> list[str]:
    """The names of the work teams that the projects of a folder name, of both kinds; ARNs are left out."""
    labeling, _ = load_projects(folder, data_root=data_root)
    reviews, _ = load_review_projects(folder, data_root=data_root)
    named = {team for project in (*labeling.values(), *reviews.values()) for team in project.teams.values()}
    return sorted(team for team in named if not team.startswith("arn:"))


def load_review_project(path: str | os.PathLike[str], *, data_root: str | None = None) -> ReviewProject:
    """Read a review project; as :func:`trueground.project.load_project` reads a labeling project."""
    return read_project(path, ReviewProject, uris=URIS, data_root=data_root)


def load_any_project(path: str | os.PathLike[str], *, data_root: str | None = None) -> Project | ReviewProject:
    """Read a project file of either kind, as it says itself."""
    if read_yaml(Path(path))[0].get("kind") == "review-predictions":
        return load_review_project(path, data_root=data_root)
    return load_project(path, data_root=data_root)


def load_review_projects(
    folder: str | os.PathLike[str], *, data_root: str | None = None
) -> tuple[dict[str, ReviewProject], dict[str, InputError]]:
    """All review projects of a folder: the good ones and the mistakes, both by file name."""
    return read_projects(folder, "review-predictions", ReviewProject, uris=URIS, data_root=data_root)
