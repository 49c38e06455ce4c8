"""YAML files whose mistakes can be told with their line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from trueground.errors import InputError


def read_yaml(file: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The content of a file that holds one mapping, and the line of each key by its dotted path.

    Items of a list count from 0: ``task.labels.2``.

    Raises:
        InputError: the file cannot be read, is not YAML, is not a mapping, or has a key twice.
    """
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        raise InputError("there is no such file", file=str(file)) from None
    except UnicodeDecodeError:
        raise InputError("not UTF-8", file=str(file), hint="Save the file as UTF-8.") from None
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", file=str(file)) from None
    lines: dict[str, int] = {}
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise InputError("a mapping of fields is needed", file=str(file), line=1, hint="Copy a file that works.")
        for field, line in _keys(node):
            if field in lines:
                raise InputError(f"it stands in line {lines[field]} already", file=str(file), line=line, field=field)
            lines[field] = line
        content: dict[str, Any] = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InputError(f"not YAML: {error.problem}", file=str(file), line=mark.line + 1 if mark else None) from None
    except (yaml.YAMLError, ValueError) as error:
        # A character that YAML forbids; a date such as 2026-13-45.
        raise InputError(f"not YAML: {error}", file=str(file)) from None
    except RecursionError:
        raise InputError("an alias stands inside what it names", file=str(file)) from None
    return content, lines


def line_of(field: str | None, lines: Mapping[str, int]) -> int | None:
    """The line of a field, or of the nearest part of the file around it."""
    while field:
        if field in lines:
            return lines[field]
        field = field.rpartition(".")[0]
    return None


def _keys(node: yaml.Node, before: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            field = f"{before}{key.value}"
            yield field, key.start_mark.line + 1
            yield from _keys(value, f"{field}.")
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield f"{before}{number}", item.start_mark.line + 1
            yield from _keys(item, f"{before}{number}.")
