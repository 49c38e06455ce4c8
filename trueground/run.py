"""One pass of a pipeline over a project, and the folder in which its steps meet.

Steps hand each other files, never values: a step reads what earlier steps wrote and rewrites its own, so it can be
repeated, and a run can be read years later without the program that made it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from trueground import storage as paths
from trueground.manifests import read_manifest, write_manifest
from trueground.project import Project
from trueground.project_files import ProjectFile
from trueground.storage import Storage
from trueground.strict_json import read_lines
from trueground.tasks import task_type
from trueground.tasks.base import DataObject, Label, TaskType


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, and the files in it.

    Args:
        project: what the run is of.
        name: the run's own name, unique in the project; it becomes a folder name.
        storage: how to reach the files.
    """

    project: ProjectFile
    name: str
    storage: Storage

    @property
    def folder(self) -> str:
        """The URI of the run's folder."""
        return paths.join(self.project.output, "runs", folder_name(self.name))

    def uri(self, *parts: str) -> str:
        """The URI of a file in the run's folder."""
        return paths.join(self.folder, *parts)

    def read_json(self, *parts: str) -> Any:
        """What a step wrote with :meth:`write_json`; ``None`` where it has not run."""
        try:
            return json.loads(self.storage.read_text(self.uri(*parts)))
        except FileNotFoundError:
            return None

    def write_json(self, value: Any, *parts: str) -> None:
        """Write a small file of facts."""
        self.storage.write_text(self.uri(*parts), json.dumps(value, indent=1, ensure_ascii=False) + "\n")

    def read_lines(self, *parts: str) -> Iterator[dict[str, Any]]:
        """The lines of a JSON Lines file; none where it was never written."""
        if not self.storage.exists(self.uri(*parts)):
            return
        with self.storage.open(self.uri(*parts)) as handle:
            for _, raw in read_lines(handle):
                yield json.loads(raw)

    def write_lines(self, lines: Iterable[dict[str, Any]], *parts: str) -> int:
        """Write a JSON Lines file, such as a manifest, streaming; returns how many lines it has."""
        return write_manifest(self.storage, self.uri(*parts), lines)


@dataclass(frozen=True)
class Run(RunFolder):
    """A run of a labeling project."""

    project: Project

    @property
    def night(self) -> str | None:
        """The date of the run's night, once its manifest was built."""
        found: str | None = (self.read_json("night.json") or {}).get("night")
        return found

    @property
    def task_type(self) -> TaskType:
        """What the project asks of people."""
        return task_type(self.project.task.type)

    @property
    def categories(self) -> list[str]:
        """The classes people choose from, in the order of their indices."""
        return list(self.project.task.labels)

    def objects(self) -> list[DataObject]:
        """The data objects of this run, in manifest order."""
        return list(read_manifest(self.storage, self.uri("input.manifest")))

    def read_labels(self, *parts: str) -> dict[str, Label]:
        """Labels by object key, in the order they were written."""
        return {line["object_id"]: Label(**line) for line in self.read_lines(*parts)}

    def write_labels(self, labels: Iterable[Label], *parts: str) -> None:
        """Write labels so that :meth:`read_labels` gives them back."""
        self.write_lines(
            (
                {
                    "object_id": label.object_id,
                    "value": label.value,
                    "confidence": label.confidence,
                    "human": label.human,
                    "extra": dict(label.extra),
                }
                for label in labels
            ),
            *parts,
        )


def folder_name(run_name: str) -> str:
    """A run's name as one folder: ``manual__2026-01-02T03:04:05+00:00`` is ``manual__2026-01-02T030405_0000``."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", run_name.replace(":", ""))
