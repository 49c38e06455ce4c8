"""From a finished run to its report: read what the steps left behind, count, and choose what to look at."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

from trueground.autolabel.rounds import RoundState, last_round
from trueground.manifests import object_key
from trueground.quality.certificate import Certificate, CertifiedStratum
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
from trueground.reports.images import data_uri
from trueground.reports.pages import CLASSES_SHOWN, SAMPLES_A_CLASS
from trueground.review import verification
from trueground.run import Run
from trueground.storage import Storage
from trueground.tasks.base import Answer, DataObject, Label

LEAST_SURE_SHOWN = 24
CORRECTED_SHOWN = 24
NOTES_SHOWN = 5
READERS = 16
"""Images read at the same time: on S3 each is a round trip."""


def label_report(
    run: Run, lines: Sequence[DataObject], answers: Sequence[Answer], certificate: Certificate, facts: Mapping[str, Any]
) -> LabelReport:
    """The report of a run that was published.

    Args:
        run: the run.
        lines: the published manifest.
        answers: every answer people gave in the run, judgements too.
        certificate: how right the labels are.
        facts: what ``trueground.publish`` tells consumers; its URIs become links.
    """
    attribute, categories = run.project.label_attribute, run.categories
    read = ((line, run.task_type.read_label(line, attribute, categories)) for line in lines)
    labeled = [(line, label) for line, label in read if label is not None]
    usable = _usable(run, answers)
    changed = _changes(run)
    machine = sum(not label.human for _, label in labeled)
    created = [line[f"{attribute}-metadata"].get("creation-date", "") for line, _ in labeled]
    return LabelReport(
        project=run.project.name,
        description=run.project.description,
        run=run.name,
        started=_moment(min((answer.accepted_at for answer in answers if answer.accepted_at), default=None)),
        finished=_moment(datetime.fromisoformat(max(created)) if any(created) else None),
        objects=len(run.objects()),
        people=len(labeled) - machine,
        machine=machine,
        answers=len(answers),
        workers_per_object=run.project.people.workers_per_object,
        accuracy=_accuracy(run, certificate),
        rounds=_rounds(run),
        classes=_classes(label for _, label in labeled),
        confidences={
            "people": tuple(label.confidence for _, label in labeled if label.human),
            "machine": tuple(label.confidence for _, label in labeled if not label.human),
        },
        workers=_workers(run, answers, usable, [label for _, label in labeled]),
        agreement=run.task_type.agreement(usable, categories),
        verification=_verification(run, changed),
        samples=_with_pictures(run, _choose_samples(labeled, seed=run.name)),
        least_sure=_with_pictures(
            run, sorted(labeled, key=lambda item: (item[1].confidence, item[1].object_id))[:LEAST_SURE_SHOWN]
        ),
        corrected=_with_pictures(
            run, [item for item in labeled if item[1].object_id in changed][:CORRECTED_SHOWN], changed
        ),
        links=_links(facts),
        checks=_checks(run),
    )


def _accuracy(run: Run, certificate: Certificate) -> Accuracy:
    strata = {stratum.name: stratum for stratum in certificate.strata}
    return Accuracy(
        confidence=certificate.confidence,
        promised=run.project.auto_label.accuracy if run.project.auto_label.enabled else None,
        people=_bound(strata.get("human")),
        machine=_bound(strata.get("machine")),
        overall=Bound(
            objects=sum(stratum.labels for stratum in certificate.strata),
            lower=certificate.bound,
            estimate=_estimate(certificate.strata),
        ),
        method=certificate.method,
        assumptions=certificate.assumptions,
        audit=certificate.audit,
    )


def _bound(stratum: CertifiedStratum | None) -> Bound | None:
    if stratum is None:
        return None
    return Bound(
        objects=stratum.labels,
        lower=stratum.bound,
        estimate=_estimate([stratum]),
        audited=stratum.sampled,
        wrong=stratum.sample_wrong,
        method=f"Besides, the {stratum.checked_all:,} least sure were judged one and all."
        if stratum.checked_all
        else "",
    )


def _estimate(strata: Sequence[CertifiedStratum]) -> float | None:
    """The likeliest share of right labels: outside the sample as in it, where errors were corrected."""
    unseen = [stratum for stratum in strata if stratum.population > stratum.sampled]
    labels = sum(stratum.labels for stratum in strata)
    if not labels or any(not stratum.sampled for stratum in unseen):
        return None
    wrong = sum((item.population - item.sampled) * item.sample_wrong / item.sampled for item in unseen)
    return 1 - wrong / labels


def _rounds(run: Run) -> tuple[Round, ...]:
    rounds, audited = [], 0
    for number in range(1, last_round(run) + 1):
        facts = run.read_json("rounds", str(number), "state.json")
        if facts is None:
            continue
        state = RoundState(**facts)
        audited += (run.read_json("rounds", str(number), "settlement.json") or {}).get("audited", 0)
        rounds.append(
            Round(
                number=number,
                people=state.human,
                machine=state.machine,
                open=state.open,
                audited=min(audited, state.human),
            )
        )
    return tuple(rounds)


def _classes(labels: Iterable[Label]) -> tuple[ClassCount, ...]:
    counts = Counter((_shown(label.value), label.human) for label in labels)
    names = sorted({name for name, _ in counts})
    return tuple(ClassCount(name=name, people=counts[name, True], machine=counts[name, False]) for name in names)


def _usable(run: Run, answers: Iterable[Answer]) -> list[Answer]:
    """The answers that are labels, not judgements of labels, and can be read."""
    return [answer for answer in answers if run.task_type.can_parse(answer.content, run.categories)]


def _workers(
    run: Run, answers: Sequence[Answer], usable: Sequence[Answer], labels: Iterable[Label]
) -> tuple[Worker, ...]:
    """What each worker did; a worker's accuracy is the share of own answers that are the published label."""
    published = {label.object_id: label.value for label in labels}
    right: Counter[str] = Counter()
    judged: Counter[str] = Counter()
    for answer in usable:
        if answer.object_id in published:
            judged[answer.worker_id] += 1
            value = run.task_type.parse_answer(answer.content, run.categories)
            right[answer.worker_id] += value == published[answer.object_id]
    seconds: dict[str, list[float]] = {}
    for answer in answers:
        seconds.setdefault(answer.worker_id, []).append(answer.seconds)
    return tuple(
        Worker(
            name=worker.rsplit(".", 1)[-1],
            answers=len(times),
            accuracy=right[worker] / judged[worker] if judged[worker] else None,
            seconds=statistics.median(times),
        )
        for worker, times in seconds.items()
    )


