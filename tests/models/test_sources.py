"""What models learn from is what the assets' events told: each read once, none lost, bad ones named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.models.conftest import labels_extra, publish, reviews_extra, texts
from trueground.errors import InputError
from trueground.models.registry import Registry
from trueground.models.sources import Event, note_events, read_sources
from trueground.run import Run

LABELS, REVIEWS = "mail-labels", "mail-reviews"


def note(run: Run, *events: Event) -> list[str]:
    return note_events(run, events, labels_asset=LABELS)


def uris(run: Run) -> list[str]:
    return [one["uri"] for one in read_sources(run).sets()]


def test_the_newest_labels_and_all_reviews_are_learned_from_the_oldest_first(night: Callable[..., Run]) -> None:
    run = night("a")
    assert uris(run) == []
    note(
        run,
        Event(REVIEWS, "2026-01-03", reviews_extra("second")),
        Event(LABELS, "2026-01-02", labels_extra("newer")),
        Event(LABELS, "2026-01-01", labels_extra("old")),
        Event(REVIEWS, "2026-01-02", reviews_extra("first")),
        Event(REVIEWS, "2026-01-04", reviews_extra(None)),
    )
    assert uris(run) == ["newer", "first", "second"]


def test_an_event_with_a_missing_field_is_named_and_the_good_ones_count(night: Callable[..., Run]) -> None:
    run = night("a")
    bad, worse = labels_extra("never"), reviews_extra("never")
    del bad["labels"], worse["label_attribute"]
    events = [
        Event(LABELS, "2026-01-01", labels_extra("good")),
        Event(LABELS, "2026-01-02", bad),
        Event(REVIEWS, "2026-01-03", worse),
        Event(REVIEWS, "2026-01-04", reviews_extra("reviewed")),
    ]
    told = [
        f"the event of 2026-01-02: asset {LABELS}: extra.labels: the field is missing.",
        f"the event of 2026-01-03: asset {REVIEWS}: extra.label_attribute: the field is missing.",
    ]
    assert note(run, *events) == told
    assert uris(run) == ["good", "reviewed"]
    # Repeated, the step says the same; the next run does not hear of them again.
    assert note(run, *events) == told
    assert note(night("b"), *events) == []
    assert uris(run) == ["good", "reviewed"]


def test_a_step_that_was_killed_before_it_moved_on_says_the_same_when_it_is_repeated(night: Callable[..., Run]) -> None:
    run = night("a")
    bad = labels_extra("x")
    del bad["report"]
    told = note(run, Event(LABELS, "2026-01-01", bad))
    run.storage.delete(Registry(run.storage, run.project.output).uri("sources.json"))
    assert note(run, Event(LABELS, "2026-01-01", bad)) == told


def test_a_file_that_retraining_did_not_write_is_refused(night: Callable[..., Run]) -> None:
    run = night("a")
    run.storage.write_text(Registry(run.storage, run.project.output).uri("sources.json"), '{"label": 1}')
    with pytest.raises(InputError, match=r"sources\.json: not what retraining writes there"):
        publish(run, texts(range(2)))
        note(run)
