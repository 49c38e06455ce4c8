"""What a project's models learn from: the newest label set, and all reviews; as the assets' events told.

The registry's ``sources.json`` holds it, with the time of the newest event that was read of each asset. So every event
is read once, also those of a time in which no DAG run was started for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from trueground.contracts import LabelsExtra, ReviewsExtra, read_extra
from trueground.errors import InputError
from trueground.models.registry import Registry
from trueground.run import Run


@dataclass(frozen=True)
class Event:
    """An asset event: the asset's name, when it was written (ISO time), and its ``extra``."""

    asset: str
    at: str
    extra: Any


@dataclass
class Sources:
    """``labels`` and ``reviews`` are label sets: ``{"uri": …, "attribute": …}``; ``read`` is a time by asset."""

    labels: dict[str, str] | None = None
    reviews: list[dict[str, str]] = field(default_factory=list)
    read: dict[str, str] = field(default_factory=dict)

    def sets(self) -> list[dict[str, str]]:
        """All label sets, each with its ``kind``; what a later one says of an object replaces what an earlier said."""
        labels = [] if self.labels is None else [{"kind": "labels", **self.labels}]
        return [*labels, *({"kind": "reviews", **one} for one in self.reviews)]


def read_sources(run: Run) -> Sources:
    """What was noted so far. Raises :class:`InputError` where the file is not ours."""
    uri = _uri(run)
    try:
        return Sources(**json.loads(run.storage.read_text(uri)))
    except FileNotFoundError:
        return Sources()
    except (ValueError, TypeError) as error:
        raise InputError(f"not what retraining writes there: {error}", file=uri) from None


def note_events(run: Run, events: Iterable[Event], *, labels_asset: str) -> list[str]:
    """Note what new events say, the oldest first. Those read before are passed over.

    Args:
        run: the retraining run.
        events: of the label asset and of review assets, in any order.
        labels_asset: the name of the label asset; all others are of reviews.

    Returns:
        For each event that cannot be read what is wrong with it; the same if the step is repeated.
    """
    sources = read_sources(run)
    refused: dict[str, str] = run.read_json("retrain", "refused.json") or {}
    read = dict(sources.read)
    for event in sorted(events, key=lambda event: event.at):
        if event.at <= read.get(event.asset, ""):
            continue
        sources.read[event.asset] = event.at
        try:
            _note(sources, event, labels_asset)
        except InputError as error:
            refused[f"{event.asset} {event.at}"] = f"the event of {event.at}: {error}"
    # First the errors, then the times: killed between the two, the next try reads the events again.
    run.write_json(refused, "retrain", "refused.json")
    run.storage.write_text(_uri(run), json.dumps(asdict(sources), indent=1) + "\n")
    return list(refused.values())


def _note(sources: Sources, event: Event, labels_asset: str) -> None:
    if event.asset == labels_asset:
        published = read_extra(LabelsExtra, event.extra, asset=event.asset)
        sources.labels = _set(published.labels, published.label_attribute)
        return
    reviewed = read_extra(ReviewsExtra, event.extra, asset=event.asset)
    if reviewed.labels is not None and reviewed.label_attribute is not None:
        new = _set(reviewed.labels, reviewed.label_attribute)
        sources.reviews = [*(one for one in sources.reviews if one != new), new]


def _set(uri: str, attribute: str) -> dict[str, str]:
    return {"uri": uri, "attribute": attribute}


def _uri(run: Run) -> str:
    return Registry(run.storage, run.project.output).uri("sources.json")


def is_news(run: Run) -> bool:
    """Whether there is something that the newest registered model was not trained on, or another trainer.

    Raises:
        InputError: the registry's files are of another version.
    """
    sets = [(one["kind"], one["uri"]) for one in read_sources(run).sets()]
    records = [one for one in Registry(run.storage, run.project.output).records() if one.run != run.name]
    if not sets or not records:
        return bool(sets)
    newest = records[-1]
    return [(one.kind, one.uri) for one in newest.data] != sets or newest.trainer != run.project.retrain.trainer.title
