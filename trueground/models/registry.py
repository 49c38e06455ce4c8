"""The registry of a project's models: a folder each, and one pointer to the current one.

::

    <output>/models/<name>/model.skops, card.md, predictions.jsonl, record.json
    <output>/models/current.json

A model is registered once its ``record.json`` is there, which is written last. Which one is current, and which ones
were before, stands in ``current.json`` alone: it is replaced as a whole, so whatever is killed, either the old model or
the new one is current.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trueground import storage as paths
from trueground.errors import InputError
from trueground.storage import Storage

if TYPE_CHECKING:
    from trueground.autolabel.model import LabelModel

LEGACY = "champion"
"""The name of the one model that was kept before there was a registry: ``champion.skops``."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class DataVersion(_Part):
    """A label set that a model was trained on, and how to tell that it is still the same."""

    kind: Literal["labels", "reviews"]
    uri: str
    attribute: str = Field(description="the label attribute")
    sha256: str
    objects: int = Field(description="lines with a label")


class ModelRecord(_Part):
    """What is known of a registered model. Accuracies are shares of the test objects; the interval is of 95 %."""

    format: Literal["trueground.model-record/1"] = "trueground.model-record/1"
    name: str
    project: str
    run: str = Field(description="the DAG run that trained it")
    trainer: str = Field(description="the kind of trainer, and its name where it has one")
    created: str = Field(description="ISO time")
    model: str = Field(description="URI of the model file")
    sha256: str | None = Field(description="of the model file")
    card: str = Field(description="URI of the model card")
    predictions: str | None = Field(default=None, description="URI of what it said of the test objects, JSON Lines")
    classes: tuple[str, ...] = ()
    data: tuple[DataVersion, ...] = ()
    trained_on: int | None = None
    tested_on: int | None = None
    accuracy: float | None = None
    lower: float | None = None
    upper: float | None = None
    champion: str | None = Field(default=None, description="the model it was compared with")
    champion_accuracy: float | None = None
    compared_on: int | None = Field(default=None, description="test objects that both models answered")
    p_value: float | None = Field(default=None, description="one-sided, of the exact McNemar test")
    better: bool = Field(description="whether the rule promotes it")
    reason: str


class Switch(_Part):
    """One change of the current model. ``previous`` is the model that a rollback from here leads to."""

    model: str
    previous: str | None
    at: str = Field(description="ISO time")
    by: str = Field(description="the DAG run that switched")
    reason: str


class Pointer(_Part):
    """``current.json``: every switch, oldest first; the last one says which model is current."""

    format: Literal["trueground.current-model/1"] = "trueground.current-model/1"
    model: str
    history: tuple[Switch, ...] = Field(min_length=1)


Document = TypeVar("Document", bound=BaseModel)


