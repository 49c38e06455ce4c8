"""What may not work about a job, although it is created.

AWS takes such requests, so they are not rejected: the texts are stored with the job, shown on its page, and sent to the
client in a header, which AWS's clients pass over and our operators log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from sqlalchemy import Connection, func, select

from trueground.service.rights import ROLES, may
from trueground.service.store.tables import worker_groups, workers, workteam_groups

HEADER = "x-trueground-warnings"
"""A JSON list of texts."""
_LONGEST = 6000
_given: ContextVar[list[str] | None] = ContextVar("given_warnings", default=None)


@contextmanager
def collecting() -> Iterator[list[str]]:
    """Within it, :func:`warn` adds to the list."""
    found: list[str] = []
    token = _given.set(found)
    try:
        yield found
    finally:
        _given.reset(token)


def warn(texts: Iterable[str]) -> list[str]:
    """Tell the client whose request is being answered; gives the texts, for the store."""
    new = list(dict.fromkeys(texts))
    given = _given.get()
    if given is not None:
        given += new
    return new


def header(given: list[str]) -> dict[str, str]:
    """The header that tells of these warnings; of very many, the first ones."""
    while len(text := json.dumps(given)) > _LONGEST:
        given = given[:-1]
    return {HEADER: text} if given else {}


def too_few_people(connection: Connection, workteam: str, wanted: int, tags: Mapping[str, str]) -> list[str]:
    """A warning where a work team has fewer members than answers are wanted to each object."""
    roles = [role for role in ROLES if tags.get("trueground:role") != "reviewer" or may(role, "review")]
    query = (
        select(func.count(workers.c.id.distinct()))
        .join(worker_groups, worker_groups.c.worker_id == workers.c.id)
        .join(workteam_groups, workteam_groups.c.group_name == worker_groups.c.group_name)
        .where(workteam_groups.c.workteam == workteam, workers.c.disabled_at.is_(None), workers.c.role.in_(roles))
    )
    people = connection.scalar(query) or 0
    if people >= wanted:
        return []
    members = f"{people} member{'' if people == 1 else 's'}" if people else "no members"
    answers = "1 answer per object is" if wanted == 1 else f"{wanted} answers per object are"
    missing = "1 more joins" if wanted - people == 1 else f"{wanted - people} more join"
    return [
        f"{answers} asked for, but the work team {workteam} had {members} when this was created. "
        f"No object is complete until {missing} the team; if it is stopped before, objects are labeled from the "
        "answers they have, and marked in the output."
    ]
