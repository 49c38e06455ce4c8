"""What stands in a task template: its elements, scripts and Liquid, each with its place.

Read with Python's HTML parser. Liquid is replaced by stand-ins of the same length first, so that ``{% if a < b %}``
opens no element and every place is that in the template.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

OUTPUT = "\ue000"
"""Stands for each character of ``{{ … }}``."""
TAG = "\ue001"
"""Stands for each character of ``{% … %}``, and of what Liquid leaves out."""
_LIQUID = re.compile(
    r"\{%-?\s*raw\s*-?%\}(?P<raw>.*?)\{%-?\s*endraw\s*-?%\}"
    r"|\{%-?\s*(?P<quiet>comment|doc)\b.*?\{%-?\s*end(?P=quiet)\s*-?%\}"
    r"|\{\{.*?\}\}"
    r"|\{%-?\s*(?P<tag>\w+|#)?.*?%\}",
    re.DOTALL,
)
_OPENS = {"if", "unless", "case", "for", "tablerow", "ifchanged", "capture"}
_BRANCHES = {"elsif", "else", "when"}
LOOPS = {"for", "tablerow"}
_NOT_TEXT = {
    "script",
    "style",
    "textarea",
    "title",
    "option",
    "select",
    "xmp",
    "noscript",
    "template",
    "pre",
    "svg",
    "math",
}
"""What is in these is no running text of the page."""

Branch = tuple[tuple[str, int, int], ...]
"""The Liquid blocks around a place, the outermost first: the block's tag, its number, and which of its branches."""


@dataclass(frozen=True, slots=True)
class Element:
    """An element's start tag. ``in_form``: within a ``crowd-form``, or a form made for an element that has none."""

    name: str
    line: int
    attributes: dict[str, str]
    branch: Branch
    in_form: bool

    def get(self, attribute: str) -> str | None:
        """An attribute's value, ``None`` where it is not there."""
        return self.attributes.get(attribute)

    @property
    def in_loop(self) -> bool:
        """Whether Liquid may repeat it."""
        return any(tag in LOOPS for tag, _, _ in self.branch)

    def excludes(self, other: Element) -> bool:
        """Whether Liquid puts out one of the two at most: they are in different branches of one block."""
        mine = {number: which for tag, number, which in self.branch if tag not in LOOPS}
        return any(mine.get(number, which) != which for _, number, which in other.branch)


@dataclass
class Markup:
    """What a template holds."""

    elements: list[Element] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    """The text of those that stand in the template, and of its event handlers."""
    styles: list[str] = field(default_factory=list)
    """The text of those that stand in the template."""
    text_outputs: set[int] = field(default_factory=set)
    """The offsets of each ``{{`` that puts something into running text."""

    @property
    def script(self) -> str:
        """All scripts that stand in the template."""
        return "\n".join(self.scripts)


def is_dynamic(text: str) -> bool:
    """Whether Liquid makes a part of an attribute's value or a name."""
    return OUTPUT in text or TAG in text


def read_markup(template: str) -> Markup:
    """The elements, scripts and outputs of a template, or of what was rendered of one."""
    plain, outputs, starts, branches = _without_liquid(template)
    reader = _Reader(plain, starts, branches)
    reader.feed(plain)
    reader.close()
    found = reader.found
    captured = {start for start in outputs if any(tag == "capture" for tag, _, _ in _at(starts, branches, start))}
    spans = _merged(reader.spans)
    begins = [begin for begin, _ in spans]
    for start in outputs:
        place = bisect_right(begins, start) - 1
        if start not in captured and (place < 0 or spans[place][1] <= start):
            found.text_outputs.add(start)
    return found


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _without_liquid(template: str) -> tuple[str, list[int], list[int], list[Branch]]:
    """The template with stand-ins; where its outputs are; from where on which Liquid blocks are open."""
    parts: list[str] = []
    outputs: list[int] = []
    starts: list[int] = [0]
    branches: list[Branch] = [()]
    stack: list[tuple[str, int, int]] = []
    at = number = 0
    for match in _LIQUID.finditer(template):
        parts.append(template[at : match.start()])
        at = match.end()
        if match["raw"] is not None:
            begin, end = match.span("raw")
            parts += [_stand_in(template[match.start() : begin], TAG), match["raw"], _stand_in(template[end:at], TAG)]
            continue
        if match[0].startswith("{{"):
            outputs.append(match.start())
            parts.append(_stand_in(match[0], OUTPUT))
            continue
        parts.append(_stand_in(match[0], TAG))
        tag = match["tag"] or ""
        if tag in _OPENS:
            number += 1
            stack.append((tag, number, 0))
        elif tag in _BRANCHES and stack:
            kind, block, which = stack.pop()
            stack.append((kind, block, which + 1))
        elif tag.startswith("end") and stack:
            stack.pop()
        else:
            continue
        starts.append(at)
        branches.append(tuple(stack))
    parts.append(template[at:])
    return "".join(parts), outputs, starts, branches


def _stand_in(text: str, letter: str) -> str:
    return re.sub(r"[^\n]", letter, text)


def _at(starts: Sequence[int], branches: Sequence[Branch], offset: int) -> Branch:
    return branches[bisect_right(starts, offset) - 1]


class _Reader(HTMLParser):
    def __init__(self, text: str, starts: Sequence[int], branches: Sequence[Branch]) -> None:
        super().__init__(convert_charrefs=True)
        self.found = Markup()
        self.spans: list[tuple[int, int]] = []
        """From where to where there is no running text."""
        self._branches = starts, branches
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self._forms = 0
        self._kept: tuple[str, list[str]] | None = None
        self._quiet: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        start = self._offset()
        text = self.get_starttag_text() or ""
        self.spans.append((start, start + len(text)))
        if any(name == "template" for name, _ in self._quiet):
            return
        attributes: dict[str, str] = {}
        for name, value in attrs:
            # The first of two attributes of one name holds, as in a browser.
            if not is_dynamic(name):
                attributes.setdefault(name, value or "")
        line = self.getpos()[0]
        if tag == "crowd-form":
            self._forms += 1
        branch = _at(*self._branches, start)
        self.found.elements.append(Element(tag, line, attributes, branch, self._forms > 0))
        self.found.scripts += [value for name, value in attributes.items() if name.startswith("on") and value]
        if tag in ("script", "style"):
            self._kept = tag, []
        if tag in _NOT_TEXT:
            self._quiet.append((tag, start))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # As in a browser: only a void element ends with its start tag.
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag == "crowd-form":
            self._forms = max(0, self._forms - 1)
        if self._kept is not None and tag == self._kept[0]:
            text = "".join(self._kept[1])
            if text.strip():
                (self.found.scripts if tag == "script" else self.found.styles).append(text)
            self._kept = None
        while tag in {name for name, _ in self._quiet}:
            name, start = self._quiet.pop()
            self.spans.append((start, self._offset()))
            if name == tag:
                break

    def handle_data(self, data: str) -> None:
        if self._kept is not None:
            self._kept[1].append(data)

    def handle_comment(self, data: str) -> None:
        start = self._offset()
        self.spans.append((start, start + len(data) + len("<!---->")))

    def close(self) -> None:
        super().close()
        for _, start in self._quiet:
            self.spans.append((start, self._lines[-1] + 10**9))

    def _offset(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column
