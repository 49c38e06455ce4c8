"""Ground Truth's pre- and post-annotation functions, as task types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trueground.errors import InputError
from trueground.tasks import task_type_of_function
from trueground.tasks.base import TaskType


def find_task_type(function: str | None) -> TaskType | None:
    """The task type of a built-in function's ARN or name; ``None`` for no function, or one that is not built in."""
    if function is None:
        return None
    try:
        return task_type_of_function(function)
    except (InputError, KeyError):
        return None


def task_input(pre_function: str | None, content: Mapping[str, Any], categories: Sequence[str]) -> dict[str, Any]:
    """``task.input`` of the template: what the pre-annotation function makes, without one the manifest line itself."""
    task_type = find_task_type(pre_function)
    return dict(content) if task_type is None else task_type.task_input(dict(content), categories)
