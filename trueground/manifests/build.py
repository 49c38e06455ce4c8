"""Automated data setup: the manifest of what lies below a prefix."""

from __future__ import annotations

import csv
import io
from collections.abc import Container, Iterator
from pathlib import PurePosixPath
from typing import Any, Literal

from trueground import storage as paths
from trueground.errors import InputError
from trueground.manifests.read import object_key
from trueground.manifests.write import write_manifest
from trueground.storage import Storage

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
TEXT_SUFFIXES = (".txt", ".csv")


def build_manifest(
    storage: Storage,
    prefix: str,
    out_uri: str,
    *,
    media: Literal["image", "text"] = "image",
    skip: Container[str] = (),
) -> int:
    """Write the manifest of all objects below a prefix, in UTF-8 binary order of their names.

    Images are objects of their own; of a ``.txt`` file each line is one, of a ``.csv`` file each row's first field.
    Hidden files are passed over.

    Args:
        storage: how to reach the files.
        prefix: the folder.
        out_uri: the manifest to write.
        media: what to look for.
        skip: keys of objects to leave out, because they have a label.

    Returns:
        How many objects the manifest has; 0 where all of them are to be skipped.

    Raises:
        InputError: nothing of this media lies below the prefix.
    """
    found = 0

    def wanted() -> Iterator[dict[str, Any]]:
        nonlocal found
        for line in _objects(storage, prefix, media):
            found += 1
            if object_key(line) not in skip:
                yield line

    # Looked at before the file is made: an empty prefix must leave nothing behind.
    if next(_objects(storage, prefix, media), None) is None:
        wanted_files = ", ".join(IMAGE_SUFFIXES if media == "image" else TEXT_SUFFIXES)
        raise InputError(
            f"no {media} files lie below this prefix",
            file=prefix,
            hint=f"Put files there ({wanted_files}), or correct data.prefix.",
        )
    return write_manifest(storage, out_uri, wanted())


def _objects(storage: Storage, prefix: str, media: str) -> Iterator[dict[str, Any]]:
    suffixes = IMAGE_SUFFIXES if media == "image" else TEXT_SUFFIXES
    for uri in storage.list(prefix):
        if paths.name(uri).startswith(".") or not uri.lower().endswith(suffixes):
            continue
        if media == "image":
            yield {"source-ref": uri}
            continue
        with storage.open(uri) as handle:
            text = io.TextIOWrapper(handle, encoding="utf-8-sig", newline="")
            rows = (row[0] for row in csv.reader(text) if row) if PurePosixPath(uri).suffix.lower() == ".csv" else text
            for row in rows:
                if row.strip():
                    yield {"source": row.rstrip("\r\n")}
