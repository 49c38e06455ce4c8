"""What the task types whose answer is one class have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from trueground.tasks.base import Answer, AnswerError, DataObject, Label, TaskType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ClassTask(TaskType):
    """One class an object. A label's value is the class's name."""

    def task_input(self, data_object: DataObject, categories: Sequence[str]) -> dict[str, Any]:
        """``taskObject`` and ``labels``, as Ground Truth's classification functions give them."""
        return {"taskObject": data_object[self.source_key], "labels": list(categories)}

    def parse_answer(self, content: Mapping[str, Any], categories: Sequence[str]) -> str:
        """The class named by the one element output that has a ``label``."""
        found = [item["label"] for item in content.values() if isinstance(item, Mapping) and "label" in item]
        if len(found) != 1:
            raise AnswerError(f"one element with a label is needed, this answer has {len(found)}")
        if found[0] not in categories:
            raise AnswerError(f"{found[0]!r} is not one of the categories {', '.join(map(repr, categories))}")
        return str(found[0])

    def consolidate(self, answers: Iterable[Answer], categories: Sequence[str]) -> list[Label]:
        """Labels by :func:`trueground.consolidation.consolidate_classes`."""
        from trueground.consolidation import consolidate_classes

        objects, workers, labels, object_ids, worker_count = self._table(answers, categories)
        if not object_ids:
            return []
        result = consolidate_classes(
            objects, workers, labels, n_tasks=len(object_ids), n_workers=worker_count, n_classes=len(categories)
        )
        best = result.posterior.argmax(axis=1)
        return [
            Label(object_id, categories[int(best[i])], float(result.posterior[i, best[i]]))
            for i, object_id in enumerate(object_ids)
        ]

    def agreement(self, answers: Iterable[Answer], categories: Sequence[str]) -> float | None:
        """Krippendorff's alpha for nominal data."""
        from trueground.consolidation import krippendorff_alpha

        objects, workers, labels, object_ids, _ = self._table(answers, categories)
        return krippendorff_alpha(objects, workers, labels) if object_ids else None

    def write_label(
        self, label: Label, attribute: str, categories: Sequence[str], *, job_name: str, created: datetime
    ) -> dict[str, Any]:
        """The class's index, and metadata with its name."""
        return {
            attribute: list(categories).index(label.value),
            f"{attribute}-metadata": {
                "class-name": label.value,
                "job-name": f"labeling-job/{job_name}",
                "confidence": round(label.confidence, 2),
                "type": self.manifest_type,
                "human-annotated": "yes" if label.human else "no",
                "creation-date": created.isoformat(timespec="microseconds"),
            },
        }

    def read_label(self, line: DataObject, attribute: str, categories: Sequence[str]) -> Label | None:
        """The label; its class by name where there is one, else by index, which AWS wrote as number and as text."""
        from trueground.manifests import object_key

        metadata = line.get(f"{attribute}-metadata") or {}
        if attribute not in line or "failure-reason" in metadata:
            return None
        value = metadata.get("class-name")
        if value is None:
            value = list(categories)[int(line[attribute])]
        extra = {key: metadata[key] for key in ("adjustment-status", "worker-feedback") if key in metadata}
        human = metadata.get("human-annotated", "yes") == "yes"
        return Label(object_key(line), value, float(metadata.get("confidence", 0.0)), human=human, extra=extra)

    def _table(
        self, answers: Iterable[Answer], categories: Sequence[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], list[str], int]:
        """Answers as three arrays of numbers ``[answers]``, the objects by number, and how many workers there are."""
        import numpy as np

        index = {category: number for number, category in enumerate(categories)}
        objects: dict[str, int] = {}
        workers: dict[str, int] = {}
        rows = []
        for answer in answers:
            value = index[self.parse_answer(answer.content, categories)]
            row = (
                objects.setdefault(answer.object_id, len(objects)),
                workers.setdefault(answer.worker_id, len(workers)),
                value,
            )
            rows.append(row)
        table = np.array(rows, dtype=np.int64).reshape(-1, 3)
        return table[:, 0], table[:, 1], table[:, 2], list(objects), len(workers)
