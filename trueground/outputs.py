"""What a project makes is never what a project labels: outputs are kept apart from inputs.

Where both are known from project files, a project is refused when it is read (:func:`overlap`). Outputs of forms and
of other installations are known by the mark in them, which whoever reads a folder looks for (:func:`inputs_below`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from trueground import storage as paths
from trueground.errors import InputError, OutsideDataRootError
from trueground.storage import Storage

MARK = "trueground-output.json"
"""The file that says of a folder that it is a project's output."""
_NIGHT = re.escape("{night}")


def mark_output(storage: Storage, output: str, project: str) -> None:
    """Say of a folder that it is a project's output, unless it says so."""
    mark = paths.join(output, MARK)
    if not storage.exists(mark):
        storage.write_text(mark, json.dumps({"project": project}) + "\n")


def inputs_below(storage: Storage, prefix: str) -> Iterator[str]:
    """The URIs of all files below a prefix, in UTF-8 binary order.

    Raises:
        InputError: the prefix lies in a project's output, or one lies in it.
    """
    _refuse_inside(storage, prefix)
    for uri in storage.list(prefix):
        if paths.name(uri) == MARK:
            raise InputError(
                f"it holds the output of a project ({paths.parent(uri)}), which would be labeled too",
                file=prefix,
                field="data.prefix",
                hint="Give the data a folder of its own, beside the output.",
            )
        yield uri


def _refuse_inside(storage: Storage, prefix: str) -> None:
    folder = prefix.rstrip("/")
    while folder.partition("://")[2].strip("/"):
        try:
            inside = storage.exists(paths.join(folder, MARK))
        except OutsideDataRootError:
            return
        if inside:
            raise InputError(
                f"it lies in the output of a project ({folder})",
                file=prefix,
                field="data.prefix",
                hint="Put the data into a folder outside it.",
            )
        folder = paths.parent(folder)


def overlap(first: str, second: str) -> bool:
    """Whether one of two folders (URIs) lies in the other, or they are the same; ``{night}`` stands for any date."""
    one, other = _parts(first), _parts(second)
    return all(_same(a, b) for a, b in zip(one, other, strict=False))


def refuse_overlap(prefixes: Mapping[str, str], output: str, whose: str) -> None:
    """Refuse folders of data that lie in an output, or hold it.

    Args:
        prefixes: the folders, by the fields that name them.
        output: the output.
        whose: whose output it is, for the error.

    Raises:
        InputError: naming the first field.
    """
    for field, prefix in prefixes.items():
        if overlap(prefix, output):
            raise InputError(
                f"{prefix} and {whose} ({output}) lie one in the other, so labels would be labeled",
                field=field,
                hint="Keep data and output in folders beside each other.",
            )


def _parts(uri: str) -> list[str]:
    """A URI's scheme, and the parts of its path as they are without quotes, ``..`` and links."""
    scheme, mark, path = Storage().place(uri).partition("://")
    return [scheme + mark, *filter(None, unquote(path).split("/"))]


def _same(first: str, second: str) -> bool:
    def pattern(part: str) -> str:
        return re.escape(part).replace(_NIGHT, r"\d{4}-\d\d-\d\d")

    return first == second or any(
        re.fullmatch(pattern(one), other) is not None for one, other in ((first, second), (second, first))
    )
