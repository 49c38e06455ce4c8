"""What stands in a task template: its elements, scripts and Liquid, each with its place.

Read with Python's HTML parser. Liquid is replaced by stand-ins of the same length first, so that ``{% if a < b %}``
opens no element and every place is that in the template.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

OUTPUT = "\ue000"
"""Stands for each character of ``{{ … }}``."""
TAG = "\ue001"
"""Stands for each character of ``{% … %}``, and of what Liquid leaves out."""
_OPEN = re.compile(r"\{\{|\{%-?\s*(?P<tag>\w+|#)?")
_QUIET = {tag: re.compile(rf"\{{%-?\s*end{tag}\b.*?%\}}", re.DOTALL) for tag in ("raw", "comment", "doc")}
"""Tags between which nothing is Liquid's, and how they end."""
_COMMENT_OR_RAW = re.compile(r"<!--|<(?P<raw>script|style|textarea|title)(?=[\s/>])", re.IGNORECASE)
_EMPTY_COMMENT = re.compile(r"<!---?>")
_OPENS = {"if", "unless", "case", "for", "tablerow", "ifchanged", "capture"}
DEPTH = 50
"""Blocks within blocks that are told apart."""
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
    plain = _ended(plain)
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
    at = number = deeper = 0
    while match := _OPEN.search(template, at):
        tag = match["tag"] or ""
        end = template.find("}}" if match[0] == "{{" else "%}", match.end())
        if end < 0:
            break
        parts.append(template[at : match.start()])
        at = end + 2
        if match[0] == "{{":
            outputs.append(match.start())
            parts.append(_stand_in(template[match.start() : at], OUTPUT))
            continue
        if tag in _QUIET:
            last = _QUIET[tag].search(template, at)
            begin, stop = (last.start(), last.end()) if last else (len(template), len(template))
            inside = template[at:begin]
            parts.append(_stand_in(template[match.start() : at], TAG))
            parts.append(inside if tag == "raw" else _stand_in(inside, TAG))
            parts.append(_stand_in(template[begin:stop], TAG))
            at = stop
            continue
        parts.append(_stand_in(template[match.start() : at], TAG))
        if tag in _OPENS:
            number += 1
            if len(stack) == DEPTH:
                deeper += 1
                continue
            stack.append((tag, number, 0))
        elif deeper:
            deeper -= tag.startswith("end")
            continue
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


def _ended(text: str) -> str:
    """The text with comments ended, and without a beginning of markup that has no end.

    A browser takes what follows such a beginning for a part of it. The parser tries every place in it anew, which would
    take a minute for some templates.
    """
    text = _EMPTY_COMMENT.sub(lambda match: _stand_in(match[0], TAG), text)
    at = 0
    while match := _COMMENT_OR_RAW.search(text, at):
        if match["raw"]:
            # What looks like a comment in a script is a part of the script.
            ended = re.compile(f"</{match['raw']}", re.IGNORECASE).search(text, match.end())
            at = ended.end() if ended else len(text)
            continue
        end = text.find("-->", match.end())
        if end < 0:
            return text[: match.start()] + _stand_in(text[match.start() :], TAG)
        at = end + 3
    last = text.rfind(">") + 1
    return text[:last] + text[last:].replace("<", TAG)


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
        self._open: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        start = self._offset()
        text = self.get_starttag_text() or ""
        self.spans.append((start, start + len(text)))
        if self._open["template"]:
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
            self._open[tag] += 1

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
        while self._open[tag]:
            name, start = self._quiet.pop()
            self._open[name] -= 1
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
