"""Markdown to HTML for model cards."""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup


def to_html(text: str) -> Markup:
    """HTML of CommonMark with tables. HTML inside the text is shown, not obeyed, and pictures are left out."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    return Markup(reader.render(text))
