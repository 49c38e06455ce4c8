"""Fill a task template's markers with what a labeling project says.

Ground Truth's templates carry their heading, categories and instructions in their own text. Trueground's templates
hold markers in those places, ``%%HEADER%%`` and the like, so that one template serves every project of its task type;
what is uploaded for a job is then a plain Ground Truth template.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence

from trueground.errors import InputError

MARKER = re.compile(r"%%([A-Z_]+)%%")


def fill(
    template_text: str, *, header: str, short: str, full: str, categories: Sequence[str], label_attribute: str
) -> str:
    """The template with its markers filled.

    Args:
        template_text: Liquid and HTML with markers.
        header: plain text for ``%%HEADER%%``, escaped for an attribute.
        short, full: HTML for ``%%SHORT_INSTRUCTIONS%%`` and ``%%FULL_INSTRUCTIONS%%``, kept as it is.
        categories: JSON for ``%%CATEGORIES%%``, escaped for an attribute.
        label_attribute: for ``%%LABEL_ATTRIBUTE%%``, inside Liquid expressions.

    Raises:
        InputError: the template has a marker that nothing fills.
    """
    values = {
        "HEADER": _no_liquid(html.escape(header)),
        "SHORT_INSTRUCTIONS": _no_liquid(short),
        "FULL_INSTRUCTIONS": _no_liquid(full),
        "CATEGORIES": _no_liquid(html.escape(json.dumps(list(categories), ensure_ascii=False))),
        "LABEL_ATTRIBUTE": label_attribute,
    }

    def value(match: re.Match[str]) -> str:
        try:
            return values[match[1]]
        except KeyError:
            raise InputError(
                f"the template has the marker {match[0]}", hint=f"Known are {', '.join(f'%%{k}%%' for k in values)}."
            ) from None

    return MARKER.sub(value, template_text)


def _no_liquid(text: str) -> str:
    """Text in which Liquid finds nothing to do: a class named ``{{x}}`` is shown as it is."""
    return text.replace("{{", "&#123;&#123;").replace("{%", "&#123;%")
