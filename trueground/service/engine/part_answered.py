"""Objects with fewer answers than were asked for: marked in the output, and asked for the rest by the next job.

A job that is stopped labels them from the answers they have. Their metadata then says how many these are, how many
were wanted, and where they are; a job that gets such a line as input asks for what is missing, and makes the label of
the earlier answers and its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Row

from trueground.errors import InputError
from trueground.service.engine.output_rows import DataObject
from trueground.storage import Storage
from trueground.tasks.base import Answer

ANSWERS, WANTED, RESPONSES = "answers", "answers-wanted", "worker-responses"
"""Members of a label's metadata: how many answers there are and were wanted, and the files that hold them."""


def was_cut_short(job: Row[Any]) -> bool:
    """Whether a job ended before its people were done: it was stopped, or its time was over.

    In any other, an object with fewer answers is one that people declined, and nobody is to be asked again.
    """
    return job.ended_at is not None and (job.stop_requested_at is not None or job.available_until <= job.ended_at)


def missing_answers(line: Mapping[str, Any], attribute: str) -> int:
    """How many answers to a line's label are still wanted; 0 where all were given, or it has no label."""
    metadata = _metadata(line, attribute)
    if attribute not in line or ANSWERS not in metadata:
        return 0
    return max(0, _count(metadata.get(WANTED)) - _count(metadata[ANSWERS]))


def earlier_answers(storage: Storage, line: Mapping[str, Any], attribute: str) -> Iterator[Answer]:
    """The answers that earlier jobs got for a line, where their files are still there."""
    if not missing_answers(line, attribute):
        return
    files = _metadata(line, attribute).get(RESPONSES)
    for uri in files if isinstance(files, list) else ():
        try:
            found = json.loads(storage.read_text(str(uri)))["answers"]
            yield from (Answer("", str(one["workerId"]), one["answerContent"]) for one in found)
        except (InputError, OSError, ValueError, LookupError, TypeError):
            # Whoever moved the files keeps the label that was made of them; this job asks for the rest all the same.
            continue


def mark(metadata: Mapping[str, Any], found: DataObject, attribute: str, file: str) -> dict[str, Any]:
    """The metadata of a label that was made of fewer answers than asked for. ``file``: where this job's are."""
    before = _metadata(json.loads(found.line), attribute)
    earlier, files = _count(before.get(ANSWERS)), before.get(RESPONSES)
    return {
        **metadata,
        ANSWERS: earlier + len(found.answers),
        WANTED: earlier + found.wanted,
        RESPONSES: [*(files if isinstance(files, list) else ()), file],
    }


def _metadata(line: Mapping[str, Any], attribute: str) -> Mapping[str, Any]:
    found = line.get(f"{attribute}-metadata")
    return found if isinstance(found, Mapping) else {}


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
