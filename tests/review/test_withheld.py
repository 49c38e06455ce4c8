"""While people label everything, what the machine would have said is compared with what they say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.autolabel.test_earlier_model import learned, promote, started
from tests.models.conftest import night, texts
from trueground.autolabel import rounds
from trueground.autolabel.suspension import may_auto_label, state_uri
from trueground.manifests import object_key
from trueground.review import withheld
from trueground.run import Run
from trueground.tasks.base import Label

__all__ = ["night"]


def suspended(run: Run) -> Run:
    run.storage.write_text(state_uri(run.project), '{"promise": "broken"}')
    return started(run, range(300))


def labeled(run: Run, truth: dict[str, str]) -> Run:
    """A run whose objects all have a label of people."""
    people = [Label(object_key(line), truth[line["source"]], 1.0) for line in run.objects()]
    run.write_labels(people, "rounds", "1", "labels.jsonl")
    rounds.finish_round(run, 1)
    return run


def test_proposals_are_fixed_before_people_are_asked_and_kept_from_them(night: Callable[..., Run]) -> None:
    run = suspended(night("one"))
    promote(run, "a", learned(texts(range(300, 400))))
    count = len(run.objects())
    assert rounds.choose(run, 1) == count, "people get everything"
    proposals = run.read_labels("withheld.jsonl")
    assert len(proposals) > 300 and not any(label.human for label in proposals.values())
    assert run.read_json("rounds", "1", "plan.json") is None
    promote(run, "b", learned(texts(range(400, 420))))
    rounds.choose(run, 1)
    assert run.read_labels("withheld.jsonl") == proposals, "a repeated step withholds the same"


def test_a_model_that_people_agree_with_may_label_again_without_any_audit(night: Callable[..., Run]) -> None:
    run = suspended(night("one"))
    promote(run, "a", learned(texts(range(300, 400))))
    rounds.choose(run, 1)
    state = withheld.compare(labeled(run, texts(range(300))))
    assert state is not None and (state["promise"], state["since"]) == ("holds", "withheld-one")
    assert state["models"]["a"]["drawn"] == len(run.read_labels("withheld.jsonl"))
    assert withheld.compare(run) == state, "compared once"
    assert may_auto_label(night("next"))
    assert not may_auto_label(run), "a run that began keeps to what it decided"


def test_a_model_that_people_contradict_may_not(night: Callable[..., Run]) -> None:
    run = suspended(night("one"))
    promote(run, "a", learned(texts(range(300, 400))))
    rounds.choose(run, 1)
    truth = texts(range(300))
    first, second = sorted(set(truth.values()))[:2]
    swapped = {text: second if value == first else first for text, value in truth.items()}
    state = withheld.compare(labeled(run, swapped))
    assert state is not None and state["promise"] == "broken"
    assert not may_auto_label(night("next"))


@pytest.mark.parametrize("model", [True, False])
def test_without_an_alarm_or_a_model_nothing_is_withheld(night: Callable[..., Run], model: bool) -> None:
    run = started(night("one"), range(300)) if model else suspended(night("one"))
    if model:
        promote(run, "a", learned(texts(range(300, 400))))
    rounds.choose(run, 1)
    assert withheld.compare(labeled(run, texts(range(300)))) is None
