"""What AWS's templates may say in Liquid that the library reads otherwise: escapes in texts, data as it was written.

Both are changes of a template's tokens, before they are parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from liquid.builtin.expressions import tokenize
from liquid.exceptions import LiquidSyntaxError
from liquid.token import TOKEN_EXPRESSION, TOKEN_OUTPUT
from markupsafe import Markup, escape

from trueground.template_markup import read_markup

ESCAPED_TEXTS = "__texts"
"""The variable that holds the texts with escapes."""
_TEXT = re.compile(r"""(["'])((?:[^\\]|\\.)*?)\1""", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def as_aws_reads(tokens: Iterable[Any], source: str) -> Iterator[Any]:
    """The tokens of a template, with escapes in texts read and data in running text marked to be shown as written."""
    running = read_markup(source).text_outputs
    output: int | None = None
    for token in tokens:
        if token.kind == TOKEN_EXPRESSION:
            value = _with_escapes(token)
            if output in running and value.strip():
                value += " | as_written"
            token = token._replace(value=value)
        output = token.start_index if token.kind == TOKEN_OUTPUT else None
        yield token


def as_written(value: Any) -> Any:
    """The filter at the end of each output in running text: line breaks are shown.

    HTML shows a line break as a space. What holds markup is left as it is: its author has decided.
    """
    if not isinstance(value, str) or (isinstance(value, Markup) and "<" in value):
        return value
    text = value.strip()
    if "\n" not in text:
        return value
    # Without a direction of its own: an element around it that finds out its own would take no notice of it.
    return Markup(f'<span style="white-space: pre-wrap">{escape(text)}</span>')


class EscapedTexts(Mapping[str, Markup]):
    """Texts of templates by their hexadecimal notation, in which a name can hold any text."""

    def __getitem__(self, name: str) -> Markup:
        return Markup(bytes.fromhex(name).decode("utf-8", "surrogatepass"))

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _with_escapes(token: Any) -> str:
    """An expression; where the library cannot read it because of escaped quotes, its texts are put elsewhere."""
    value: str = token.value
    if "\\" not in value:
        return value
    try:
        for _ in tokenize(value, token):
            pass
    except LiquidSyntaxError:
        return _TEXT.sub(_named, value)
    return value


def _named(match: re.Match[str]) -> str:
    text = match[2]
    if "\\" not in text:
        return match[0]
    text = _ESCAPE.sub(
        lambda found: chr(int(found[1][1:], 16)) if len(found[1]) > 1 else _LETTERS.get(found[1], found[1]), text
    )
    return f"{ESCAPED_TEXTS}['{text.encode('utf-8', 'surrogatepass').hex()}']"
