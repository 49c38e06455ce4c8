"""What a template wants to load from elsewhere, and what of it a task page may not load.

Which addresses a page may load is decided in ``service/portal/frames.py``; ``docs/security.md`` says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from trueground.template_findings import Finding
from trueground.template_markup import Element, Markup, is_dynamic

CROWD_SCRIPT = re.compile(r"https://assets\.crowd\.aws/crowd-html-elements[\w.-]*\.js")
"""AWS's own script, in place of which the page gets ours."""
_WANTED = {
    "script": ("src", "the script {} is of another host and is not loaded: put its text into the template"),
    "iframe": ("src", "the page {} is of another host and is not shown: link to it with <a>, which opens a new tab"),
    "frame": ("src", "the page {} is of another host and is not shown: link to it with <a>, which opens a new tab"),
    "embed": ("src", "<embed> shows nothing in a task page ({}): use <iframe> and grant_read_access"),
    "object": ("data", "<object> shows nothing in a task page ({}): use <iframe> and grant_read_access"),
    "video": ("src", "{} is of another host and is not played: name it in the task's input and use grant_read_access"),
    "audio": ("src", "{} is of another host and is not played: name it in the task's input and use grant_read_access"),
    "source": ("src", "{} is of another host and is not played: name it in the task's input and use grant_read_access"),
    "img": ("src", "the image {} is not shown: use grant_read_access, or an address that begins with https://"),
}
_STYLE = "the stylesheet {} is of another host and is not loaded: put its text into a <style>"
_MODULE = re.compile(r"""\bimport\b[^;\n]*?['"]https?://""")
_IN_STYLE = re.compile(
    r"""@import\s+(?:url\(\s*)?['"]?((?:https?:)?//[^\s"')]+)|src:[^;}]*url\(\s*['"]?((?:https?:)?//[^\s"')]+)"""
)
_IN_PAGE = re.compile(r"(data|blob|about|javascript):", re.IGNORECASE)


def address_findings(markup: Markup, own: str | None) -> Iterator[Finding]:
    """Scripts, styles, frames and media that a task page would not load.

    Args:
        markup: the template, or a page made of it.
        own: how the addresses begin that ``grant_read_access`` makes.
    """
    for element in markup.elements:
        attribute, problem = _WANTED.get(element.name, ("", ""))
        if element.name == "link" and "stylesheet" in (element.get("rel") or "").lower():
            attribute, problem = "href", _STYLE
        address = (element.get(attribute) or "").strip() if attribute else ""
        if not address or is_dynamic(address) or _is_loaded(element, address, own):
            continue
        yield Finding(problem.format(address[:200]), element.line)
    for style in markup.styles:
        for address in map("".join, _IN_STYLE.findall(style)):
            yield Finding(f"a style loads {address[:200]}, which is of another host and is not loaded", None)
    if _MODULE.search(markup.script):
        yield Finding("a script imports a module of another host, which is not loaded", None)


def _is_loaded(element: Element, address: str, own: str | None) -> bool:
    if element.name in ("embed", "object"):
        return False
    if _IN_PAGE.match(address) or (own and address.startswith(own)):
        return True
    if element.name == "script":
        return CROWD_SCRIPT.fullmatch(address) is not None
    return element.name == "img" and address.startswith("https://")
