"""Which files a task may show: those that its own data, its template or its label categories name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trueground.errors import InputError
from trueground.service.liquid import S3_ADDRESS
from trueground.storage import Storage

_ADDRESS = re.compile(r"""(?:s3|file)://[^\s"'<>{}|\\]+|https?://s3[\w.-]*\.amazonaws\.com/[^\s"'<>{}|\\]+""")


class NamedFiles:
    """The files that are named in some values: the exact URIs, and what lies below one that is a folder.

    A template may compose the address of a frame from its sequence's folder. It cannot leave that folder: addresses
    are compared as the storage resolves them, ``..`` and links followed.

    Args:
        storage: resolves addresses.
        sources: texts, and lists and mappings of them.
    """

    def __init__(self, storage: Storage, *sources: Any) -> None:
        self._storage = storage
        self._places = set(self._resolve(_addresses(sources)))

    def check(self, uri: str) -> None:
        """Raise :class:`InputError` where nothing names this file, or what the storage raises for it."""
        place = self._storage.place(uri)
        # In a key of S3 ".." means nothing, but a proxy before it may follow it all the same.
        below = ".." not in place.split("/") and any(place.startswith(f"{n.rstrip('/')}/") for n in self._places)
        if place in self._places or below:
            return
        raise InputError(
            "the template asks for a file that neither its task nor itself names",
            file=uri,
            hint="Name the file, or the folder it lies in, in the manifest line, the label categories or the template.",
        )

    def _resolve(self, uris: Iterable[str]) -> Iterator[str]:
        for uri in uris:
            try:
                yield self._storage.place(uri)
            except InputError:
                continue  # named, but not to be had: it cannot be asked for either


def _addresses(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if "://" in value:
            # As a whole, because an address may hold spaces; and each one inside a longer text.
            for found in (value, *_ADDRESS.findall(value)):
                known = S3_ADDRESS.fullmatch(found)
                yield f"s3://{known[1]}" if known else found
    elif isinstance(value, Mapping):
        # How the requests of Textract and Rekognition name a file.
        if isinstance(value.get("bucket"), str) and isinstance(value.get("name"), str):
            yield f"s3://{value['bucket']}/{value['name']}"
        for key, item in value.items():
            yield from _addresses(key)
            yield from _addresses(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _addresses(item)
