"""What the nights of an audit tell: the error rate of machine labels, whether the promise holds, and where they err.

A night is what :func:`night_facts` gives, with what people said of the labels drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from trueground.autolabel.suspension import BROKEN, HOLDS, UNKNOWN
from trueground.project import AutoLabel
from trueground.quality.prediction_powered import AuditDesign, Outlook
from trueground.quality.sequences import PREDICTED, ConfidenceSequence

GROUPS: Mapping[str, str] = {"classes": "label", "models": "model", "prefixes": "prefix"}
"""How labels are grouped, by what the state calls it: the member of a drawn label that says which group is its own."""
Night = tuple[Mapping[str, Any], Mapping[str, bool]]
"""The facts of a night, and by object whether the label drawn is wrong."""


def night_facts(
    night: str, design: AuditDesign, numbers: Sequence[int], labels: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """All that is to be kept of a night's draws.

    Args:
        night: its name.
        design: how they were drawn.
        numbers: the labels drawn, in that order.
        labels: of every label that could be drawn, its ``object``, the ``label``, the run whose ``model`` gave it, and
            the ``prefix`` of the object.
    """
    drawn = [{**labels[i], "doubt": float(design.doubt[i]), "chance": float(design.chance[i])} for i in numbers]
    groups: dict[str, dict[str, Any]] = {}
    for field in GROUPS.values():
        names = np.array([label[field] for label in labels])
        own = sorted({labels[i][field] for i in numbers})
        groups[field] = {name: design.part(names == name).outlook().to_json() for name in own}
    return {
        "night": night,
        "time": datetime.now(UTC).isoformat(),
        "outlook": design.outlook().to_json() if drawn else None,
        "groups": groups,
        "drawn": drawn,
    }


def read_night(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """A night's facts as they are kept now. Earlier versions kept nothing of groups, and foretold no variance."""
    if "groups" in facts:
        return facts
    low, high = facts["range"]
    outlook = Outlook(facts["objects"], 1.0, facts["mean_doubt"], low, high, None)
    return {**facts, "outlook": outlook.to_json(), "groups": {field: {} for field in GROUPS.values()}}


def judged_of(night: Mapping[str, Any], said: Mapping[str, bool]) -> dict[tuple[str, str], bool]:
    """Whether it is wrong, by object and label, of what was drawn and judged in a night."""
    return {(one["object"], one["label"]): said[one["object"]] for one in night["drawn"] if one["object"] in said}


def estimate(nights: Iterable[Night], promise: AutoLabel) -> dict[str, Any]:
    """The error rate of machine labels and whether the promise holds, from all nights' records.

    The promise is broken once the sequence's lower limit passes ``1 - accuracy``, and holds once its upper limit does
    not. After each change of mind evidence is gathered anew, so that what broke long ago does not weigh for ever; each
    such start may err with a chance of ``1 - confidence``.

    The rate is that of all machine labels of the published set, old and new: a draw's chance is known, so the share of
    each model and folder among them can be told apart, but the promise is one of the set that consumers read. A single
    bad model therefore counts as much as it labeled.

    Args:
        nights: in the order they were drawn.
        promise: what is allowed, and with which confidence limits hold.

    Returns:
        ``promise``, ``since`` (the night it changed), ``lower``, ``upper``, ``estimate``, ``reviews``; ``nights``,
        what each night left; ``classes``, ``models``, ``prefixes``: by label, by the run whose model gave it and by the
        folder of the object, the draws, those found wrong, and the error rate with limits of its own.
    """
    allowed, status, since, reviews = 1 - promise.accuracy, UNKNOWN, None, 0
    sequence = ConfidenceSequence(promise.confidence, PREDICTED)
    found_of: dict[str, dict[str, _Group]] = {field: {} for field in GROUPS.values()}
    rows: list[dict[str, Any]] = []
    for night, said, judged in _in_order(nights):
        reviews += said
        for drawn, wrong in judged:
            Outlook(**night["outlook"]).observe(sequence, drawn["doubt"], drawn["chance"], wrong)
            for field, groups in found_of.items():
                outlook = night["groups"][field].get(drawn.get(field))
                if outlook is not None:
                    group = groups.setdefault(drawn[field] or "unknown", _Group(promise.confidence))
                    group.add(Outlook(**outlook), drawn, wrong)
        found = BROKEN if sequence.lower > allowed else HOLDS if sequence.upper <= allowed else status
        row = {"night": night["night"], "time": night["time"], "reviews": said, "promise": found}
        row |= {"lower": sequence.lower, "upper": sequence.upper, "estimate": sequence.estimate}
        rows.append(row)
        if found != status:
            # The first proof that it holds is no change of mind: the evidence for it goes on.
            if status != UNKNOWN or found == BROKEN:
                sequence = ConfidenceSequence(promise.confidence, PREDICTED)
            status, since = found, night["night"]
    last = rows[-1] if rows else {"lower": 0.0, "upper": 1.0, "estimate": None}
    return {
        "promise": status,
        "since": since,
        "accuracy": promise.accuracy,
        "confidence": promise.confidence,
        **{name: last[name] for name in ("lower", "upper", "estimate")},
        "reviews": reviews,
        "nights": rows,
        **{
            name: {key: group.to_json() for key, group in sorted(found_of[field].items())}
            for name, field in GROUPS.items()
        },
    }


class _Group:
    """What was found of the labels of one class, model or folder."""

    def __init__(self, confidence: float) -> None:
        self.drawn = self.wrong = 0
        self.sequence = ConfidenceSequence(confidence, PREDICTED)

    def add(self, outlook: Outlook, drawn: Mapping[str, Any], wrong: bool) -> None:
        """Take one more draw. Those that fall on a group are drawn from it as the night's chances have it."""
        self.drawn += 1
        self.wrong += wrong
        outlook.observe(self.sequence, drawn["doubt"], drawn["chance"], wrong)

    def to_json(self) -> dict[str, Any]:
        """As a part of the state."""
        sequence = self.sequence
        limits = {"lower": sequence.lower, "upper": sequence.upper, "error_rate": sequence.estimate}
        return {"drawn": self.drawn, "wrong": self.wrong, **limits}


def _in_order(nights: Iterable[Night]) -> Iterator[tuple[Mapping[str, Any], int, list[tuple[Mapping[str, Any], bool]]]]:
    """Of each night its facts, how many labels were judged, and what is known of those that were drawn.

    A label that nobody judged is left out, as by chance.
    """
    known: dict[tuple[str, str], bool] = {}
    for night, said in nights:
        known |= judged_of(night, said)
        judged = [(one, known.get((one["object"], one["label"]))) for one in night["drawn"]]
        yield night, len(said), [(one, wrong) for one, wrong in judged if wrong is not None]
