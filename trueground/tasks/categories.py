"""The label category configuration file: the classes that people choose from.

Its form: https://docs.aws.amazon.com/sagemaker/latest/dg/sms-label-cat-config-attributes.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from trueground.errors import InputError
from trueground.storage import Storage

LABEL_CHARACTERS = 256


def label_category_config(categories: Sequence[str]) -> dict[str, Any]:
    """The file's content for plain classes."""
    return {"document-version": "2018-11-28", "labels": [{"label": category} for category in categories]}


FILE_BYTES = 8 * 1024 * 1024
"""More is no file of label categories."""


def read_label_categories(storage: Storage, uri: str) -> list[str]:
    """The classes of a label category file, in order. Raises :class:`InputError` that says what is wrong with it."""
    try:
        content = json.loads(storage.read_small(uri, FILE_BYTES))
    except FileNotFoundError:
        raise InputError("there is no such label category file", file=uri) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", file=uri) from None
    entries = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise InputError(
            "a list of labels is needed", file=uri, field="labels", hint='Write {"labels": [{"label": "cat"}]}.'
        )
    labels: dict[str, None] = {}
    for number, entry in enumerate(entries):
        label = entry.get("label") if isinstance(entry, dict) else None
        field = f"labels[{number}].label"
        if not isinstance(label, str) or not 0 < len(label) <= LABEL_CHARACTERS:
            raise InputError(f"a text of 1 to {LABEL_CHARACTERS} characters is needed", file=uri, field=field)
        if label in labels:
            raise InputError(f"{label!r} stands there twice", file=uri, field=field)
        labels[label] = None
    return list(labels)
