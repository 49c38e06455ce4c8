"""Automated data setup: the manifest of what lies below a prefix.

After Ground Truth's: https://docs.aws.amazon.com/sagemaker/latest/dg/sms-console-create-manifest-file.html
"""

from __future__ import annotations

import csv
import io
from collections.abc import Container, Iterator
from itertools import chain
from typing import Any, Literal

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

    Images are objects of their own; of a ``.txt`` file each line is one, of a ``.csv`` file each row (the field of a
    row that has only one, else the row as CSV). A text that comes again is the same object and written once. Hidden
    files and folders are passed over.

    Args:
        storage: how to reach the files.
        prefix: the folder.
        out_uri: the manifest to write.
        media: what to look for.
        skip: keys of objects to leave out, because they have a label.

    Returns:
        How many objects the manifest has; 0 where all of them are to be skipped.

    Raises:
        InputError: nothing of this media lies below the prefix, or a text file cannot be read.
    """
    suffixes = IMAGE_SUFFIXES if media == "image" else TEXT_SUFFIXES
    files = _files(storage, prefix, suffixes)
    objects = ({"source-ref": uri} for uri in files) if media == "image" else _texts(storage, files)
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


def _files(storage: Storage, prefix: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    # What the prefix itself is called does not matter; the last part is where a single file would stand.
    outside = prefix.rstrip("/").count("/")
    for uri in storage.list(prefix):
        hidden = any(part.startswith(".") for part in uri.split("/")[outside + 1 :])
        if uri.lower().endswith(suffixes) and not hidden:
            yield uri


def _texts(storage: Storage, files: Iterator[str]) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for uri in files:
        for text in _rows(storage, uri):
            line = {"source": text}
            if text.strip() and (key := object_key(line)) not in seen:
                seen.add(key)
                yield line


def _rows(storage: Storage, uri: str) -> Iterator[str]:
    """The lines of a text file or the rows of a table, without their line ends."""
    with storage.open(uri) as handle:
        text = io.TextIOWrapper(handle, encoding="utf-8-sig", newline="")
        try:
            if uri.lower().endswith(".csv"):
                yield from (row[0] if len(row) == 1 else _joined(row) for row in csv.reader(text))
            else:
                yield from (line.rstrip("\r\n") for line in text)
        except UnicodeDecodeError as error:
            raise InputError(f"not UTF-8: {error.reason}", file=uri, hint="Save the file as UTF-8.") from None
        except csv.Error as error:
            raise InputError(f"not CSV: {error}", file=uri, hint="Look for a quote that is not closed.") from None


def _joined(row: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(row)
    return out.getvalue()
