"""What a project's YAML may say about audits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class AuditSettings(BaseModel):
    """Whether machine labels are audited after they were published, how often, and how many draws each time.

    ``verification.team`` judges them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    schedule: Literal["@hourly", "@daily", "@weekly", "@monthly"] | None = "@daily"
    objects: Annotated[int, Field(ge=1, le=10_000)] = 30
