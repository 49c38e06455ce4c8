"""What a task type is: the one object that knows what people are asked and what their answers become."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

from trueground.errors import TruegroundError

DataObject = dict[str, Any]
"""One line of a manifest."""


class AnswerError(TruegroundError):
    """An answer does not have the form that its task type asks for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one worker submitted for one data object.

    ``content`` is the form as it was submitted: a mapping of element name to element output.
    """

    object_id: str
    worker_id: str
    content: Mapping[str, Any]
    accepted_at: datetime | None = None
    submitted_at: datetime | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Label:
    """The value of a label attribute for one data object.

    ``value`` is in the task type's own terms (a class name for classification). ``confidence`` is in [0, 1].
    """

    object_id: str
    value: Any
    confidence: float
    human: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)


class TaskType(ABC):
    """One kind of labeling work, known by the names of Ground Truth's built-in functions.

    A task type is one module of :mod:`trueground.tasks` that sets ``TASK_TYPE`` to an instance, and one folder of the
    same name in ``include/templates/``.
    """

    name: ClassVar[str]
    """Also the name of its template folder, such as ``image-classification``."""
    manifest_type: ClassVar[str]
    """The ``type`` of its label metadata, such as ``groundtruth/image-classification``."""
    pre_functions: ClassVar[tuple[str, ...]]
    """Ground Truth's pre-annotation functions that mean this type, the preferred first (``PRE-ImageMultiClass``)."""
    post_functions: ClassVar[tuple[str, ...]]
    """The same for annotation consolidation (``ACS-ImageMultiClass``)."""
    source_key: ClassVar[Literal["source", "source-ref"]]
    """Where a manifest line holds the thing to label."""
    media: ClassVar[Literal["image", "text"]]
    elements: ClassVar[Collection[str]] = ()
    """The ``crowd-*`` elements whose answer it can read, of which a template has one; empty where others may do."""

    @abstractmethod
    def task_input(self, data_object: DataObject, categories: Sequence[str]) -> dict[str, Any]:
        """What the template sees as ``task.input``, as Ground Truth's PRE- function makes it."""

    def check_object(self, data_object: DataObject) -> None:  # noqa: B027
        """Raise :class:`InputError` where people could not do this work with a data object."""

    @abstractmethod
    def parse_answer(self, content: Mapping[str, Any], categories: Sequence[str]) -> Any:
        """The value in an answer. Raises :class:`AnswerError` that says what is wrong with it."""

    def can_parse(self, content: Mapping[str, Any], categories: Sequence[str]) -> bool:
        """Whether there is a value in an answer: a template of one's own may let others through."""
        try:
            self.parse_answer(content, categories)
        except AnswerError:
            return False
        return True

    @abstractmethod
    def consolidate(self, answers: Iterable[Answer], categories: Sequence[str]) -> list[Label]:
        """One label for each object that has an answer, in the order the objects first appear."""

    def consolidator(self, answers: Iterable[Answer], categories: Sequence[str]) -> Callable[[Sequence[Answer]], Label]:
        """:meth:`consolidate` for more answers than fit into memory.

        Args:
            answers: all of them, each object's in a row.
            categories: the classes.

        Returns:
            What makes the label of one object of its answers; to be called for every object, in the same order.
        """
        labels = {label.object_id: label for label in self.consolidate(answers, categories)}
        return lambda given: labels[given[0].object_id]

    @abstractmethod
    def agreement(self, answers: Iterable[Answer], categories: Sequence[str]) -> float | None:
        """How far workers agree, Krippendorff's alpha where it is defined; ``None`` if no object has two answers."""

    @abstractmethod
    def write_label(
        self, label: Label, attribute: str, categories: Sequence[str], *, job_name: str, created: datetime
    ) -> dict[str, Any]:
        """The keys ``attribute`` and ``attribute-metadata`` for the manifest, in Ground Truth's exact form."""

    @abstractmethod
    def read_label(self, line: DataObject, attribute: str, categories: Sequence[str]) -> Label | None:
        """The label in a manifest line, ``None`` where there is none or it failed. Accepts every form AWS wrote."""
