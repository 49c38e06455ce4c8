"""Check a manifest against Ground Truth's rules, and that every object it names can be labeled."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from trueground.errors import InputError
from trueground.manifests.read import object_key
from trueground.storage import Storage

LINE_CHARACTERS = 100_000
ATTRIBUTE_CHARACTERS = 20_000
IMAGE_BYTES = 40 * 1024 * 1024
IMAGE_PIXELS = 100_000_000
PROGRESS_EVERY = 1000


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, where, and what to do about it. ``line`` counts from 1."""

    line: int | None
    field: str | None
    problem: str
    hint: str | None = None

    def __str__(self) -> str:
        return str(InputError(self.problem, line=self.line, field=self.field, hint=self.hint))


@dataclass(frozen=True)
class ManifestReport:
    """What a check found: how many objects there are, and the first problems in the order of the lines.

    ``total_problems`` counts also those beyond the limit.
    """

    objects: int
    problems: list[Problem] = field(default_factory=list)
    total_problems: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.total_problems


def check_manifest(
    storage: Storage,
    uri: str,
    *,
    source_key: Literal["source", "source-ref"],
    media: Literal["image", "text"],
    label_attribute: str | None = None,
    limit: int = 100,
    progress: Callable[[int], None] | None = None,
) -> ManifestReport:
    """Check every line and every object, streaming: memory grows by 16 bytes an object.

    Args:
        storage: how to reach the files.
        uri: the manifest.
        source_key: the key that the task type needs.
        media: what an object must be.
        label_attribute: the attribute to be labeled; no object may have it already.
        limit: problems to keep.
        progress: called with the number of objects, now and then.

    Raises:
        InputError: there is no such file.
    """
    problems: list[Problem] = []
    total = objects = 0
    seen: dict[bytes, int] = {}

    def note(found: Problem) -> None:
        nonlocal total
        total += 1
        if len(problems) < limit:
            problems.append(found)

    try:
        handle = storage.open(uri)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError("there is no such manifest", file=uri) from None
    with handle:
        for number, raw in enumerate(handle, start=1):
            line = _parse(raw, number, note)
            if line is None:
                continue
            objects += 1
            for found in _line_problems(line, number, source_key, label_attribute):
                note(found)
            if isinstance(line.get(source_key), str):
                digest = hashlib.blake2b(object_key(line).encode("utf-8"), digest_size=12).digest()
                first = seen.setdefault(digest, number)
                if first != number:
                    note(Problem(number, source_key, f"the same object as in line {first}", "Remove one of the two."))
                elif source_key == "source-ref" and (problem := _object_problem(storage, line[source_key], media)):
                    note(Problem(number, source_key, problem))
            if progress is not None and objects % PROGRESS_EVERY == 0:
                progress(objects)
    if not objects and not total:
        note(Problem(None, None, "the manifest is empty", "Give it one data object a line."))
    return ManifestReport(objects, problems, total)


def _parse(raw: bytes, number: int, note: Callable[[Problem], None]) -> dict[str, Any] | None:
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        note(Problem(number, None, f"not UTF-8 at byte {error.start}", "Save the file as UTF-8."))
        return None
    if not text.strip():
        note(Problem(number, None, "the line is blank", "Remove it."))
        return None
    if len(text) > LINE_CHARACTERS:
        note(Problem(number, None, f"{len(text)} characters; a line may have {LINE_CHARACTERS}"))
        return None
    try:
        line = json.loads(text)
    except ValueError as error:
        note(Problem(number, None, f"not JSON: {error}", "Each line is one JSON object, without line breaks in it."))
        return None
    if not isinstance(line, dict):
        note(Problem(number, None, "not a JSON object", 'Write {"source-ref": "s3://…"}.'))
        return None
    return line


def _line_problems(line: dict[str, Any], number: int, source_key: str, attribute: str | None) -> Iterator[Problem]:
    if source_key not in line:
        yield Problem(number, source_key, "the key is missing", "This task type needs it in every line.")
    elif not isinstance(line[source_key], str) or not line[source_key]:
        yield Problem(number, source_key, "a text that is not empty is needed")
    if "source" in line and "source-ref" in line:
        yield Problem(number, "source", "source and source-ref stand together", "Keep the one to be labeled.")
    for key, value in line.items():
        if key.startswith("$"):
            yield Problem(number, key, "names that begin with $ are reserved", "Rename the attribute.")
        size = len(value) if isinstance(value, str) else len(json.dumps(value, ensure_ascii=False))
        if size > ATTRIBUTE_CHARACTERS:
            yield Problem(number, key, f"{size} characters; an attribute may have {ATTRIBUTE_CHARACTERS}")
    if attribute is not None and attribute in line:
        yield Problem(
            number, attribute, "the object has this label already", "Leave it out, or name another attribute."
        )


def _object_problem(storage: Storage, uri: str, media: str) -> str | None:
    """What keeps people from seeing the object; ``None`` where nothing does."""
    from PIL import Image, UnidentifiedImageError

    try:
        size = storage.size(uri)
        if media != "image":
            return None
        if size > IMAGE_BYTES:
            return f"{size:,} bytes; an image may have {IMAGE_BYTES:,}"
        content = storage.read_bytes(uri)
        with Image.open(io.BytesIO(content)) as image:
            if image.format not in ("PNG", "JPEG"):
                return f"an image of the format {image.format}; PNG and JPEG can be labeled"
            if image.width * image.height > IMAGE_PIXELS:
                return f"{image.width} x {image.height} pixels; an image may have {IMAGE_PIXELS:,}"
            # Decoding, not verify(): only that finds a file that ends too early.
            image.load()
    except (FileNotFoundError, IsADirectoryError):
        return "there is no such file"
    except InputError as error:
        return str(error)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        return f"not an image that can be shown: {error}"
    return None
