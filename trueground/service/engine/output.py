"""Ground Truth's output tree of a labeling job. Every function may be repeated: it writes the same bytes again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Row, select

from trueground import storage as paths
from trueground.service.engine.functions import find_task_type
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import answers, data_objects, workers
from trueground.storage import Storage
from trueground.tasks.base import Answer, AnswerError, TaskType

NO_LABEL = "No label could be made of the answers to this data object"
WRITERS = 8
"""Files written at the same time: each waits for its disk, or for S3."""
_RENEW_EVERY = 500


@dataclass(frozen=True)
class Output:
    """The output of one ended or running job.

    Args:
        job: the job's row.
        renew: called now and then during long work.
    """

    db: Database
    storage: Storage
    settings: ServiceSettings
    job: Row[Any]
    renew: Callable[[], None]

    @property
    def base(self) -> str:
        """The job's own folder."""
        return paths.join(self.job.request["OutputConfig"]["S3OutputPath"], self.job.name)

    @property
    def attribute(self) -> str:
        """The label attribute."""
        return str(self.job.request["LabelAttributeName"])

    def write_responses(self, positions: list[int]) -> None:
        """Write ``annotations/worker-response/…`` of these objects: all their answers, by all workers."""
        self.renew()

        def write(item: tuple[int, list[Row[Any]]]) -> None:
            position, rows = item
            entries = [self._response(row) for row in rows]
            self.storage.write_text(self._response_uri(position, rows[-1].submitted_at), _json({"answers": entries}))

        with ThreadPoolExecutor(WRITERS) as pool:
            # Taken as a list so that a write that failed raises here.
            list(pool.map(write, self._answers(positions)))

    def write_labels(self) -> set[int]:
        """Consolidate all answers and write ``manifests/output/output.manifest``.

        Returns:
            The positions of objects with answers of which no label could be made.
        """
        task_type = find_task_type(self.job.post_function)
        if task_type is None:
            labels = self._references()
        else:
            self._write_request()
            labels = self._consolidate(task_type)
            self._write_response(labels)
        unlabeled: set[int] = set()
        with self.storage.writer(paths.join(self.base, "manifests/output/output.manifest")) as handle:
            for number, row in enumerate(self._objects()):
                if row.state == "written" and row.position not in labels:
                    unlabeled.add(row.position)
                handle.write(self._line(row, labels).encode() + b"\n")
                if number % _RENEW_EVERY == 0:
                    self.renew()
        return unlabeled

    def _consolidate(self, task_type: TaskType) -> dict[int, dict[str, Any]]:
        """The two manifest keys of each object that got a label, by position."""
        categories = self.job.categories
        labels = task_type.consolidate(self._usable_answers(task_type), categories)
        # Written without its zone, as AWS does; it is UTC.
        created = self.job.ended_at.replace(tzinfo=None)
        return {
            int(label.object_id): task_type.write_label(
                label, self.attribute, categories, job_name=self.job.name, created=created
            )
            for label in labels
        }

    def _usable_answers(self, task_type: TaskType) -> Iterator[Answer]:
        for position, rows in self._answers():
            self.renew()
            for row in rows:
                try:
                    task_type.parse_answer(row.content, self.job.categories)
                except AnswerError:
                    # A template of one's own may let such an answer through; it stays in its worker-response file.
                    continue
                yield Answer(
                    object_id=str(position),
                    worker_id=self._worker_id(row),
                    content=row.content,
                    accepted_at=row.accepted_at,
                    submitted_at=row.submitted_at,
                    seconds=row.seconds,
                )

    def _references(self) -> dict[int, dict[str, Any]]:
        """Without a function that consolidates, a label is empty and its metadata leads to the answers."""
        return {
            position: {
                self.attribute: {},
                f"{self.attribute}-metadata": {
                    "type": "groundtruth/custom",
                    "job-name": f"labeling-job/{self.job.name}",
                    "human-annotated": "yes",
                    "creation-date": _creation_date(self.job.ended_at),
                    "worker-response-ref": self._response_uri(position, rows[-1].submitted_at),
                },
            }
            for position, rows in self._answers()
        }

    def _line(self, row: Row[Any], labels: dict[int, dict[str, Any]]) -> str:
        label = labels.get(row.position) if row.state == "written" else None
        if label is None and row.state not in ("written", "failed"):
            return str(row.line)
        content = json.loads(row.line)
        content.pop(self.attribute, None)
        content[f"{self.attribute}-metadata"] = {
            "failure-reason": row.failure_reason or NO_LABEL,
            "job-name": f"labeling-job/{self.job.name}",
            "human-annotated": "yes",
            "creation-date": _creation_date(self.job.ended_at),
        }
        if label is not None:
            content.pop(f"{self.attribute}-metadata")
            content |= label
        return _json(content)

    def _write_request(self) -> None:
        """What AWS hands to the consolidation function."""
        with self.storage.writer(self._consolidation_uri("request")) as handle:
            _write_array(handle, self._request_entries())

    def _request_entries(self) -> Iterator[dict[str, Any]]:
        for position, rows in self._answers():
            content = json.loads(rows[0].line)
            yield {
                "datasetObjectId": str(position),
                "dataObject": (
                    {"s3Uri": content["source-ref"]} if "source-ref" in content else {"content": content["source"]}
                ),
                "annotations": [
                    {"workerId": self._worker_id(row), "annotationData": {"content": _json(row.content)}}
                    for row in rows
                ],
            }

    def _write_response(self, labels: dict[int, dict[str, Any]]) -> None:
        with self.storage.writer(self._consolidation_uri("response")) as handle:
            entries = (
                {"datasetObjectId": str(position), "consolidatedAnnotation": {"content": keys}}
                for position, keys in labels.items()
            )
            _write_array(handle, entries)

    def _consolidation_uri(self, which: str) -> str:
        folder = f"annotations/consolidated-annotation/consolidation-{which}/iteration-1"
        return paths.join(self.base, folder, f"{_file_time(self.job.ended_at)}.json")

    def _response_uri(self, position: int, answered_at: datetime) -> str:
        folder = f"annotations/worker-response/iteration-1/{position}"
        return paths.join(self.base, folder, f"{_file_time(answered_at)}.json")

    def _response(self, row: Row[Any]) -> dict[str, Any]:
        return {
            "acceptanceTime": _milliseconds(row.accepted_at),
            "answerContent": row.content,
            "submissionTime": _milliseconds(row.submitted_at),
            "timeSpentInSeconds": round(row.seconds, 3),
            "workerId": self._worker_id(row),
            "workerMetadata": {
                "identityData": {
                    "identityProviderType": "Cognito",
                    "issuer": self.settings.arn("workforce/default"),
                    "sub": row.subject,
                }
            },
        }

    def _worker_id(self, row: Row[Any]) -> str:
        return f"private.{self.settings.region}.{row.worker_id}"

    def _answers(self, positions: list[int] | None = None) -> Iterator[tuple[int, list[Row[Any]]]]:
        """Each object's answers in the order they came, objects in the manifest's order."""
        query = (
            select(answers, workers.c.subject, data_objects.c.line)
            .join(workers, workers.c.id == answers.c.worker_id)
            .join(
                data_objects,
                (data_objects.c.job_id == answers.c.job_id) & (data_objects.c.position == answers.c.position),
            )
            .where(answers.c.job_id == self.job.id)
            .order_by(answers.c.position, answers.c.id)
        )
        if positions is not None:
            query = query.where(answers.c.position.in_(positions))
        with self.db.read() as connection:
            rows = connection.execution_options(yield_per=1000).execute(query)
            for position, group in groupby(rows, key=lambda row: row.position):
                yield position, list(group)

    def _objects(self) -> Iterator[Row[Any]]:
        query = select(data_objects).where(data_objects.c.job_id == self.job.id).order_by(data_objects.c.position)
        with self.db.read() as connection:
            yield from connection.execution_options(yield_per=1000).execute(query)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair is JSON but not UTF-8.
        return json.dumps(value)
    return text


def _write_array(handle: Any, entries: Iterable[dict[str, Any]]) -> None:
    handle.write(b"[")
    for number, entry in enumerate(entries):
        handle.write((b",\n" if number else b"") + _json(entry).encode())
    handle.write(b"]\n")


def _file_time(time: datetime) -> str:
    return time.strftime("%Y-%m-%d_%H:%M:%S")


def _milliseconds(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"


def _creation_date(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f")
