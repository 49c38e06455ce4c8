"""Adjudication: one person decides what people could not agree on, even when they were asked again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from trueground.answers import load_answers
from trueground.autolabel.rounds import last_round, round_answers
from trueground.review import verification
from trueground.run import Run
from trueground.tasks.base import Label

IN_DOUBT = 0.8
"""Confidence below which an adjusted label is still disputed."""


def choose(run: Run) -> list[dict[str, str]]:
    """The questions to ask, the most doubtful first, at most as many as the project says.

    Which objects they are about is kept in the run's folder, in the same order. Earlier decisions are forgotten.

    Returns:
        ``subject`` and ``body`` of each question.
    """
    run.write_labels([], *verification.DECISIONS)
    labels = verification.final_labels(run)
    disputed = [
        label for label in labels.values() if "adjustment-status" in label.extra and label.confidence < IN_DOUBT
    ]
    disputed.sort(key=lambda label: (label.confidence, label.object_id))
    disputed = disputed[: run.project.verification.adjudicate]
    run.write_json([label.object_id for label in disputed], "adjudication", "disputed.json")
    given = _given(run)
    return [
        {
            "subject": f"{run.project.task.title} ({label.object_id.rsplit('/', 1)[-1]})",
            "body": f"People do not agree: {given[label.object_id]}.\n\nObject: {label.object_id}",
        }
        for label in disputed
    ]


def decide(run: Run, choices: Sequence[str]) -> int:
    """Keep the decisions, in the order of the questions; :func:`trueground.review.verification.final_labels` has them.

    Returns:
        How many there are.

    Raises:
        ValueError: there are more or fewer decisions than questions, or a choice is no category.
    """
    disputed: list[str] = run.read_json("adjudication", "disputed.json") or []
    unknown = set(choices) - set(run.categories)
    if unknown:
        raise ValueError(f"no categories of this project: {sorted(unknown)}")
    labels = [Label(key, choice, 1.0) for key, choice in zip(disputed, choices, strict=True)]
    run.write_labels(labels, *verification.DECISIONS)
    return len(labels)


def _given(run: Run) -> dict[str, str]:
    """What people answered, by object key: ``3 (twice), 5``."""
    answers = [*round_answers(run, last_round(run)), *load_answers(run, "adjustment", "answers.jsonl")]
    counts: dict[str, Counter[str]] = {}
    for answer in answers:
        value = run.task_type.parse_answer(answer.content, run.categories)
        counts.setdefault(answer.object_id, Counter())[value] += 1
    return {
        key: ", ".join(f"{value} ({count} times)" if count > 1 else value for value, count in found.most_common())
        for key, found in counts.items()
    }