class Registry:
    """The models of one project.

    Args:
        storage: how to reach the files.
        output: the project's ``output``.
    """

    def __init__(self, storage: Storage, output: str) -> None:
        self.storage = storage
        self.folder = paths.join(output, "models")

    def uri(self, *parts: str) -> str:
        """The URI of a file of the registry."""
        return paths.join(self.folder, *parts)

    def register(self, record: ModelRecord) -> None:
        """Write the record, which makes a model out of its files."""
        self.storage.write_text(self.uri(record.name, "record.json"), _text(record))

    def find(self, name: str) -> ModelRecord | None:
        """The record of a model; ``None`` where none of this name is registered.

        Raises:
            InputError: the record is of another version, or a field is missing; ``field`` names it.
        """
        record = self._read(ModelRecord, self.uri(name, "record.json"))
        return self._legacy() if record is None and name == LEGACY else record

    def record(self, name: str) -> ModelRecord:
        """The same. Raises :class:`InputError` with the names that there are, where none is registered."""
        record = self.find(name)
        if record is None:
            known = ", ".join(one.name for one in self.records()) or "none"
            raise InputError(f"there is no model {name!r}", file=self.folder, hint=f"Registered are: {known}.")
        return record

    def records(self) -> list[ModelRecord]:
        """All registered models, the oldest first."""
        names = [
            paths.name(paths.parent(uri))
            for uri in self.storage.list(self.folder)
            if paths.name(uri) == "record.json" and paths.parent(paths.parent(uri)) == self.folder
        ]
        found = [self._legacy(), *(self.find(name) for name in names)]
        return sorted((record for record in found if record is not None), key=lambda record: record.created)

    def pointer(self) -> Pointer | None:
        """Which model is current and which were; ``None`` where none was promoted yet."""
        pointer = self._read(Pointer, self.uri("current.json"))
        if pointer is None and (legacy := self._legacy()) is not None:
            first = Switch(model=LEGACY, previous=None, at=legacy.created, by="", reason=legacy.reason)
            return Pointer(model=LEGACY, history=(first,))
        return pointer

    def current(self) -> ModelRecord | None:
        """The model that is used now, ``None`` where none was promoted yet."""
        pointer = self.pointer()
        return None if pointer is None else self.record(pointer.model)

    def promote(self, name: str, *, by: str, reason: str) -> Switch:
        """Make a model the current one. The same model by the same DAG run is promoted once, however often asked.

        Returns:
            The switch, as it stands in the history.

        Raises:
            InputError: no such model is registered.
        """
        self.record(name)
        pointer = self.pointer()
        for done in pointer.history if pointer else ():
            if (done.model, done.by) == (name, by):
                return done
        previous = pointer.model if pointer else None
        return self._switch(pointer, name, previous=None if previous == name else previous, by=by, reason=reason)

    def roll_back(self, to: str | None = None, *, by: str, reason: str) -> Switch:
        """Make an earlier model the current one again.

        Repeated, it goes further back, never forth again; by the same DAG run it is done once.

        Args:
            to: the model's name; by default the one that was current before this one was promoted.
            by: the DAG run that asks.
            reason: why, for the history.

        Raises:
            InputError: there is no model, none before this one, or none of that name.
        """
        pointer = self.pointer()
        if pointer is None:
            raise InputError("no model was promoted yet", file=self.folder)
        for done in pointer.history:
            if done.by == by:
                return done
        name = to or pointer.history[-1].previous
        if name is None:
            raise InputError(f"{pointer.model!r} is the first model: there is none before it", file=self.folder)
        self.record(name)
        before = next((past.previous for past in reversed(pointer.history) if past.model == name), None)
        return self._switch(pointer, name, previous=before, by=by, reason=reason)

    def _switch(self, pointer: Pointer | None, name: str, *, previous: str | None, by: str, reason: str) -> Switch:
        switch = Switch(model=name, previous=previous, at=_now(), by=by, reason=reason)
        history = (*(pointer.history if pointer else ()), switch)
        self.storage.write_text(self.uri("current.json"), _text(Pointer(model=name, history=history)))
        return switch

    def _read(self, document: type[Document], uri: str) -> Document | None:
        try:
            return document.model_validate_json(self.storage.read_bytes(uri))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or None
            raise InputError(first["msg"], file=uri, field=field) from None

    def _legacy(self) -> ModelRecord | None:
        uri = self.uri("champion.skops")
        if not self.storage.exists(uri):
            return None
        return ModelRecord(
            name=LEGACY,
            project="",
            run="",
            trainer="sklearn",
            created="",
            model=uri,
            sha256=None,
            card=self.uri("champion.md"),
            better=True,
            reason="the champion from before there was a registry",
        )


def current_model(storage: Storage, output: str) -> ModelRecord | None:
    """The current model of the project with this ``output``; ``None`` where none was promoted yet.

    Raises:
        InputError: the registry's files are of another version.
    """
    return Registry(storage, output).current()


def load_model(storage: Storage, record: ModelRecord) -> LabelModel:
    """The classifier in a registered model's file.

    Raises:
        InputError: the file is gone, is not the one that was registered, is of another version, or is no classifier of
            ours because another trainer made it; ``file`` names it.
    """
    from trueground.autolabel.model import LabelModel

    content = model_content(storage, record)
    try:
        return LabelModel.from_bytes(content)
    except InputError as error:
        raise InputError(error.problem, file=record.model, hint=error.hint) from None


def model_content(storage: Storage, record: ModelRecord) -> bytes:
    """A registered model's file, whatever made it.

    Raises:
        InputError: it is gone, or is not the one that was registered; ``file`` names it.
    """
    try:
        content = storage.read_bytes(record.model)
    except FileNotFoundError:
        raise InputError("the model file is gone", file=record.model, hint="Roll back to another model.") from None
    if record.sha256 is not None and hashlib.sha256(content).hexdigest() != record.sha256:
        raise InputError("the model file is not the one that was registered", file=record.model, field="sha256")
    return content


def _text(document: BaseModel) -> str:
    return document.model_dump_json(indent=1) + "\n"


def _now() -> str:
    return datetime.now(UTC).isoformat()
