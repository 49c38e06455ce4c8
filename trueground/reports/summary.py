"""What the label report of a run says: read from the run's folder, put into the report's own terms."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from trueground.autolabel.rounds import RoundState, last_round
from trueground.manifests import object_key
from trueground.quality.certificate import Certificate
from trueground.reports.data import (
    Accuracy,
    Bound,
    Change,
    CheckLine,
    ClassCount,
    LabelReport,
    Link,
    Round,
    Sample,
    Verification,
    Worker,
)
from trueground.review import verification
from trueground.run import Run
from trueground.tasks.base import Answer, AnswerError, DataObject, Label

SAMPLES_A_CLASS = 10
LEAST_SURE = 24
CORRECTED = 24


def label_report(
    run: Run,
    lines: Sequence[DataObject],
    answers: Sequence[Answer],
    certificate: Certificate,
    facts: Mapping[str, Any],
) -> LabelReport:
    """The report of a run whose labels are ``lines``; ``facts`` is what :func:`trueground.publish.publish` returns."""
    before, after = verification.labels_before(run), verification.final_labels(run)
    changed = {key: before[key] for key in after if key in before and before[key].value != after[key].value}
    objects = {object_key(line): line for line in lines}
    labels = [after[key] for key in objects]
    by_doubt = sorted(labels, key=lambda label: label.confidence)
    classes: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        classes[label.value].append(label)
    times = [answer.submitted_at for answer in answers if answer.submitted_at]
    checks = run.read_json("checks", "labels.json") or {"results": []}
    return LabelReport(
        project=run.project.name,
        description=run.project.description,
        run=run.name,
        started=f"{min(times):%Y-%m-%d %H:%M} UTC" if times else "",
        finished=f"{max(times):%Y-%m-%d %H:%M} UTC" if times else "",
        objects=len(lines),
        people=facts["human"],
        machine=facts["machine"],
        answers=len(answers),
        workers_per_object=run.project.people.workers_per_object,
        accuracy=_accuracy(run, certificate),
        rounds=tuple(_rounds(run)),
        classes=tuple(_class_count(name, classes.get(name, [])) for name in run.categories),
        confidences={
            "people": tuple(label.confidence for label in labels if label.human),
            "machine": tuple(label.confidence for label in labels if not label.human),
        },
        workers=tuple(_workers(run, answers, after)),
        agreement=run.task_type.agreement(_labeling_answers(run, answers), run.categories),
        verification=_verification(run, changed, after),
        samples=tuple(
            _sample(run, objects[label.object_id], label)
            for found in classes.values()
            for label in found[:: max(1, len(found) // SAMPLES_A_CLASS)][:SAMPLES_A_CLASS]
        ),
        least_sure=tuple(_sample(run, objects[label.object_id], label) for label in by_doubt[:LEAST_SURE]),
        corrected=tuple(
            _sample(run, objects[key], after[key], before=label.value) for key, label in list(changed.items())[:CORRECTED]
        ),
        links=(
            Link(name="Labels", uri=facts["run_labels"], note="augmented manifest, one line an object"),
            Link(name="All labels", uri=facts["labels"], note=f"of all runs, {facts['all_objects']} objects"),
            Link(name="Table", uri=facts["table"], note="Parquet"),
            Link(name="Certificate", uri=facts["certificate_uri"], note="JSON"),
        ),
        checks=tuple(CheckLine(name=item["name"], passed=item["passed"]) for item in checks["results"]),
    )


def _accuracy(run: Run, certificate: Certificate) -> Accuracy:
    bounds = {
        stratum.name: Bound(
            objects=stratum.labels,
            lower=stratum.accuracy_bound,
            audited=stratum.sampled + stratum.checked_all,
            wrong=stratum.sample_wrong,
            method=certificate.method,
        )
        for stratum in certificate.strata
    }
    return Accuracy(
        confidence=certificate.confidence,
        people=bounds.get("human"),
        machine=bounds.get("machine"),
        overall=Bound(objects=sum(s.labels for s in certificate.strata), lower=certificate.accuracy_bound),
        promised=run.project.auto_label.accuracy if run.project.auto_label.enabled else None,
    )


def _rounds(run: Run) -> list[Round]:
    rounds = []
    for number in range(1, last_round(run) + 1):
        state = RoundState(**run.read_json("rounds", str(number), "state.json"))
        settlement = run.read_json("rounds", str(number), "settlement.json") or {}
        rounds.append(
            Round(
                number=number,
                people=state.human,
                machine=state.machine,
                open=state.open,
                audited=settlement.get("audited", 0),
            )
        )
    return rounds


def _class_count(name: str, labels: Sequence[Label]) -> ClassCount:
    people = sum(label.human for label in labels)
    return ClassCount(name=name, people=people, machine=len(labels) - people)


def _labeling_answers(run: Run, answers: Sequence[Answer]) -> list[Answer]:
    """Those that carry a class of the project: not judgements."""
    found = []
    for answer in answers:
        try:
            run.task_type.parse_answer(answer.content, run.categories)
        except AnswerError:
            continue
        found.append(answer)
    return found


def _workers(run: Run, answers: Sequence[Answer], final: Mapping[str, Label]) -> list[Worker]:
    """Each worker's answers, and how often they gave the label that was published."""
    given: dict[str, list[Answer]] = defaultdict(list)
    hits: dict[str, list[bool]] = defaultdict(list)
    for answer in answers:
        given[answer.worker_id].append(answer)
    for answer in _labeling_answers(run, answers):
        value = run.task_type.parse_answer(answer.content, run.categories)
        hits[answer.worker_id].append(value == final[answer.object_id].value)
    return [
        Worker(
            name=worker,
            answers=len(own),
            accuracy=sum(hits[worker]) / len(hits[worker]) if hits[worker] else None,
            seconds=median(answer.seconds for answer in own),
        )
        for worker, own in given.items()
    ]


def _verification(run: Run, changed: Mapping[str, Label], after: Mapping[str, Label]) -> Verification | None:
    judged = verification.judgements(run)
    if not judged:
        return None
    counts = Counter((label.value, after[key].value) for key, label in changed.items())
    return Verification(
        judged=len(judged),
        rejected=sum(judgement.value == verification.WRONG for judgement in judged.values()),
        adjusted=len(changed),
        changes=tuple(Change(before=old, after=new, count=count) for (old, new), count in counts.most_common()),
    )


def _sample(run: Run, line: DataObject, label: Label, before: str | None = None) -> Sample:
    source = line[run.task_type.source_key]
    text = run.task_type.media == "text"
    return Sample(
        key=label.object_id,
        label=label.value,
        confidence=label.confidence,
        human=label.human,
        image=None if text else run.storage.read_bytes(source),
        text=source if text else None,
        before=before,
    )
