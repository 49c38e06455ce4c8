"""Ground Truth's output tree of a labeling job. Every function may be repeated: it writes the same bytes again.

All of it is made from the store alone, object by object: what is held in memory does not grow with the answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast
from urllib.parse import unquote

from sqlalchemy import Row, select

from trueground import storage as paths
from trueground.service.engine import part_answered
from trueground.service.engine.functions import find_task_type, own_function, passes_through
from trueground.service.engine.output_files import ArrayFile, file_time, milliseconds, to_json
from trueground.service.engine.output_rows import DataObject, read_objects
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import ASKED, assignments
from trueground.storage import Storage
from trueground.tasks.base import Answer, TaskType

NO_LABEL = "No label could be made of the answers to this data object"
_RENEW_EVERY = 500

Keys = dict[str, Any]
"""What a label adds to a manifest line: the attribute and its metadata."""


@dataclass(frozen=True)
class Output:
    """The output of one ended or running job.

    Args:
        job: the job's row.
        at: the time in files' names and labels, where not the job's end: labels of a streaming job do not wait for it.
        renew: called now and then during long work.
    """

    db: Database
    storage: Storage
    settings: ServiceSettings
    job: Row[Any]
    renew: Callable[[], object]
    at: datetime | None = None

    @classmethod
    def of(
        cls,
        db: Database,
        storage: Storage,
        settings: ServiceSettings,
        job: Row[Any],
        renew: Callable[[], object],
    ) -> Output:
        """The output of a job, encrypted as its request says."""
        return cls(db, storage.with_kms_key(job.request["OutputConfig"].get("KmsKeyId")), settings, job, renew)

    @property
    def time(self) -> datetime:
        """When the labels are made."""
        return self.at or cast(datetime, self.job.ended_at)

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
        files = {
            self._response_uri(found): to_json({"answers": self._responses(found)})
            for found in self.objects(positions)
            if found.answers
        }
        self.storage.write_all(files)
        self._delete_older(positions, {paths.name(uri) for uri in files})

    def _delete_older(self, positions: list[int], names: Collection[str]) -> None:
        """Where an answer was discarded and asked for anew, the file of the old ones has another name."""
        query = select(assignments.c.position).where(
            assignments.c.job_id == self.job.id,
            assignments.c.position.in_(positions),
            assignments.c.state == "discarded",
            ASKED,
        )
        with self.db.read() as connection:
            discarded = set(connection.scalars(query))
        for position in discarded:
            # Where answers are discarded there are no rounds.
            folder = self._response_folder(position, 1)
            if self.storage.exists(folder):
                for uri in self.storage.list(folder):
                    if unquote(paths.name(uri)) not in names:
                        self.storage.delete(uri)

    def write_labels(self) -> list[int]:
        """Consolidate all answers and write ``manifests/output/output.manifest``.

        Returns:
            The positions of objects with answers of which no label could be made.
        """
        unlabeled = []
        label = self._labels()
        consolidates = (
            self.job.post_function is not None and own_function(self.job.post_function, self.settings) is None
        )
        with ExitStack() as files:
            manifest = files.enter_context(
                self.storage.writer(paths.join(self.base, "manifests/output/output.manifest"))
            )
            if consolidates:
                requests = files.enter_context(ArrayFile(self.storage, self.consolidation_uri("request")))
                responses = files.enter_context(ArrayFile(self.storage, self.consolidation_uri("response")))
            for found in self.objects():
                content, keys = None, found.label if found.state == "machine" else None
                if found.state == "written":
                    content = json.loads(found.line)
                    keys = label(found)
                    if keys is None:
                        unlabeled.append(found.position)
                # Also what failed, so that the file is the same when it is written again.
                if consolidates and found.answers and found.state in ("written", "failed"):
                    requests.add(request_entry(found, content or json.loads(found.line)))
                    if keys is not None:
                        responses.add(
                            {"datasetObjectId": str(found.position), "consolidatedAnnotation": {"content": keys}}
                        )
                manifest.write(self._line(found, content, keys) + b"\n")
        return unlabeled

    def objects(self, positions: list[int] | range | None = None) -> Iterator[DataObject]:
        """The job's objects, or some of them, with their answers."""
        for number, found in enumerate(read_objects(self.db, self.job.id, self.settings.region, positions)):
            if number % _RENEW_EVERY == 0:
                self.renew()
            yield found

    def consolidation_uri(self, which: str, number: int = 0) -> str:
        """Where the ``request`` to a consolidation function lies, or its ``response``."""
        folder = f"annotations/consolidated-annotation/consolidation-{which}/iteration-{max(1, self.job.iteration)}"
        more = f"_{number}" if number else ""
        return paths.join(self.base, folder, f"{file_time(self.time)}{more}.json")

    def custom_metadata(self) -> dict[str, Any]:
        """The metadata of a label that no built-in task type made."""
        return {
            "type": "groundtruth/custom",
            "job-name": f"labeling-job/{self.job.name}",
            "human-annotated": "yes",
            "creation-date": _creation_date(self.time),
        }

    def _labels(self) -> Callable[[DataObject], Keys | None]:
        """What makes the label of an object; to be called for every object with answers, in order."""
        task_type = find_task_type(self.job.post_function)
        if self.job.streaming:
            # Made and sent when the object had its answers.
            return lambda found: found.label
        if task_type is not None:
            return self._consolidated(task_type, (found for found in self.objects() if found.state == "written"))
        if passes_through(self.job.post_function):
            return self._passed_through
        if self.job.post_function is not None:
            return lambda found: found.label
        return self._reference

    def labels_of(self, objects: Sequence[DataObject]) -> dict[int, Keys | None]:
        """The labels of objects that have their answers, by position; all of them tell how reliable workers are.

        Not for jobs with a function of the requester's own.
        """
        task_type = find_task_type(self.job.post_function)
        if task_type is not None:
            label = self._consolidated(task_type, objects)
        else:
            label = self._passed_through if passes_through(self.job.post_function) else self._reference
        return {found.position: label(found) for found in objects}

    def _consolidated(self, task_type: TaskType, objects: Iterable[DataObject]) -> Callable[[DataObject], Keys | None]:
        categories = self.job.categories
        # Written without its zone, as AWS does; it is UTC.
        created = self.time.replace(tzinfo=None)

        def usable(found: DataObject) -> list[Answer]:
            mine = {answer.worker_id for answer in found.answers}
            earlier = (answer for answer in self._earlier(found) if answer.worker_id not in mine)
            given = (*(replace(answer, object_id=str(found.position)) for answer in earlier), *found.answers)
            return [answer for answer in given if task_type.can_parse(answer.content, categories)]

        everything = (answer for found in objects for answer in usable(found))
        consolidate = task_type.consolidator(everything, categories)

        def label(found: DataObject) -> Keys | None:
            answers = usable(found)
            if not answers:
                return None
            made = consolidate(answers)
            return task_type.write_label(made, self.attribute, categories, job_name=self.job.name, created=created)

        return label

    def _earlier(self, found: DataObject) -> Iterator[Answer]:
        """The answers that an earlier job got for an object that it could not finish."""
        if part_answered.WANTED not in found.line:
            return iter(())
        return part_answered.earlier_answers(self.storage, json.loads(found.line), self.attribute)

    def _passed_through(self, found: DataObject) -> Keys | None:
        if not found.answers:
            return None
        annotations = [annotation(answer) for answer in found.answers]
        return {self.attribute: {"annotations": annotations}, f"{self.attribute}-metadata": self._with_reference(found)}

    def _reference(self, found: DataObject) -> Keys | None:
        """Without a function that consolidates, a label is empty and its metadata leads to the answers."""
        if not found.answers:
            return None
        return {self.attribute: {}, f"{self.attribute}-metadata": self._with_reference(found)}

    def _with_reference(self, found: DataObject) -> dict[str, Any]:
        return {**self.custom_metadata(), "worker-response-ref": self._response_uri(found)}

    def line(self, found: DataObject) -> str:
        """The line of a labeled object in the output manifest."""
        return self._line(found, None, found.label).decode()

    def _line(self, found: DataObject, content: dict[str, Any] | None, keys: Keys | None) -> bytes:
        if keys is None and found.state not in ("written", "failed"):
            return found.line.encode()
        content = json.loads(found.line) if content is None else content
        content.pop(self.attribute, None)
        content.pop(f"{self.attribute}-metadata", None)
        if keys is None:
            keys = {
                f"{self.attribute}-metadata": {
                    "failure-reason": found.failure_reason or NO_LABEL,
                    "job-name": f"labeling-job/{self.job.name}",
                    "human-annotated": "yes",
                    "creation-date": _creation_date(self.time),
                }
            }
        metadata = keys.get(f"{self.attribute}-metadata")
        some = found.state != "failed" and 0 < len(found.answers) < found.wanted
        if some and part_answered.was_cut_short(self.job) and isinstance(metadata, dict):
            marked = part_answered.mark(metadata, found, self.attribute, self._response_uri(found))
            keys = {**keys, f"{self.attribute}-metadata": marked}
        # The label stands before its metadata: some readers take the last key for these.
        label = {self.attribute: keys[self.attribute]} if self.attribute in keys else {}
        return to_json(content | label | keys)

    def _response_uri(self, found: DataObject) -> str:
        assert found.answered_at is not None
        return paths.join(
            self._response_folder(found.position, found.iteration), f"{file_time(found.answered_at)}.json"
        )

    def _response_folder(self, position: int, iteration: int) -> str:
        return paths.join(self.base, f"annotations/worker-response/iteration-{iteration}/{position}")

    def _responses(self, found: DataObject) -> list[dict[str, Any]]:
        issuer = self.settings.arn("workforce/default")
        return [
            {
                "acceptanceTime": milliseconds(answer.accepted_at),
                "answerContent": answer.content,
                "submissionTime": milliseconds(answer.submitted_at),
                "timeSpentInSeconds": round(answer.seconds, 3),
                "workerId": answer.worker_id,
                "workerMetadata": identity.metadata(issuer),
            }
            for answer, identity in zip(found.answers, found.identities, strict=True)
        ]


def request_entry(found: DataObject, content: dict[str, Any]) -> dict[str, Any]:
    """What AWS hands to a consolidation function of one object."""
    return {
        "datasetObjectId": str(found.position),
        "dataObject": {"s3Uri": content["source-ref"]} if "source-ref" in content else {"content": content["source"]},
        "annotations": [annotation(answer) for answer in found.answers],
    }


def annotation(answer: Answer) -> dict[str, Any]:
    """One answer in AWS's form for consolidation functions: its content is a text."""
    content = to_json(answer.content).decode()
    return {"workerId": answer.worker_id, "annotationData": {"content": content}}


def _creation_date(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f")
