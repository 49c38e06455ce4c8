"""What a labeling job can be asked for that the AWS API has no member for: said in its tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from trueground.service.engine.errors import Invalid

Value = TypeVar("Value")

PREFIX = "trueground:"
MOST_WORKERS = 9
"""As many workers an object as the AWS API allows."""
PRIORITY_TAG = f"{PREFIX}priority"
PRIORITIES = range(-100, 101)
GOLD_SHARE = 0.1
PROMISE = 0.95
POLICIES = ("weigh", "ask-again")

SETTLED = frozenset({
    "workers-max", "confidence", "gold", "gold-share", "gold-limit", "gold-policy", "qualification", "streaming",
    "auto-label-accuracy", "auto-label-confidence",
})  # fmt: skip
"""The options that a job begins with and keeps."""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """The options of a job.

    Attributes:
        priority: jobs with a higher one give their tasks first (``trueground:priority``, -100 to 100).
        most_workers: ask up to this many workers about an object while its label is not sure enough
            (``trueground:workers-max``); the job's number of workers is then the least.
        confidence: how sure a label must be (``trueground:confidence``, above 0.5, below 1); 0.95 if left out.
        gold: URI of a manifest of objects that carry the right label under the job's attribute (``trueground:gold``).
        gold_share: of a worker's tasks, how many are gold objects (``trueground:gold-share``).
        gold_limit: a worker below this accuracy on them is paused (``trueground:gold-limit``).
        gold_policy: what becomes of a paused worker's answers: ``weigh`` leaves them to consolidation, which learns how
            reliable each worker is; ``ask-again`` sets them aside and asks others (``trueground:gold-policy``).
        qualification: gold objects a worker answers before the work itself (``trueground:qualification``).
        auto_accuracy: automated labeling: the share of the machine's labels that is right at least
            (``trueground:auto-label-accuracy``); 0.95 if left out, as on AWS. ``None`` without automated labeling.
        auto_confidence: how sure that is (``trueground:auto-label-confidence``); 0.95 if left out.
    """

    priority: int = 0
    most_workers: int | None = None
    confidence: float | None = None
    gold: str | None = None
    gold_share: float | None = None
    gold_limit: float | None = None
    gold_policy: str | None = None
    qualification: int | None = None
    auto_accuracy: float | None = None
    auto_confidence: float | None = None

    def columns(self) -> dict[str, Any]:
        """As the job's row keeps them."""
        kept = asdict(self)
        # Where it is read from; its objects stand in the store.
        del kept["gold"]
        return kept


def read_change(before: Mapping[str, str], after: Mapping[str, str], workers_per_object: int) -> int:
    """The priority that a job's tags ask for once they are changed.

    Raises:
        Invalid: a tag cannot be meant, or would change what was settled when the job was created.
    """
    for name in sorted(SETTLED):
        if before.get(PREFIX + name) != after.get(PREFIX + name):
            raise Invalid(f"the tag {PREFIX}{name} cannot be changed: the job was created with it, or without it")
    wanted = {key: value for key, value in after.items() if key == PRIORITY_TAG}
    return read_options(wanted, workers_per_object).priority


def read_options(tags: Mapping[str, str], workers_per_object: int, *, automated: bool = False) -> JobOptions:
    """The options in a job's tags; ``automated``: the job asks for automated labeling.

    Raises:
        Invalid: a tag says what cannot be; the message names it.
    """

    def read(name: str, kind: Callable[[str], Value], good: Callable[[Value], bool], wanted: str) -> Value | None:
        text = tags.get(PREFIX + name)
        if text is None:
            return None
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not good(value):
            raise Invalid(f"the tag {PREFIX}{name} must be {wanted}, not {text!r}")
        return value

    most = read(
        "workers-max",
        int,
        lambda value: workers_per_object <= value <= MOST_WORKERS,
        f"a whole number from NumberOfHumanWorkersPerDataObject ({workers_per_object}) to {MOST_WORKERS}",
    )
    confidence = read("confidence", float, lambda value: 0.5 < value < 1, "a number above 0.5 and below 1")
    if confidence is not None and most is None:
        raise Invalid(f"the tag {PREFIX}confidence needs {PREFIX}workers-max")
    gold = tags.get(PREFIX + "gold")
    share = read("gold-share", float, lambda value: 0 <= value <= 0.5, "a number from 0 to 0.5")
    limit = read("gold-limit", float, lambda value: 0 < value <= 1, "a number above 0 and up to 1")
    policy = read("gold-policy", str, lambda value: value in POLICIES, " or ".join(POLICIES))
    qualification = read("qualification", int, lambda value: 1 <= value <= 100, "a whole number from 1 to 100")
    for name, value in (("gold-share", share), ("gold-limit", limit), ("qualification", qualification)):
        if value is not None and gold is None:
            raise Invalid(f"the tag {PREFIX}{name} needs {PREFIX}gold, a manifest of objects with known labels")
    promised = read("auto-label-accuracy", float, lambda value: 0.5 <= value < 1, "a number from 0.5 to below 1")
    surely = read("auto-label-confidence", float, lambda value: 0.5 <= value < 1, "a number from 0.5 to below 1")
    if not automated and (promised is not None or surely is not None):
        raise Invalid(f"the tags {PREFIX}auto-label-… need LabelingJobAlgorithmsConfig")
    if automated and policy == "ask-again":
        raise Invalid(f"the tag {PREFIX}gold-policy cannot be ask-again: automated labeling builds on answers given")
    return JobOptions(
        priority=read("priority", int, PRIORITIES.__contains__, "a whole number from -100 to 100") or 0,
        most_workers=most,
        confidence=(confidence or 0.95) if most is not None else None,
        gold=gold,
        gold_share=(GOLD_SHARE if share is None else share) if gold is not None else None,
        gold_limit=limit,
        gold_policy=(policy or "weigh") if limit is not None else None,
        qualification=qualification,
        auto_accuracy=(promised or PROMISE) if automated else None,
        auto_confidence=(surely or PROMISE) if automated else None,
    )
