"""Check requests against botocore's shapes, with the texts that AWS answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from trueground.service.aws.errors import AwsError

# Java's classes of characters, which Python's expressions do not have, in the nearest of Python's own.
_CLASSES = {r"\p{L}": r"\w", r"\p{N}": r"\d", r"\p{Z}": r"\s", r"\p{M}": r"\w", r"\p{S}": r"\W", r"\p{P}": r"!-/"}
_VISIBLE = r"[\p{L}\p{M}\p{S}\p{N}\p{P}]+"
_LONGEST_VALUE = 100


def parse_input(shape: Any, value: Any) -> dict[str, Any]:
    """The request as Python values, times as :class:`datetime`.

    Raises:
        AwsError: ``ValidationException`` that names every constraint broken, or ``SerializationException`` for a
            value of another type.
    """
    problems: list[str] = []
    parsed = _parse(shape, value, "", problems)
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise AwsError("ValidationException", count + "; ".join(problems))
    result: dict[str, Any] = parsed
    return result


def _parse(shape: Any, value: Any, path: str, problems: list[str]) -> Any:
    parse = _PARSERS.get(shape.type_name)
    if parse is None:
        raise AwsError("SerializationException", f"{path}: cannot read a {shape.type_name}")
    return parse(shape, value, path, problems)


def _structure(shape: Any, value: Any, path: str, problems: list[str]) -> dict[str, Any]:
    _expect(value, dict, "an object", path)
    for name in value:
        if name not in shape.members:
            problems.append(f"Value at '{_join(path, name)}' failed to satisfy constraint: there is no such member")
    for name in shape.required_members:
        if value.get(name) is None:
            constraint = "failed to satisfy constraint: Member must not be null"
            problems.append(f"Value null at '{_join(path, name)}' {constraint}")
    return {
        name: _parse(member, value[name], _join(path, name), problems)
        for name, member in shape.members.items()
        if value.get(name) is not None
    }


def _list(shape: Any, value: Any, path: str, problems: list[str]) -> list[Any]:
    _expect(value, list, "a list", path)
    _check_range(shape, len(value), "length", value, path, problems)
    return [_parse(shape.member, item, f"{path}.{n}.member", problems) for n, item in enumerate(value, start=1)]


def _map(shape: Any, value: Any, path: str, problems: list[str]) -> dict[str, Any]:
    _expect(value, dict, "an object", path)
    _check_range(shape, len(value), "length", value, path, problems)
    return {
        _parse(shape.key, key, f"{path}.key", problems): _parse(shape.value, item, f"{path}.{key}.value", problems)
        for key, item in value.items()
    }


def _string(shape: Any, value: Any, path: str, problems: list[str]) -> str:
    _expect(value, str, "a string", path)
    if not _check_range(shape, len(value), "length", value, path, problems):
        return str(value)
    if shape.enum and value not in shape.enum:
        _fail(value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]", problems)
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        _fail(value, path, "Member must be Unicode text without the null character", problems)
    pattern = shape.metadata.get("pattern")
    if pattern and not _matcher(shape.name, pattern)(value):
        _fail(value, path, f"Member must satisfy regular expression pattern: {pattern}", problems)
    return str(value)


def _integer(shape: Any, value: Any, path: str, problems: list[str]) -> int:
    if isinstance(value, bool):
        raise _wrong_type("a number", path)
    _expect(value, int, "a whole number", path)
    _check_range(shape, value, "value", value, path, problems)
    return int(value)


def _boolean(shape: Any, value: Any, path: str, problems: list[str]) -> bool:
    _expect(value, bool, "true or false", path)
    return bool(value)


def _timestamp(shape: Any, value: Any, path: str, problems: list[str]) -> datetime:
    if isinstance(value, bool):
        raise _wrong_type("a time in seconds since 1970", path)
    _expect(value, (int, float), "a time in seconds since 1970", path)
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise _wrong_type("a time in seconds since 1970", path) from None


_PARSERS: dict[str, Callable[[Any, Any, str, list[str]], Any]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _integer,
    "long": _integer,
    "boolean": _boolean,
    "timestamp": _timestamp,
}


def _check_range(shape: Any, size: int, what: str, value: Any, path: str, problems: list[str]) -> bool:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        _fail(value, path, f"Member must have {what} greater than or equal to {low}", problems)
        return False
    if high is not None and size > high:
        _fail(value, path, f"Member must have {what} less than or equal to {high}", problems)
        return False
    return True


_EXTENSIONS = {
    # AWS takes capital letters, whatever its model says.
    "HumanLoopName": r"[a-zA-Z0-9](-*[a-zA-Z0-9])*",
    # Files of this machine.
    "S3Uri": r"file:///.+",
    # A provider on this machine, for development.
    "OidcEndpoint": r"http://(localhost|127\.0\.0\.1)(:[0-9]+)?(/\S*)?",
}


@cache
def _matcher(shape_name: str, pattern: str) -> Callable[[str], bool]:
    """Whether a whole text matches a pattern of the model."""
    if pattern == _VISIBLE:
        return lambda text: text.isprintable() and not re.search(r"\s", text)
    for java, python in _CLASSES.items():
        pattern = pattern.replace(java, python)
    if extension := _EXTENSIONS.get(shape_name):
        pattern = f"{pattern}|{extension}"
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def _fail(value: Any, path: str, constraint: str, problems: list[str]) -> None:
    text = str(value).encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    if len(text) > _LONGEST_VALUE:
        text = text[:_LONGEST_VALUE] + "…"
    problems.append(f"Value '{text}' at '{path}' failed to satisfy constraint: {constraint}")


def _expect(value: Any, kind: Any, name: str, path: str) -> None:
    if not isinstance(value, kind):
        raise _wrong_type(name, path)


def _wrong_type(name: str, path: str) -> AwsError:
    return AwsError("SerializationException", f"{path or 'the request'} must be {name}")


def _join(path: str, name: str) -> str:
    # AWS writes member names with a small first letter in these texts.
    name = name[:1].lower() + name[1:]
    return f"{path}.{name}" if path else name
