"""Work teams as a client of the AWS API sees them, here and on AWS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trueground.errors import InputError

MEMBERS = "x-trueground-members"
"""The response header by which our service says how many people are in a team. AWS does not."""


def describe(client: Any, team: str) -> dict[str, Any]:
    """The response of ``DescribeWorkteam``.

    Raises:
        InputError: there is no such team, or the service cannot be asked.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found: dict[str, Any] = client.describe_workteam(WorkteamName=team)
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code == "ValidationException":
            raise InputError(
                f"there is no work team {team!r}", hint=f"Make it (trueground team add {team}), or name another."
            ) from None
        raise InputError(
            f"the labeling service refused to say who is in {team!r}: {code}: {message}",
            field="connection",
            hint="Correct the connection's keys, or what they may do.",
        ) from None
    except BotoCoreError as error:
        raise InputError(
            f"the labeling service cannot be asked: {error}",
            field="connection",
            hint="Is it running, and is the connection's endpoint_url right?",
        ) from None
    return found


def counting(client: Any) -> Callable[[str], int | None]:
    """How many people are in a team, by its name; ``None`` where that cannot be known: on AWS, or for an ARN."""

    def count(team: str) -> int | None:
        if team.startswith("arn:"):
            return None
        members = describe(client, team)["ResponseMetadata"]["HTTPHeaders"].get(MEMBERS)
        return None if members is None else int(members)

    return count
