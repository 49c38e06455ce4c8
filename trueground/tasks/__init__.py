"""The task types: what people can be asked, one module each.

A module of this package that sets ``TASK_TYPE`` is a task type; nothing else needs to know of it.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from trueground.errors import InputError
from trueground.tasks.base import TaskType
from trueground.tasks.categories import label_category_config, read_label_categories

__all__ = ["label_category_config", "read_label_categories", "task_type", "task_type_of_function", "task_types"]


@cache
def task_types() -> dict[str, TaskType]:
    """All task types by name."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        kind = getattr(importlib.import_module(f"{__name__}.{module.name}"), "TASK_TYPE", None)
        if kind is not None:
            found[kind.name] = kind
    return found


def task_type(name: str) -> TaskType:
    """The task type of this name. Raises :class:`InputError` that lists the known ones."""
    try:
        return task_types()[name]
    except KeyError:
        known = ", ".join(sorted(task_types()))
        raise InputError(f"there is no task type {name!r}", hint=f"Known: {known}.") from None


def task_type_of_function(function: str) -> TaskType:
    """The task type that a built-in function of Ground Truth means: its ARN or its name (``ACS-TextMultiClass``).

    Raises:
        InputError: no task type has this function.
    """
    name = function.rsplit(":", 1)[-1]
    for kind in task_types().values():
        if name in kind.pre_functions or name in kind.post_functions:
            return kind
    known = sorted(name for kind in task_types().values() for name in kind.pre_functions + kind.post_functions)
    raise InputError(f"{function!r} is not a built-in function that is known here", hint=f"Known: {', '.join(known)}.")
