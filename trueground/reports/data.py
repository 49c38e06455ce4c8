"""What a label report says, as plain data. Nothing here computes: the pipeline fills it in, the page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from trueground.reports.images import data_uri


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """How right a group of labels is. All shares are in [0, 1]; ``None`` where they are not known.

    ``lower`` is the bound that holds with the certificate's confidence, ``estimate`` the best guess.
    """

    objects: int
    lower: float | None = None
    estimate: float | None = None
    audited: int | None = None
    wrong: int | None = None
    method: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """The certificate: bounds for the labels of people, of the machine, and for all, at one confidence.

    ``audit`` is what the audits of earlier machine labels said then, as :class:`Certificate` has it.
    """

    confidence: float = 0.95
    people: Bound | None = None
    machine: Bound | None = None
    overall: Bound | None = None
    promised: float | None = None
    method: str = ""
    assumptions: tuple[str, ...] = ()
    audit: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """Where the objects stood when a round ended: ``people``, ``machine`` and ``open`` add up to all objects.

    ``audited`` counts those among ``people`` that were drawn to check the machine.
    """

    number: int
    people: int
    machine: int
    open: int
    audited: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassCount:
    """How many objects got a class, by who labeled them."""

    name: str
    people: int
    machine: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """One worker's part: answers given, the share of them that are the published label, median seconds an answer."""

    name: str
    answers: int
    accuracy: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A label that people corrected: from what to what, and how often."""

    before: str
    after: str
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What the second team said: labels judged, rejected, and given another value afterwards."""

    judged: int
    rejected: int
    adjusted: int
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One labeled object to look at.

    ``image`` is the file's bytes (any size, made small when shown) or a ready ``data:`` URI; ``text`` serves text
    objects. ``before`` is the label that people corrected.
    """

    key: str
    label: str
    confidence: float | None = None
    human: bool = True
    image: bytes | str | None = None
    text: str | None = None
    before: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A file that was published."""

    name: str
    uri: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckLine:
    """One check of the published labels; one that is only a ``warning`` may fail and the labels be published."""

    name: str
    passed: bool
    note: str = ""
    warning: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelReport:
    """Everything the report of one run shows. Only ``project`` and ``objects`` are needed.

    ``confidences`` maps ``people`` and ``machine`` to the confidences of their labels, in [0, 1].
    ``agreement`` is Krippendorff's alpha. ``started`` and ``finished`` are shown as they are given.
    """

    project: str
    objects: int
    description: str = ""
    run: str = ""
    started: str = ""
    finished: str = ""
    people: int = 0
    machine: int = 0
    answers: int = 0
    workers_per_object: int | None = None
    accuracy: Accuracy | None = None
    rounds: tuple[Round, ...] = ()
    classes: tuple[ClassCount, ...] = ()
    confidences: Mapping[str, tuple[float, ...]] | None = None
    workers: tuple[Worker, ...] = ()
    agreement: float | None = None
    verification: Verification | None = None
    samples: tuple[Sample, ...] = ()
    least_sure: tuple[Sample, ...] = ()
    corrected: tuple[Sample, ...] = ()
    links: tuple[Link, ...] = ()
    checks: tuple[CheckLine, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``; images become small ``data:`` URIs."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LabelReport:
        """The report that :meth:`to_json` wrote. Raises pydantic's ``ValidationError`` on other data."""
        return TypeAdapter(cls).validate_python(data)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return data_uri(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
