"""What the task types whose answer is one class have in common."""

# Formats: Ground Truth's output data (classification, label verification) and its PRE- functions.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from trueground.errors import InputError
from trueground.tasks.base import Answer, AnswerError, DataObject, Label, TaskType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


KEPT = ("adjustment-status", "worker-feedback")
"""What a label's ``extra`` carries between manifests."""


class ClassTask(TaskType):
    """One class an object. A label's value is the class's name."""

    def task_input(self, data_object: DataObject, categories: Sequence[str]) -> dict[str, Any]:
        """``taskObject`` and ``labels``, as Ground Truth's classification functions give them."""
        return {"taskObject": data_object[self.source_key], "labels": list(categories)}

    def parse_answer(self, content: Mapping[str, Any], categories: Sequence[str]) -> str:
        """The class named by the one element output that has a ``label``, whatever the element is called."""
        if not isinstance(content, Mapping):
            raise AnswerError(f"an answer is a mapping of element name to output, this one is {_short(content)}")
        found = {name: item["label"] for name, item in content.items() if isinstance(item, Mapping) and "label" in item}
        if not found:
            seen = ", ".join(map(repr, content)) or "nothing"
            raise AnswerError(f"no element of the answer has a label; it holds {seen}")
        if len(found) > 1:
            raise AnswerError(f"one label is asked for; the elements {', '.join(map(repr, found))} each have one")
        ((name, label),) = found.items()
        if not isinstance(label, str):
            raise AnswerError(f"the label of {name!r} must be a text, it is {_short(label)}")
        if label not in categories:
            raise AnswerError(f"{_short(label)} is not one of the categories {_short(list(categories))}")
        return label

    def consolidate(self, answers: Iterable[Answer], categories: Sequence[str]) -> list[Label]:
        """Labels by :func:`trueground.consolidation.consolidate_classes`.

        ``extra["workers"]`` is how many different workers answered.

        Raises:
            AnswerError: an answer does not parse; it says whose and for which object.
        """
        import numpy as np

        from trueground.consolidation import consolidate_classes

        objects, workers, labels, object_ids, worker_count = self._table(answers, categories)
        if not object_ids:
            return []
        result = consolidate_classes(
            objects, workers, labels, n_tasks=len(object_ids), n_workers=worker_count, n_classes=len(categories)
        )
        best = result.posterior.argmax(axis=1)
        pairs = np.unique(np.stack([objects, workers]), axis=1)
        counts = np.bincount(pairs[0], minlength=len(object_ids))
        return [
            Label(
                object_id,
                categories[int(best[i])],
                min(1.0, float(result.posterior[i, best[i]])),
                extra={"workers": int(counts[i])},
            )
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
        """The class's index, and metadata with its name.

        As on AWS the confidence has two decimals, and is 0.0 where only one person answered; ``created`` is written
        in UTC without its zone.

        Raises:
            ValueError: the label's value is none of the categories.
        """
        if label.value not in categories:
            raise ValueError(f"{label.value!r} is not one of the categories {list(categories)}")
        if created.tzinfo is not None:
            created = created.astimezone(UTC).replace(tzinfo=None)
        alone = label.human and label.extra.get("workers") == 1
        return {
            attribute: list(categories).index(label.value),
            f"{attribute}-metadata": {
                "class-name": label.value,
                "job-name": f"labeling-job/{job_name}",
                "confidence": 0.0 if alone else round(label.confidence, 2),
                "type": self.manifest_type,
                "human-annotated": "yes" if label.human else "no",
                "creation-date": created.isoformat(timespec="microseconds"),
                **{key: label.extra[key] for key in KEPT if label.extra.get(key)},
            },
        }

    def read_label(self, line: DataObject, attribute: str, categories: Sequence[str]) -> Label | None:
        """The label; its class by name where there is one, else by index, which AWS wrote as number and as text.

        Raises:
            InputError: the line has a value that is no class.
        """
        from trueground.manifests import object_key

        metadata = line.get(f"{attribute}-metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        if line.get(attribute) is None or "failure-reason" in metadata:
            return None
        value = metadata.get("class-name")
        if not isinstance(value, str):
            value = _class_at(line[attribute], attribute, categories)
        human = metadata.get("human-annotated", "yes") == "yes"
        extra = {key: metadata[key] for key in KEPT if key in metadata}
        return Label(object_key(line), value, float(metadata.get("confidence") or 0.0), human=human, extra=extra)

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
            try:
                value = index[self.parse_answer(answer.content, categories)]
            except AnswerError as error:
                raise AnswerError(f"answer of {answer.worker_id} to {answer.object_id}: {error}") from None
            row = (
                objects.setdefault(answer.object_id, len(objects)),
                workers.setdefault(answer.worker_id, len(workers)),
                value,
            )
            rows.append(row)
        table = np.array(rows, dtype=np.int64).reshape(-1, 3)
        return table[:, 0], table[:, 1], table[:, 2], list(objects), len(workers)


def _class_at(index: Any, attribute: str, categories: Sequence[str]) -> str:
    try:
        number = int(index) if isinstance(index, int | str) and not isinstance(index, bool) else -1
    except ValueError:
        number = -1
    if not 0 <= number < len(categories):
        raise InputError(
            f"{_short(index)} is not the number of one of {len(categories)} categories",
            field=attribute,
            hint="Name the class in the metadata's class-name.",
        )
    return categories[number]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:199] + "…"
