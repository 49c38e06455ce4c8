"""Who may do what: the roles of people, and the one place that says which act needs which of them.

Each role may do what the ones before it may:

- **worker**: answers the tasks of labeling jobs of their teams.
- **reviewer**: also gets the tasks of jobs that are for reviewers only (verification, adjustment, human loops: jobs
  with the tag ``trueground:role`` = ``reviewer``).
- **manager**: sees jobs, progress and people; invites workers and reviewers; pauses and resumes a worker in a job;
  stops jobs.
- **admin**: also makes, changes, closes and erases accounts, sets roles, and reads the audit log. Whoever may run the
  ``trueground`` command on the store is an admin.

Whoever belongs to a vendor may do this within the vendor's work team only; there are no admins of a vendor.
"""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal["worker", "reviewer", "manager", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""From the least to the most."""

Right = Literal["label", "review", "see jobs", "invite", "pause workers", "stop jobs", "administer"]

_LOWEST: dict[Right, Role] = {
    "label": "worker",
    "review": "reviewer",
    "see jobs": "manager",
    "invite": "manager",
    "pause workers": "manager",
    "stop jobs": "manager",
    "administer": "admin",
}


def may(role: Role, right: Right) -> bool:
    """Whether a role includes a right."""
    return ROLES.index(role) >= ROLES.index(_LOWEST[right])


def may_give(role: Role) -> tuple[Role, ...]:
    """The roles that someone of this role may give to others: a manager those below, an admin all."""
    if may(role, "administer"):
        return ROLES
    return ROLES[: ROLES.index(role)] if may(role, "invite") else ()
