"""Whether people can work with a task template, and what may not work in it.

A template that Liquid can render may still show nothing to answer: an element that nobody defines is an empty place,
and the form around it hands in ``{}``. What cannot work is an error and is rejected where the template is handed in;
what may not work is a warning for whoever wrote it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from trueground.crowd_elements import ELEMENTS, ONLY_ON_AWS, CrowdElement
from trueground.errors import InputError
from trueground.relaxed_json import parse_relaxed
from trueground.template_addresses import address_findings
from trueground.template_findings import Finding
from trueground.template_markup import Element, Markup, is_dynamic, read_markup

_DEFINES = re.compile(r"""customElements\s*\.\s*define\s*\(\s*['"`]([^'"`]+)['"`]""")
_FIELDS = ("input", "select", "textarea", "button")
_UNNAMED_BY_NATURE = ("submit", "button", "reset", "image")
_TOGGLES = ("checkbox", "radio")
SHOWN = 4
"""Errors that one message names."""


@dataclass(frozen=True)
class Labels:
    """The label categories of a labeling job.

    Args:
        names: from the label category file.
        elements: those whose answer the job's task type can read; empty where any answer will do.
    """

    names: Sequence[str] = ()
    elements: Collection[str] = ()


def check_template(
    template: str,
    *,
    labels: Labels | None = None,
    rendered: str | None = None,
    own_address: str | None = None,
    elements: Mapping[str, CrowdElement] = ELEMENTS,
) -> list[Finding]:
    """What is wrong with a template, the errors first.

    Args:
        template: Liquid and HTML.
        labels: of the labeling job that it is for.
        rendered: what the template became with the data of a task, where there is one: names and categories that
            Liquid makes are only known then.
        own_address: how the links in ``rendered`` begin that the page may load, such as that of the service.
        elements: the ``crowd-*`` elements that are defined where people work.
    """
    raw = read_markup(template)
    found = list(_findings(raw, labels, elements, None))
    if rendered is not None:
        known = {finding.key for finding in found}
        page = read_markup(rendered)
        # With this task's data the page may lack what another task's has: only what is there is looked at.
        for finding in _findings(page, labels, elements, own_address, whole=False):
            if finding.key not in known:
                found.append(finding.rendered())
    return sorted(dict.fromkeys(found), key=lambda finding: (not finding.error, finding.line or 0))


def reject_errors(findings: Iterable[Finding], *, file: str | None = None, field: str | None = None) -> None:
    """Raise :class:`InputError`, which names what cannot work and its lines, if any of the findings is an error."""
    errors = [finding for finding in findings if finding.error]
    if not errors:
        return
    first, *others = errors
    more = "; ".join(str(error) for error in others[: SHOWN - 1])
    if len(others) >= SHOWN:
        more += f"; and {len(others) - SHOWN + 1} more"
    problem = f"{first.problem}; also {more}" if more else first.problem
    raise InputError(problem, file=file, field=field, line=None if first.in_page else first.line)


def warnings_of(findings: Iterable[Finding]) -> list[str]:
    """What may not work, as sentences."""
    return [str(finding) for finding in findings if not finding.error]


def _findings(
    markup: Markup,
    labels: Labels | None,
    elements: Mapping[str, CrowdElement],
    own_address: str | None,
    *,
    whole: bool = True,
) -> Iterator[Finding]:
    own = set(_DEFINES.findall(markup.script))
    unknown = [
        element
        for element in markup.elements
        if element.name.startswith("crowd-")
        and not is_dynamic(element.name)
        and element.name not in elements
        and element.name not in own
    ]
    for element in unknown:
        yield _error(element, _unknown(element.name, elements))
    markup = _with_its_own_form(markup, elements)
    if whole:
        yield from _form(markup, unknown, elements, own)
    yield from _names(markup, elements)
    yield from _buttons(markup)
    yield from _scripts(markup)
    yield from address_findings(markup, own_address)
    yield from _overlays(markup)
    yield from _categories(markup, labels, elements, whole=whole)


def _error(element: Element, problem: str) -> Finding:
    return Finding(problem, element.line, error=True)


def _warning(element: Element, problem: str) -> Finding:
    return Finding(problem, element.line)


def _unknown(name: str, elements: Mapping[str, CrowdElement]) -> str:
    if name in ONLY_ON_AWS:
        return f"<{name}> is an element of AWS that is not supported here yet, so workers would see nothing"
    near = get_close_matches(name, [*elements, *ONLY_ON_AWS], 1, 0.7)
    hint = f"; did you mean <{near[0]}>?" if near else " and that no script of the template defines"
    return f"<{name}> is an element that does not exist{hint}"


def _with_its_own_form(markup: Markup, elements: Mapping[str, CrowdElement]) -> Markup:
    """As on AWS, an element that is a whole task makes a form for itself where the template has none."""
    if any(element.name == "crowd-form" for element in markup.elements):
        return markup
    for place, element in enumerate(markup.elements):
        if (kind := elements.get(element.name)) is not None and kind.whole_task:
            made = Element(element.name, element.line, element.attributes, element.branch, True)
            return Markup(
                [*markup.elements[:place], made, *markup.elements[place + 1 :]], markup.scripts, markup.styles
            )
    return markup


def _form(
    markup: Markup, unknown: Sequence[Element], elements: Mapping[str, CrowdElement], own: Collection[str]
) -> Iterator[Finding]:
    forms = [element for element in markup.elements if element.name == "crowd-form"]
    if not any(element.in_form for element in markup.elements):
        if not any(element.name in ONLY_ON_AWS and ONLY_ON_AWS[element.name].whole_task for element in unknown):
            yield Finding("the template has no <crowd-form>, so nothing could be submitted", None, error=True)
        return
    if not unknown and not markup.scripts and not any(_gives_answer(one, elements, own) for one in markup.elements):
        line = forms[0].line if forms else None
        yield Finding(
            "the form has neither an input with a name nor a script, so every answer would be empty", line, error=True
        )
    for form in forms[1:]:
        if not any(form.excludes(other) for other in forms if other is not form):
            yield _warning(form, "a second <crowd-form>: only the form whose Submit is pressed is part of the answer")
    for element in markup.elements:
        kind = elements.get(element.name)
        if kind is not None and kind.answers and not element.in_form:
            yield _warning(element, f"<{element.name}> is outside <crowd-form>, so it is not part of the answer")
        if element.name == "input" and element.get("type") == "file" and element.in_form:
            yield _warning(element, "files are not part of an answer: <input type=file> hands in nothing")


def _gives_answer(element: Element, elements: Mapping[str, CrowdElement], own: Collection[str]) -> bool:
    if not element.in_form:
        return False
    if element.name in elements:
        return elements[element.name].answers
    # What an element of the template's own does is known to its script, or is made by Liquid.
    if element.name in own or is_dynamic(element.name):
        return True
    return element.name in _FIELDS and bool(element.get("name")) and not _is_silent(element)


def _is_silent(element: Element) -> bool:
    """Whether it never has a value in an answer."""
    if element.name == "button":
        return (element.get("type") or "submit") != "submit"
    return element.name == "input" and element.get("type") in ("button", "reset", "image", "file")


def _names(markup: Markup, elements: Mapping[str, CrowdElement]) -> Iterator[Finding]:
    named: dict[str, list[Element]] = defaultdict(list)
    for element in markup.elements:
        kind = elements.get(element.name)
        if not element.in_form or not (kind.answers if kind else element.name in _FIELDS):
            continue
        name = element.get("name") or (element.name if kind else "")
        if not name:
            if element.name != "button" and element.get("type") not in (*_UNNAMED_BY_NATURE, "file"):
                yield _warning(element, f"<{element.name}> has no name, so it is not part of the answer")
        elif not is_dynamic(name) and not (element.name == "button" or _is_silent(element)):
            named[name].append(element)
    for name, group in named.items():
        clashing = _clashing(group, elements)
        if clashing:
            lines = ", ".join(str(element.line) for element in clashing)
            yield Finding(
                f"several elements have the name {name!r} (lines {lines}): the answer has a list of their values",
                clashing[0].line,
                about=f"name {name}",
            )
        for element in group:
            if not clashing and element.in_loop and not _toggles(element, elements):
                yield _warning(
                    element,
                    f"<{element.name} name={name!r}> is in a loop of Liquid: where it occurs several times, the answer "
                    "has a list of their values",
                )


def _clashing(group: Sequence[Element], elements: Mapping[str, CrowdElement]) -> list[Element]:
    """Elements of one name whose values cannot be told apart by what they are."""
    seen: list[Element] = []
    clashing: list[Element] = []
    for element in group:
        for other in seen:
            together = _toggles(element, elements) and _toggles(other, elements)
            if not element.excludes(other) and not (together and _value(element) != _value(other)):
                clashing += [other, element]
        seen.append(element)
    return [element for element in group if element in clashing]


def _toggles(element: Element, elements: Mapping[str, CrowdElement]) -> bool:
    kind = elements.get(element.name)
    return kind.toggles if kind else element.name == "input" and element.get("type") in _TOGGLES


def _value(element: Element) -> object:
    value = element.get("value") or "on"
    # Values that Liquid makes are taken to differ.
    return element if is_dynamic(value) else value


def _buttons(markup: Markup) -> Iterator[Finding]:
    for element in markup.elements:
        if element.name == "button" and element.in_form and element.get("type") is None and not element.get("name"):
            yield _warning(element, '<button> without a type submits nothing: write type="submit" or type="button"')


_SCRIPTS = (
    (
        r"\.shadowRoot\b",
        "a script reaches into the shadowRoot of an element, whose parts are not those of AWS's element",
    ),
    (
        r"\bfetch\s*\(|\bXMLHttpRequest\b|\bWebSocket\s*\(|\bEventSource\s*\(|\bsendBeacon\s*\(",
        "a script sends requests, which a task page may not: put the data into the task's input",
    ),
    (
        r"\b(localStorage|sessionStorage|indexedDB|document\.cookie)\b",
        "a script uses storage, and a task page has none",
    ),
)


def _scripts(markup: Markup) -> Iterator[Finding]:
    for pattern, problem in _SCRIPTS:
        if re.search(pattern, markup.script):
            yield Finding(problem, None)


def _overlays(markup: Markup) -> Iterator[Finding]:
    for element in markup.elements:
        if element.name == "crowd-image-classifier" and element.get("overlay"):
            yield _error(
                element,
                "the attribute overlay of <crowd-image-classifier> is not supported here yet, so workers would not see "
                "the boxes or the mask that they judge",
            )


def _categories(
    markup: Markup, labels: Labels | None, elements: Mapping[str, CrowdElement], *, whole: bool
) -> Iterator[Finding]:
    choosers = [one for one in markup.elements if (kind := elements.get(one.name)) and kind.categories]
    if labels is not None and labels.elements and whole:
        yield from _readers(markup, [one for one in markup.elements if one.name in labels.elements], labels.elements)
    for element in choosers:
        text = element.get("categories")
        if text is not None and is_dynamic(text):
            continue
        try:
            given = parse_relaxed(text) if text and text.strip() else []
        except ValueError as error:
            yield _error(element, f"the attribute categories of <{element.name}> cannot be read: {error}")
            continue
        names = [_category(item) for item in given] if isinstance(given, list) else None
        if names is None or None in names:
            yield _error(element, f"the attribute categories of <{element.name}> must be a list of names")
        elif not names:
            if "categories" not in markup.script:
                yield _error(element, f"<{element.name}> has no categories, so nothing could be chosen")
        elif labels is not None and labels.names:
            yield from _compared(element, [str(name) for name in names], labels)


def _readers(markup: Markup, readable: Sequence[Element], wanted: Collection[str]) -> Iterator[Finding]:
    """Whether there is just one element whose answer the task type can read."""
    either = " or ".join(f"<{name}>" for name in sorted(wanted))
    if any(name in markup.script for name in wanted):
        return
    if not readable and not any(element.name in ONLY_ON_AWS for element in markup.elements):
        yield Finding(f"labels of this task type come from {either}, and the template has neither", None, error=True)
    for place, element in enumerate(readable):
        if any(not element.excludes(other) for other in readable[:place]):
            yield _error(element, f"labels of this task type come from one {either}, and the template has several")


def _compared(element: Element, names: Sequence[str], labels: Labels) -> Iterator[Finding]:
    strange = [name for name in names if name not in labels.names]
    known = ", ".join(map(repr, labels.names[:20])) + (", …" if len(labels.names) > 20 else "")
    if strange:
        problem = (
            f"<{element.name}> offers {', '.join(map(repr, strange[:5]))}, and the label category file has only {known}"
        )
        yield Finding(problem, element.line, error=bool(labels.elements))
    missing = [name for name in labels.names if name not in names]
    if missing and not strange:
        yield _warning(
            element,
            f"<{element.name}> does not offer {', '.join(map(repr, missing[:5]))} of the label category file",
        )


def _category(item: Any) -> str | None:
    if isinstance(item, Mapping):
        item = item.get("label")
    return None if item is None or isinstance(item, (list, Mapping)) else str(item)
