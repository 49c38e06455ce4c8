"""Ground Truth's task templates: Liquid with autoescape and AWS's three filters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from liquid import BoundTemplate
from liquid.exceptions import LiquidError
from markupsafe import Markup, escape

from trueground.errors import InputError
from trueground.service.liquid_limits import LimitedEnvironment, limited_time
from trueground.service.liquid_source import ESCAPED_TEXTS, EscapedTexts, as_aws_reads, as_written
from trueground.template_addresses import CROWD_SCRIPT

MESSAGE_CHARACTERS = 800
"""Liquid's messages quote the template's line, which may be all of it."""
S3_ADDRESS = re.compile(r"https?://s3[\w.-]*\.amazonaws\.com/(.+)")


def render(
    template: str, task_input: Mapping[str, Any], *, crowd_script: str, grant_read_access: Callable[[str], str]
) -> str:
    """A template's HTML for one task.

    Args:
        template: Liquid and HTML.
        task_input: becomes ``task.input``.
        crowd_script: the address of our crowd elements, in place of AWS's script.
        grant_read_access: makes the short-lived link to a file, from its URI.

    Raises:
        InputError: the template cannot be parsed or rendered; the message has the line.
    """
    with _told(template):
        parsed = _parse(CROWD_SCRIPT.sub(crowd_script, template))
        text: str = parsed.render(
            task={"input": _shown(task_input)}, __grant=grant_read_access, **{ESCAPED_TEXTS: EscapedTexts()}
        )
        # Half of a character, as a text that was cut may end with, is none that a page can carry.
        return text.encode("utf-8", "replace").decode()


def check(template: str) -> None:
    """Raise :class:`InputError` where a template cannot be parsed."""
    with _told(template):
        _parse(template)


@contextmanager
def _told(template: str) -> Iterator[None]:
    try:
        with limited_time():
            yield
    except (RecursionError, OverflowError, MemoryError, ValueError) as error:
        # Python's own limits, which not all of Liquid's code expects.
        raise InputError(f"the task template cannot be rendered: {type(error).__name__}: {error}") from error
    except LiquidError as error:
        line = error.token.start_index if error.token else None
        number = template.count("\n", 0, line) + 1 if line is not None else None
        raise InputError(f"the task template cannot be rendered: {error}"[:MESSAGE_CHARACTERS], line=number) from error


@lru_cache(maxsize=64)
def _parse(template: str) -> BoundTemplate:
    return _environment().from_string(template)


@lru_cache(maxsize=1)
def _environment() -> LimitedEnvironment:
    environment = _Environment(autoescape=True)
    environment.add_filter("to_json", lambda value: json.dumps(value, ensure_ascii=False))
    environment.add_filter("skip_autoescape", lambda value: Markup(str(value)))
    environment.add_filter("grant_read_access", _GrantReadAccess())
    environment.add_filter("as_written", as_written)
    return environment


class _Environment(LimitedEnvironment):
    def tokenizer(self) -> Callable[[str], Iterator[Any]]:
        tokens = super().tokenizer()
        return lambda source: as_aws_reads(tokens(source), source)


def _shown(value: Any) -> Any:
    """A value whose objects and lists are put out as JSON.

    AWS's own templates rely on it (``initial-value="{{ task.input.selectedAiServiceResponse.blocks }}"``,
    ``categories="{{ task.input.labels }}"``); Liquid would put out Python's notation, or a list's texts as one word.
    """
    if isinstance(value, Mapping):
        return _Object({key: _shown(item) for key, item in value.items()})
    if isinstance(value, list):
        return _List([_shown(item) for item in value])
    return value


class _AsJson:
    """What is put out as JSON, also where a filter such as ``escape`` wants a text."""

    def __str__(self) -> str:
        return json.dumps(self, ensure_ascii=False)

    def __html__(self) -> str:
        return escape(str(self))


class _Object(_AsJson, dict[str, Any]):
    pass


class _List(_AsJson, list[Any]):
    pass


class _GrantReadAccess:
    """The filter needs the render's own signer, which it finds among the template's variables."""

    with_context = True

    def __call__(self, value: object, *, context: Any) -> str:
        uri = str(value)
        if match := S3_ADDRESS.fullmatch(uri):
            uri = f"s3://{match[1]}"
        if uri.startswith(("https://", "http://")):
            return uri
        if not uri.startswith(("s3://", "file://")):
            raise InputError(f'"grant_read_access" input is not a valid S3 URI: {uri!r}')
        link: str = context.resolve("__grant")(uri)
        return link
