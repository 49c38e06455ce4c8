"""Raw answers: from a labeling job's output tree into the pipeline, and into the project's history.

The same for a job that ran on AWS and one that ran here: both keep ``annotations/worker-response/``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from trueground import storage as paths
from trueground.errors import InputError
from trueground.manifests import object_key, read_manifest
from trueground.run import Run
from trueground.storage import Storage
from trueground.strict_json import read_lines
from trueground.tasks.base import Answer, Label

READERS = 16
"""Files read at the same time: on S3 each is a round trip."""


def read_job_answers(storage: Storage, output_uri: str, input_manifest: str) -> Iterator[Answer]:
    """All answers of a labeling job, by object key.

    Args:
        storage: how to reach the files.
        output_uri: the job's own folder (``<S3OutputPath>/<job name>``).
        input_manifest: the manifest the job was made from; a data set object's id is its line there, from 0.

    Raises:
        InputError: a file does not have Ground Truth's form.
    """
    keys = [object_key(line) for line in read_manifest(storage, input_manifest)]
    prefix = paths.join(output_uri, "annotations/worker-response")
    # Where a file of an object was written anew, the later one holds all its answers.
    newest: dict[str, str] = {}
    for uri in storage.list(prefix):
        if uri.endswith(".json"):
            newest[uri.split("/")[-2]] = uri

    def read(item: tuple[str, str]) -> list[Answer]:
        object_id, uri = item
        try:
            content = json.loads(storage.read_bytes(uri))
            return [_answer(keys[int(object_id)], entry) for entry in content["answers"]]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(f"not a worker response: {error!r}", file=uri) from error

    with ThreadPoolExecutor(READERS) as readers:
        for answers in readers.map(read, sorted(newest.items(), key=lambda item: _number(item[0]))):
            yield from answers


def read_part_answered(run: Run, output_uri: str) -> Iterator[dict[str, Any]]:
    """The lines of a job's output manifest whose label was made of fewer answers than asked for.

    The labeling service marks them when a job is stopped; AWS marks none.
    """
    manifest = paths.join(output_uri, "manifests/output/output.manifest")
    if not run.storage.exists(manifest):
        return
    key = f"{run.project.label_attribute}-metadata"
    for line in read_manifest(run.storage, manifest):
        metadata = line.get(key)
        if isinstance(metadata, dict) and "answers-wanted" in metadata and "failure-reason" not in metadata:
            yield line


def save_answers(run: Run, answers: Iterable[Answer], *parts: str) -> int:
    """Keep answers in the run's folder; returns how many."""
    lines = [
        {
            "object_id": answer.object_id,
            "worker_id": answer.worker_id,
            "content": dict(answer.content),
            "accepted_at": answer.accepted_at.isoformat() if answer.accepted_at else None,
            "submitted_at": answer.submitted_at.isoformat() if answer.submitted_at else None,
            "seconds": answer.seconds,
        }
        for answer in answers
    ]
    return run.write_lines(lines, *parts)


def load_answers(run: Run, *parts: str) -> list[Answer]:
    """What :func:`save_answers` kept."""
    return [_saved_answer(line) for line in run.read_lines(*parts)]


def consolidate_run(run: Run, answers: Iterable[Answer]) -> dict[str, Label]:
    """One label for each object of this run that has an answer, by object key.

    Earlier runs' answers are read along, because they tell how reliable each worker is; an object that was labeled in
    an earlier run counts as another object there.
    """
    current = list(answers)
    known = {answer.object_id for answer in current}
    everything = [*current, *_history(run)]
    labels = run.task_type.consolidate(_usable(run, everything), run.categories)
    return {label.object_id: label for label in labels if label.object_id in known}


def append_history(run: Run, answers: Iterable[Answer]) -> None:
    """Keep a finished run's answers for the runs to come."""
    lines = (
        {"object_id": f"{run.name} {answer.object_id}", "worker_id": answer.worker_id, "content": dict(answer.content)}
        for answer in answers
    )
    with run.storage.writer(_history_uri(run, paths.name(run.folder))) as handle:
        for line in lines:
            handle.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def _history(run: Run) -> Iterator[Answer]:
    own = _history_uri(run, paths.name(run.folder))
    folder = paths.parent(own)
    if not run.storage.exists(folder):
        return
    for uri in run.storage.list(folder):
        if uri != own:
            with run.storage.open(uri) as handle:
                yield from (_saved_answer(json.loads(raw)) for _, raw in read_lines(handle))


def _history_uri(run: Run, folder: str) -> str:
    return paths.join(run.project.output, "history", f"{folder}.jsonl")


def _usable(run: Run, answers: Iterable[Answer]) -> Iterator[Answer]:
    """Answers that parse: a template's mistake must not lose a night's labels; old answers may name old classes."""
    return (answer for answer in answers if run.task_type.can_parse(answer.content, run.categories))


def _answer(key: str, entry: dict[str, Any]) -> Answer:
    return Answer(
        object_id=key,
        worker_id=entry["workerId"],
        content=entry["answerContent"],
        accepted_at=_time(entry.get("acceptanceTime")),
        submitted_at=_time(entry.get("submissionTime")),
        seconds=float(entry.get("timeSpentInSeconds", 0)),
    )


def _saved_answer(line: dict[str, Any]) -> Answer:
    return Answer(
        object_id=line["object_id"],
        worker_id=line["worker_id"],
        content=line["content"],
        accepted_at=_time(line.get("accepted_at")),
        submitted_at=_time(line.get("submitted_at")),
        seconds=line.get("seconds", 0.0),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _number(text: str) -> tuple[int, str]:
    return (int(text), text) if text.isdigit() else (-1, text)
