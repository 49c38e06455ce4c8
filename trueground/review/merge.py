"""The end of a review: one table of predictions, reviews and final values, and the labels that models learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from trueground.contracts import ReviewsExtra
from trueground.errors import InputError
from trueground.review.kinds import Opinion, review_kind
from trueground.review.project import ReviewRun
from trueground.review.steps import Reviewed, reviewed, saying
from trueground.tasks import task_type
from trueground.tasks.base import Answer, DataObject, Label, TaskType

Outcome = Literal["accepted", "confirmed", "corrected", "unresolved", "unanswered"]
"""What becomes of a prediction: nobody was asked; it was right; it was not; nobody could tell; nobody answered."""


def merge_reviews(run: ReviewRun) -> dict[str, Any]:
    """Publish a run's results in ``published/``; repeated, it writes the same again, but for the date of labels.

    - ``reviews.jsonl`` and ``reviews.parquet``: every prediction with its ``outcome``, its ``final`` value, why it was
      reviewed, and who said what;
    - ``labels.manifest``, where the predictions are labels: the reviewed objects, with their final values.

    Of each part of a prediction, what most reviewers say counts, of the escalation team if they were asked. As many for
    one thing as for another: the prediction, if it is among them, else what was said first. Labels of several reviewers
    are consolidated as those of a labeling job are.

    Returns:
        The facts that consumers read, as :class:`~trueground.contracts.ReviewsExtra` has them.
    """
    # In the function, since a DAG file that names a project must load quickly.
    from trueground.reports.review_table import write_review_table

    counts: Counter[Outcome] = Counter()
    labels = _labels(run)
    rows = run.uri("published", "reviews.jsonl")

    def counted() -> Iterator[dict[str, Any]]:
        for row in _rows(run, labels):
            counts[row["outcome"]] += 1
            yield row

    run.write_lines(counted(), "published", "reviews.jsonl")
    if not counts:
        raise InputError("there is nothing to publish", file=rows, hint="Every prediction was set aside, or none came.")
    table = run.uri("published", "reviews.parquet")
    write_review_table(run.storage, table, run.read_lines("published", "reviews.jsonl"))
    manifest = None
    if run.project.source.service == "custom":
        manifest = run.uri("published", "labels.manifest")
        run.write_lines(_labeled(run, labels), "published", "labels.manifest")
    facts: dict[str, Any] = {
        "project": run.project.name,
        "run": run.name,
        "reviews": rows,
        "table": table,
        "labels": manifest,
        "label_attribute": run.project.label_attribute if manifest else None,
        "objects": counts.total(),
        "reviewed": counts.total() - counts["accepted"],
        "accepted": counts["accepted"],
        "changed": counts["corrected"],
        "unresolved": counts["unresolved"],
        "unanswered": counts["unanswered"],
        "set_aside": sum(1 for _ in run.read_lines("set-aside.jsonl")),
    }
    extra = ReviewsExtra(**facts).as_extra()
    run.write_json(extra, "published", "facts.json")
    return extra


def consensus(found: Reviewed, label: Label | None = None) -> Opinion:
    """What people say of the parts of a prediction. ``label``: the consolidated one, if parts are labels."""
    final: Opinion = {}
    for part in found.parts:
        experts = [opinion[part] for step, opinion in found.opinions if step == "escalation" and part in opinion]
        said = experts or [opinion[part] for _, opinion in found.opinions if part in opinion]
        if not said:
            continue
        votes = Counter(map(saying, said))
        leaders = [value for value in said if votes[saying(value)] == max(votes.values())]
        final[part] = found.predicted[part] if found.predicted.get(part) in leaders else leaders[0]
        if label is not None and not experts:
            final[part] = label.value
    return final


def _rows(run: ReviewRun, labels: Mapping[str, Label]) -> Iterator[dict[str, Any]]:
    kind = review_kind(run.project.source.service)
    for found in reviewed(run):
        opinion = consensus(found, labels.get(found.line["id"]))
        prediction, final = kind.value(found.line, {}), kind.value(found.line, opinion)
        outcome: Outcome = "confirmed" if final == prediction else "corrected"
        if not opinion:
            outcome = "unresolved" if found.answers else "unanswered"
        yield {
            **_object_of(found.line),
            "prediction": prediction,
            "outcome": outcome,
            "final": final if opinion else None,
            "agreement": _agreement(found, opinion),
            "reasons": found.line["reasons"],
            "reviews": [
                {
                    **{name: answer[name] for name in ("step", "worker", "submitted_at", "seconds", "loop", "output")},
                    "value": kind.value(found.line, said) if said else None,
                }
                for answer, (_, said) in zip(found.answers, found.opinions, strict=True)
            ],
        }
    for line in run.read_lines("accepted.jsonl"):
        value = kind.value(line, {})
        yield {
            **_object_of(line),
            "prediction": value,
            "outcome": "accepted",
            "final": value,
            "agreement": None,
            # Only what the day's budget did not reach has some.
            "reasons": line.get("reasons", []),
            "reviews": [],
        }


def _object_of(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: line[key] for key in ("id", "source-ref", "source", "service") if key in line}


def _agreement(found: Reviewed, opinion: Opinion) -> float | None:
    """Of the part that most reviewers dispute, the share that says what became of it; ``None`` if nobody could tell."""
    shares = []
    for part, value in opinion.items():
        votes = found.votes(part)
        shares.append(votes[saying(value)] / votes.total())
    return min(shares, default=None)


def _task_type(line: Mapping[str, Any]) -> TaskType:
    return task_type("text-classification" if "source" in line else "image-classification")


def _labels(run: ReviewRun) -> dict[str, Label]:
    """The labels of the objects that several people reviewed as well as of all others, consolidated together."""
    if run.project.source.service != "custom":
        return {}
    answers: list[Answer] = []
    types: dict[str, TaskType] = {}
    for found in reviewed(run):
        for answer, (step, opinion) in zip(found.answers, found.opinions, strict=True):
            if step != "escalation" and "label" in opinion:
                content = {"crowd-classifier": {"label": opinion["label"]}}
                answers.append(Answer(found.line["id"], answer["worker"], content))
                types[found.line["id"]] = _task_type(found.line)
    labels: dict[str, Label] = {}
    for kind in dict.fromkeys(types.values()):
        own = [answer for answer in answers if types[answer.object_id] is kind]
        labels |= {label.object_id: label for label in kind.consolidate(own, run.project.labels)}
    return labels


def _labeled(run: ReviewRun, labels: Mapping[str, Label]) -> Iterator[DataObject]:
    """What people reviewed and could tell, with the final values that the merged rows have."""
    created = datetime.now(UTC).replace(tzinfo=None)
    for row in run.read_lines("published", "reviews.jsonl"):
        if row["outcome"] not in ("confirmed", "corrected"):
            continue
        label = labels.get(row["id"])
        confidence = label.confidence if label is not None and label.value == row["final"] else 0.0
        media = {key: row[key] for key in ("source-ref", "source") if key in row}
        yield media | _task_type(row).write_label(
            Label(row["id"], row["final"], confidence),
            run.project.label_attribute,
            run.project.labels,
            job_name=f"{run.project.name}-review",
            created=created,
        )
