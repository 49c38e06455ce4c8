"""Verification and adjustment: people judge labels, other people correct those that were rejected.

Two kinds of labels are judged. The least sure ones, because errors gather there; and a random sample of the rest,
human and machine labels apart, because only a random sample tells how right the rest is. The certificate is computed
from both.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from trueground.answers import consolidate_run, load_answers, read_job_answers, save_answers
from trueground.autolabel.rounds import human_labels, last_round, machine_labels, round_answers
from trueground.autolabel.suspension import read_audit
from trueground.manifests import object_key
from trueground.quality.certificate import AuditedStratum, Certificate, certify
from trueground.run import Run
from trueground.tasks import task_type
from trueground.tasks.base import Answer, DataObject, Label

RIGHT, WRONG = "right", "wrong"
JUDGEMENTS = [RIGHT, WRONG]
"""The categories of a verification task, in this order."""


AUDIT_FACTS = ("promise", "since", "lower", "upper", "confidence", "reviews")
"""What a certificate says of the audits."""
DECISIONS = ("adjudication", "labels.jsonl")
"""Where a run keeps what one person decided; see :mod:`trueground.review.adjudication`."""


@dataclass(frozen=True)
class Choice:
    """Which labels are judged. The lists hold object keys.

    ``least_sure`` are all judged; ``sample`` is a random sample of the other labels of each kind, whose numbers are
    in ``population``.
    """

    least_sure: list[str] = field(default_factory=list)
    sample: dict[str, list[str]] = field(default_factory=dict)
    population: dict[str, int] = field(default_factory=dict)


def labels_before(run: Run) -> dict[str, Label]:
    """The labels that the rounds made, human and machine, by object key."""
    number = last_round(run)
    return {**machine_labels(run, number), **human_labels(run, number)}


def choose(run: Run, look: str = "") -> int:
    """Choose the labels to judge and write the manifest of the verification job; returns how many they are.

    ``look`` names a later look at the same run: then only labels that nobody judged before are asked about, and what
    was judged stays in the choice.
    """
    settings = run.project.verification
    labels = labels_before(run)
    by_doubt = sorted(labels.values(), key=lambda label: (label.confidence, label.object_id))
    chosen = run.read_json("verification", "choice.json") if look else None
    earlier = Choice(**chosen) if chosen else Choice()
    most_unsure = max(settings.least_sure, len(earlier.least_sure))
    least_sure = {label.object_id for label in by_doubt[:most_unsure]}
    strata = {
        "human": [key for key, label in labels.items() if label.human and key not in least_sure],
        "machine": [key for key, label in labels.items() if not label.human and key not in least_sure],
    }
    randomness = random.Random(f"{run.project.name} {run.name} {run.project.rounds.seed}")
    sizes = share_sample(settings.sample, {name: len(keys) for name, keys in strata.items()})
    # The first of a random order: of a larger sample, those that a smaller one had are a part.
    drawn = {
        name: randomness.sample(keys, len(keys))[: max(sizes[name], len(earlier.sample.get(name, ())))]
        for name, keys in strata.items()
    }
    choice = Choice(
        least_sure=sorted(least_sure),
        sample={name: sorted(keys) for name, keys in drawn.items()},
        population={name: len(keys) for name, keys in strata.items()},
    )
    run.write_json(asdict(choice), "verification", "choice.json")
    judged = {*choice.least_sure, *(key for keys in choice.sample.values() for key in keys)}
    if look:
        judged -= {answer.object_id for answer in load_answers(run, "verification", "answers.jsonl")}
    created, job_name = datetime.now(UTC).replace(tzinfo=None), run.project.job_name(run.name, "labels")
    lines = (
        with_label(run, line, labels, job_name=job_name, created=created)
        for line in run.objects()
        if object_key(line) in judged
    )
    return run.write_lines(lines, "verification", job_input(look))


def job_input(look: str = "") -> str:
    """The file name of a job's manifest: of the run's own verification, or of a later look."""
    return f"{look}.manifest" if look else "input.manifest"


def _with_earlier(run: Run, answers: list[Answer], look: str, part: str) -> list[Answer]:
    """Answers together with those of earlier looks; each worker's to an object once."""
    earlier = load_answers(run, part, "answers.jsonl") if look else []
    return list({(answer.object_id, answer.worker_id): answer for answer in [*earlier, *answers]}.values())


def share_sample(total: int, populations: Mapping[str, int]) -> dict[str, int]:
    """Share a sample among strata in proportion to the square root of their size, at most the whole stratum.

    Each stratum has its own promise, whose width hangs on its own sample; proportional shares would starve the
    smaller one, equal shares would waste on it.
    """
    sizes = dict.fromkeys(populations, 0)
    open_strata = {name for name, count in populations.items() if count}
    left = min(total, sum(populations.values()))
    while left > 0 and open_strata:
        weight = sum(math.sqrt(populations[name]) for name in open_strata)
        portions = {name: max(1, int(left * math.sqrt(populations[name]) / weight)) for name in sorted(open_strata)}
        for name, portion in portions.items():
            taken = min(portion, populations[name] - sizes[name], left)
            sizes[name] += taken
            left -= taken
            if sizes[name] == populations[name]:
                open_strata.discard(name)
    return sizes


