"""Choose the predictions that people review."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import Any

from trueground import storage as paths
from trueground.errors import InputError
from trueground.manifests.write import encoded
from trueground.review.conditions import Conditions
from trueground.review.predictions import parse_prediction, read_lines
from trueground.review.project import ReviewRun
from trueground.storage import Storage

REASONS = 5
"""As many of the reasons why predictions cannot be used are shown at once."""


@dataclass(frozen=True)
class Chosen:
    """How many predictions go where."""

    to_review: int
    accepted: int
    set_aside: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.to_review + self.accepted + self.set_aside


def choose_reviews(
    storage: Storage,
    predictions: str,
    conditions: Conditions,
    output: str,
    *,
    service: str | None = None,
    worth: Callable[[Mapping[str, Any]], float] | None = None,
) -> Chosen:
    """Evaluate conditions over a file of predictions, one line at a time.

    Writes below ``output``: ``to-review.jsonl`` (the lines, with their ``reasons``), ``accepted.jsonl``, and
    ``set-aside.jsonl``: lines that cannot be judged, with their number and ``failure-reason``. The same input gives the
    same files; each appears whole, or not at all.

    Args:
        storage: reads and writes.
        predictions: URI of the prediction lines.
        conditions: what makes a prediction need a review.
        output: URI of a folder.
        service: what made the predictions, for lines that do not say.
        worth: where reviews have a budget, what a review of a line is worth. Lines of which it raises
            :class:`InputError` are set aside.

    Raises:
        InputError: there is no such file of predictions.
    """
    counts = dict.fromkeys(("to-review", "accepted", "set-aside"), 0)
    # 8 bytes of each id, to find one that comes twice.
    seen: set[int] = set()
    with ExitStack() as stack:
        files = {name: stack.enter_context(storage.writer(paths.join(output, f"{name}.jsonl"))) for name in counts}
        for number, raw in read_lines(storage, predictions):
            line: Any = raw.decode("utf-8", "replace").rstrip("\r\n")
            try:
                parsed = parse_prediction(raw, service)
                if hash(parsed["id"]) in seen:
                    raise InputError(f"the id {parsed['id']!r} stands there twice", field="id")
                seen.add(hash(parsed["id"]))
                line = parsed
                decision = conditions.evaluate(line)
                if worth is not None and decision.needs_review:
                    worth(line)
            except InputError as error:
                reason = InputError(error.problem, file=predictions, line=number, field=error.field)
                name, content = "set-aside", {"line-number": number, "line": line, "failure-reason": str(reason)}
            else:
                name, content = "accepted", line
                if decision.needs_review:
                    name, content = "to-review", {**line, "reasons": list(decision.reasons)}
            files[name].write(encoded(content) + b"\n")
            counts[name] += 1
    return Chosen(counts["to-review"], counts["accepted"], counts["set-aside"])


def refuse_useless(run: ReviewRun, chosen: Chosen) -> None:
    """Refuse a run whose predictions are wrong as a whole, before any person is asked.

    Raises:
        InputError: all were set aside, or more than the project allows; it gives the first reasons.
    """
    allowed = run.project.most_set_aside
    if chosen.set_aside == 0 or (chosen.set_aside < chosen.total and chosen.set_aside <= allowed * chosen.total):
        return
    first = islice(run.read_lines("set-aside.jsonl"), REASONS)
    reasons = "".join(f"\n  {line['failure-reason']}" for line in first)
    raise InputError(
        f"{chosen.set_aside} of {chosen.total} predictions cannot be used, more than most_set_aside ({allowed:g}) "
        f"allows. The first:{reasons}\nAll are in {run.uri('set-aside.jsonl')}",
        file=run.uri("predictions.jsonl"),
        hint="Correct them and trigger the DAG again, or raise most_set_aside.",
    )
