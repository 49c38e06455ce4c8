"""Functions of one's own, registered by name: as entry points of a package, or in the environment."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

from trueground.errors import InputError


def registered(group: str, variable: str) -> Mapping[str, str]:
    """What this installation has: name to ``module:attribute``.

    Args:
        group: the group of entry points.
        variable: an environment variable, ``name=module:attribute``, several parted by commas; one named there hides an
            entry point of the same name.

    Raises:
        InputError: the variable is not of that form.
    """
    found = {point.name: point.value for point in entry_points(group=group)}
    for item in filter(None, (part.strip() for part in os.environ.get(variable, "").split(","))):
        name, _, value = item.partition("=")
        if not name or ":" not in value:
            raise InputError(f"{item!r} is not name=module:attribute", field=variable)
        found[name] = value
    return found


def load_registered(name: str, group: str, variable: str, *, what: str) -> Callable[[Any], Any]:
    """A registered function; ``what`` it is, for the error. Raises :class:`InputError` that says why there is none."""
    known = registered(group, variable)
    if name not in known:
        raise InputError(
            f"no {what} {name!r} is registered here (registered: {', '.join(sorted(known)) or 'none'})",
            hint=f"Register it as an entry point of the group {group}.",
        )
    module, _, attribute = known[name].partition(":")
    try:
        function: Any = importlib.import_module(module)
        for part in attribute.split("."):
            function = getattr(function, part)
    except Exception as error:
        raise InputError(
            f"the {what} {name!r} cannot be loaded from {known[name]!r}: {type(error).__name__}: {error}"
        ) from error
    if not callable(function):
        raise InputError(f"the {what} {name!r} is not callable: {known[name]!r} is a {type(function).__name__}")
    loaded: Callable[[Any], Any] = function
    return loaded
