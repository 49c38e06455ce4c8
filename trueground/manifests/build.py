"""Automated data setup: the manifest of what lies below a prefix.

After Ground Truth's: https://docs.aws.amazon.com/sagemaker/latest/dg/sms-console-create-manifest-file.html
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from itertools import chain
from typing import Any, Literal

from trueground.errors import InputError
from trueground.images import OTHER_SUFFIXES, SUFFIXES
from trueground.manifests.read import object_key
from trueground.manifests.texts import Note, text_objects
from trueground.manifests.write import write_manifest
from trueground.outputs import inputs_below
from trueground.storage import Storage

TEXT_SUFFIXES = (".txt", ".csv")


def build_manifest(
    storage: Storage,
    prefix: str,
    out_uri: str,
    *,
    media: Literal["image", "text"] = "image",
    skip: Container[str] = (),
    column: str | None = None,
    note: Note = lambda text: None,
) -> int:
    """Write the manifest of all objects below a prefix, in UTF-8 binary order of their names.

    Images are objects of their own; of a ``.txt`` file each line is one, of a ``.csv`` file each row: one column is
    the text, the others become keys of the object. A text that comes again is the same object and written once.
    Hidden files and folders are passed over.

    Args:
        storage: how to reach the files.
        prefix: the folder.
        out_uri: the manifest to write.
        media: what to look for.
        skip: keys of objects to leave out, because they have a label.
        column: of ``.csv`` files, the column with the text; see :func:`~trueground.manifests.texts.text_objects`.
        note: called with what was decided on a table, and what was left out.

    Returns:
        How many objects the manifest has; 0 where all of them are to be skipped.

    Raises:
        InputError: nothing of this media lies below the prefix, or a text file cannot be read.
    """
    suffixes = SUFFIXES if media == "image" else TEXT_SUFFIXES
    files = _files(storage, prefix, suffixes, OTHER_SUFFIXES if media == "image" else (), note)
    objects = ({"source-ref": uri} for uri in files) if media == "image" else _texts(storage, files, column, note)
    # Looked at before the file is made: an empty prefix must leave nothing behind.
    first = next(objects, None)
    if first is None:
        raise InputError(
            f"no {media}s lie below this prefix",
            file=prefix,
            hint=f"Put {', '.join(suffixes)} files there, or name another prefix.",
        )
    wanted = (line for line in chain([first], objects) if object_key(line) not in skip)
    return write_manifest(storage, out_uri, wanted)


def _files(
    storage: Storage, prefix: str, suffixes: tuple[str, ...], others: tuple[str, ...], note: Note
) -> Iterator[str]:
    # What the prefix itself is called does not matter; the last part is where a single file would stand.
    outside = prefix.rstrip("/").count("/")
    left_out: list[str] = []
    for uri in inputs_below(storage, prefix):
        hidden = any(part.startswith(".") for part in uri.split("/")[outside + 1 :])
        if uri.lower().endswith(suffixes) and not hidden:
            yield uri
        elif uri.lower().endswith(others) and not hidden:
            left_out.append(uri)
    if left_out:
        problem = f"{len(left_out)} files are of formats that browsers do not show and were left out: {left_out[0]}"
        note(f"{problem}{', …' if len(left_out) > 1 else ''}. Convert them to JPEG or PNG.")


def _texts(storage: Storage, files: Iterator[str], column: str | None, note: Note) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    repeated = 0
    for uri in files:
        for line in text_objects(storage, uri, column, note):
            if (key := object_key(line)) not in seen:
                seen.add(key)
                yield line
            else:
                repeated += 1
    if repeated:
        note(f"{repeated} texts that came before are the same objects and were left out")