def collect(run: Run, job_output: str, look: str = "") -> dict[str, int]:
    """Read the judgements and write the manifest of the adjustment job: all labels that people rejected.

    In a later look, those are left out that people looked at again before.

    Returns:
        How many labels were judged and how many rejected.
    """
    answers = list(read_job_answers(run.storage, job_output, run.uri("verification", job_input(look))))
    answers = _with_earlier(run, answers, look, "verification")
    save_answers(run, answers, "verification", "answers.jsonl")
    judgements = task_type("label-verification").consolidate(answers, JUDGEMENTS)
    run.write_labels(judgements, "verification", "judgements.jsonl")
    rejected = {judgement.object_id for judgement in judgements if judgement.value == WRONG}
    if look:
        rejected -= {answer.object_id for answer in load_answers(run, "adjustment", "answers.jsonl")}
    lines = (line for line in run.objects() if object_key(line) in rejected)
    run.write_lines(lines, "adjustment", job_input(look))
    return {"judged": len(judgements), "rejected": len(rejected)}


def adjust(run: Run, job_output: str, look: str = "") -> dict[str, int]:
    """Read the adjustment job's answers; what they change shows in :func:`final_labels`.

    Returns:
        How many labels were looked at again and how many changed.
    """
    answers = list(read_job_answers(run.storage, job_output, run.uri("adjustment", job_input(look))))
    answers = _with_earlier(run, answers, look, "adjustment")
    save_answers(run, answers, "adjustment", "answers.jsonl")
    before, after = labels_before(run), final_labels(run)
    looked_at = {answer.object_id for answer in answers}
    return {"looked_at": len(looked_at), "changed": sum(before[key].value != after[key].value for key in looked_at)}


def final_labels(run: Run) -> dict[str, Label]:
    """The labels after verification and adjustment, by object key.

    A label that people looked at again is consolidated from all answers it ever got, and counts as human; what one
    person decided afterwards stands.
    ``extra["adjustment-status"]`` tells ``adjusted`` from ``unadjusted``, as on AWS.
    """
    before = labels_before(run)
    adjustments = load_answers(run, "adjustment", "answers.jsonl")
    if not adjustments:
        return before
    looked_at = {answer.object_id for answer in adjustments}
    again = consolidate_run(run, [*round_answers(run, last_round(run)), *adjustments])
    again |= run.read_labels(*DECISIONS)
    return {**before, **{key: _adjusted(before[key], again[key]) for key in looked_at if key in again}}


def _adjusted(before: Label, after: Label) -> Label:
    status = "adjusted" if before.value != after.value else "unadjusted"
    return Label(after.object_id, after.value, after.confidence, human=True, extra={"adjustment-status": status})


def judgements(run: Run) -> dict[str, Label]:
    """What the verifying team said, by object key; empty where nothing was verified."""
    return run.read_labels("verification", "judgements.jsonl")


def certificate(run: Run) -> Certificate:
    """How right the final labels are, by what the random samples of the verification showed.

    A label counts as wrong if people rejected it and the adjustment changed it; a rejected label that other people
    confirmed does not.
    """
    facts = run.read_json("verification", "choice.json")
    choice = Choice(**facts) if facts else Choice()
    before, after, judged = labels_before(run), final_labels(run), judgements(run)
    strata = []
    for name in ("human", "machine"):
        labels = [key for key, label in before.items() if label.human == (name == "human")]
        if not labels:
            continue
        sample = [key for key in choice.sample.get(name, []) if key in judged]
        censused = [key for key in choice.least_sure if key in judged and before[key].human == (name == "human")]
        strata.append(
            AuditedStratum(
                name=name,
                labels=len(labels),
                checked_all=len(censused),
                sampled=len(sample),
                sample_wrong=_changed(sample, before, after),
                population=len(labels) - len(censused),
            )
        )
    return replace(certify(strata, run.project.auto_label.confidence), audit=_audit(run))


def _audit(run: Run) -> dict[str, Any] | None:
    """What the audits say by now, for the certificate."""
    state = read_audit(run.project, run.storage)
    return {name: state[name] for name in AUDIT_FACTS} if "upper" in state else None


def _changed(keys: Iterable[str], before: Mapping[str, Label], after: Mapping[str, Label]) -> int:
    return sum(before[key].value != after[key].value for key in keys)


def with_label(
    run: Run, line: DataObject, labels: Mapping[str, Label], *, job_name: str, created: datetime
) -> DataObject:
    """A manifest line with the label it has in ``labels``, in Ground Truth's form. ``created`` is UTC without zone."""
    label = labels[object_key(line)]
    attribute = run.project.label_attribute
    written = run.task_type.write_label(label, attribute, run.categories, job_name=job_name, created=created)
    if status := label.extra.get("adjustment-status"):
        written[f"{attribute}-metadata"]["adjustment-status"] = status
    return {**line, **written}
