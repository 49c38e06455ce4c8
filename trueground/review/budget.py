"""A budget of reviews a day, spent on the objects where a review is worth most.

What a run spent stands in ``budget/<day>/<run>.json`` of the project's output, one file a run: runs of one day share
the budget, and a run that is repeated spends what it spent before.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from trueground import storage as paths
from trueground.review.kinds import review_kind
from trueground.review.own_conditions import find, number_at
from trueground.review.project import ReviewRun
from trueground.run import folder_name


def keep_within_budget(run: ReviewRun, now: datetime | None = None) -> int:
    """Move what the day's budget does not reach from ``to-review.jsonl`` to ``accepted.jsonl``.

    Those that stay are worth most (:func:`worth`), the first of equals. The lines that move get ``over-budget``.

    Args:
        run: the run, its predictions chosen.
        now: the time, which says what day it is, in UTC.

    Returns:
        How many were moved.
    """
    most = run.project.review.reviews_per_day
    if most is None:
        return 0
    own = run.read_json("budget.json")
    if own is None:
        day = (now or datetime.now(UTC)).date().isoformat()
        own = {"day": day, "left": max(0, most - _spent_by_others(run, day))}
        run.write_json(own, "budget.json")
    worths = ((worth(run, line), -number) for number, line in enumerate(run.read_lines("to-review.jsonl")))
    kept = {-number for _, number in heapq.nlargest(own["left"], worths)}
    moved = _rewrite(run, kept)
    spent = paths.join(run.project.output, "budget", own["day"], f"{folder_name(run.name)}.json")
    run.storage.write_text(spent, json.dumps({"run": run.name, "reviews": len(kept)}) + "\n")
    return moved


def worth(run: ReviewRun, line: Mapping[str, Any]) -> float:
    """What a review of a prediction is worth: how likely it is wrong, times its weight.

    Raises:
        InputError: the prediction has no confidence, or its weight is no number.
    """
    weight = run.project.review.weight
    heavy = 1.0 if weight is None else number_at(find(weight, line, "prediction"), weight)
    return (1 - review_kind(run.project.source.service).confidence(line)) * heavy


def _spent_by_others(run: ReviewRun, day: str) -> int:
    folder = paths.join(run.project.output, "budget", day)
    others = (uri for uri in run.storage.list(folder) if paths.name(uri) != f"{folder_name(run.name)}.json")
    return sum(int(json.loads(run.storage.read_bytes(uri))["reviews"]) for uri in others)


def _rewrite(run: ReviewRun, kept: set[int]) -> int:
    """Leave the lines of these numbers; returns how many moved. Who repeats this chooses anew before."""
    moved = 0

    def accepted() -> Iterator[dict[str, Any]]:
        nonlocal moved
        yield from run.read_lines("accepted.jsonl")
        for number, line in enumerate(run.read_lines("to-review.jsonl")):
            if number not in kept:
                moved += 1
                yield {**line, "over-budget": True}

    lines = run.read_lines("to-review.jsonl")
    run.write_lines(accepted(), "accepted.jsonl")
    run.write_lines((line for number, line in enumerate(lines) if number in kept), "to-review.jsonl")
    return moved
