"""What the task types whose answer is one class have in common."""

# Formats: Ground Truth's output data (classification, label verification) and its PRE- functions.

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
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

    elements = ("crowd-classifier", "crowd-image-classifier")

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
        numbers: dict[str, int] = {}
        table = self._table(answers, categories, lambda object_id: numbers.setdefault(object_id, len(numbers)))
        decided = _decide(table, categories)
        return [decided(number, object_id) for number, object_id in enumerate(numbers)]

    def consolidator(self, answers: Iterable[Answer], categories: Sequence[str]) -> Callable[[Sequence[Answer]], Label]:
        """Of each answer only three numbers are kept, and of each object its class, confidence and workers."""
        decided = _decide(self._table(answers, categories, _Numbers()), categories)
        order = count()
        return lambda given: decided(next(order), given[0].object_id)

    def agreement(self, answers: Iterable[Answer], categories: Sequence[str]) -> float | None:
        """Krippendorff's alpha for nominal data."""
        from trueground.consolidation import krippendorff_alpha

        numbers: dict[str, int] = {}
        table = self._table(answers, categories, lambda object_id: numbers.setdefault(object_id, len(numbers)))
        return krippendorff_alpha(table.objects, table.workers, table.labels) if numbers else None

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

    def _table(self, answers: Iterable[Answer], categories: Sequence[str], number: Callable[[str], int]) -> _Table:
        """Answers as numbers; ``number`` gives that of an object."""
        import numpy as np

        index = {category: place for place, category in enumerate(categories)}
        known: dict[str, int] = {}
        objects, workers, labels = array("i"), array("i"), array("i")
        for answer in answers:
            try:
                labels.append(index[self.parse_answer(answer.content, categories)])
            except AnswerError as error:
                raise AnswerError(f"answer of {answer.worker_id} to {answer.object_id}: {error}") from None
            objects.append(number(answer.object_id))
            workers.append(known.setdefault(answer.worker_id, len(known)))
        as_array = partial(np.array, dtype=np.int64)
        return _Table(as_array(objects), as_array(workers), as_array(labels), len(known))


@dataclass(frozen=True, slots=True)
class _Table:
    """Answers as three arrays of numbers ``[answers]``, and how many workers there are."""

    objects: NDArray[np.int64]
    workers: NDArray[np.int64]
    labels: NDArray[np.int64]
    worker_count: int


class _Numbers:
    """Numbers objects whose answers stand in a row, without keeping their names."""

    def __init__(self) -> None:
        self._last: str | None = None
        self._number = -1

    def __call__(self, object_id: str) -> int:
        if object_id != self._last:
            self._last, self._number = object_id, self._number + 1
        return self._number


def _decide(table: _Table, categories: Sequence[str]) -> Callable[[int, str], Label]:
    """What gives the label of an object by its number and name."""
    import numpy as np

    from trueground.consolidation import consolidate_classes

    object_count = int(table.objects.max()) + 1 if len(table.objects) else 0
    result = consolidate_classes(
        table.objects,
        table.workers,
        table.labels,
        n_tasks=object_count,
        n_workers=table.worker_count,
        n_classes=len(categories),
    )
    best = result.posterior.argmax(axis=1)
    confidence = result.posterior[np.arange(object_count), best]
    # Each pair of object and worker as one number, because unique rows take many times as long to find.
    pairs = np.unique(table.objects * max(1, table.worker_count) + table.workers)
    workers = np.bincount(pairs // max(1, table.worker_count), minlength=object_count)

    def label(number: int, object_id: str) -> Label:
        return Label(
            object_id,
            categories[int(best[number])],
            min(1.0, float(confidence[number])),
            extra={"workers": int(workers[number])},
        )

    return label


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