def _changes(run: Run) -> dict[str, Label]:
    """The labels that an adjustment changed, as they were before, by object key."""
    before, after = verification.labels_before(run), verification.final_labels(run)
    return {key: label for key, label in before.items() if after[key].value != label.value}


def _verification(run: Run, changed: Mapping[str, Label]) -> Verification | None:
    judgements = verification.judgements(run)
    if not judgements:
        return None
    after = verification.final_labels(run)
    pairs = Counter((_shown(label.value), _shown(after[key].value)) for key, label in changed.items())
    return Verification(
        judged=len(judgements),
        rejected=sum(judgement.value == verification.WRONG for judgement in judgements.values()),
        adjusted=len(changed),
        changes=tuple(Change(before=old, after=new, count=count) for (old, new), count in pairs.most_common()),
    )


def _choose_samples(labeled: Sequence[tuple[DataObject, Label]], *, seed: str) -> list[tuple[DataObject, Label]]:
    """A random few of each class, of the largest classes."""
    by_class: dict[str, list[tuple[DataObject, Label]]] = {}
    for item in labeled:
        by_class.setdefault(_shown(item[1].value), []).append(item)
    largest = sorted(by_class.values(), key=len, reverse=True)[:CLASSES_SHOWN]
    randomness = random.Random(seed)
    return [item for items in largest for item in randomness.sample(items, min(SAMPLES_A_CLASS, len(items)))]


def _with_pictures(
    run: Run, items: Sequence[tuple[DataObject, Label]], before: Mapping[str, Label] | None = None
) -> tuple[Sample, ...]:
    samples = []
    for line, label in items:
        was = before.get(label.object_id) if before else None
        samples.append(
            Sample(
                key=object_key(line),
                label=_shown(label.value),
                confidence=label.confidence,
                human=label.human,
                text=line.get("source"),
                before=_shown(was.value) if was else None,
            )
        )
    if run.task_type.media != "image":
        return tuple(samples)
    with ThreadPoolExecutor(READERS) as readers:
        pictures = readers.map(lambda item: _picture(run.storage, item[0]["source-ref"]), items)
        return tuple(replace(sample, image=picture) for sample, picture in zip(samples, pictures, strict=True))


def _picture(storage: Storage, uri: str) -> str | None:
    """The thumbnail of an image; a file that is gone by now costs the report one picture, not the report."""
    try:
        return data_uri(storage.read_bytes(uri))
    except OSError:
        return None


def _checks(run: Run) -> tuple[CheckLine, ...]:
    """What the checks before publishing found; warnings say what for."""
    facts = run.read_json("checks", "labels.json") or {"results": []}
    return tuple(
        CheckLine(
            name=result["name"],
            passed=result["passed"],
            note="" if result["passed"] else "; ".join(example["text"] for example in result["examples"][:NOTES_SHOWN]),
            warning=result["severity"] == "warning",
        )
        for result in facts["results"]
    )


def _links(facts: Mapping[str, Any]) -> tuple[Link, ...]:
    known = [
        ("Labels of this run", "run_labels", "augmented manifest, in Ground Truth's form"),
        ("Labels of all runs", "labels", "augmented manifest"),
        ("Table", "table", "Parquet"),
        ("Certificate", "certificate_uri", "JSON"),
    ]
    return tuple(Link(name=name, uri=facts[key], note=note) for name, key, note in known if facts.get(key))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _moment(moment: datetime | None) -> str:
    """A time for people, in UTC."""
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC" if moment else ""
