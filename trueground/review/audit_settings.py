"""What a project's YAML may say about audits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

NAME = Annotated[str, Field(min_length=1, max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HttpNotice(_Part):
    """A JSON object is posted to a URL: ``connection`` is an HTTP connection of Airflow, with its secrets."""

    kind: Literal["http"]
    connection: NAME
    endpoint: str = ""


class EmailNotice(_Part):
    """A mail is sent through an SMTP connection of Airflow, which also says from whom."""

    kind: Literal["email"]
    connection: NAME = "smtp_default"
    to: tuple[NAME, ...] = Field(min_length=1)


class SnsNotice(_Part):
    """A message is published to an SNS topic through an AWS connection of Airflow."""

    kind: Literal["sns"]
    connection: NAME = "aws_default"
    topic: Annotated[str, Field(pattern=r"^arn:[^:]+:sns:[^:]+:[0-9]+:.+$")]


Notice = Annotated[HttpNotice | EmailNotice | SnsNotice, Field(discriminator="kind")]


class AuditSettings(_Part):
    """Whether machine labels are audited after they were published, how often, and how many draws each time.

    ``verification.team`` judges them; ``notify`` says who is told when the promise breaks and when all is well again.

    Off unless a project says otherwise: an audit costs people's time every night for as long as the project lives, and
    nobody should be asked for that who did not decide it. What is published without it carries its certificate all the
    same, found before publication.
    """

    enabled: bool = False
    schedule: Literal["@hourly", "@daily", "@weekly", "@monthly"] | None = "@daily"
    objects: Annotated[int, Field(ge=1, le=10_000)] = 30
    notify: tuple[Notice, ...] = ()
