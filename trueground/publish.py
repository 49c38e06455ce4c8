"""The end of a run: check the labels, publish them as a set that others can rely on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from trueground.answers import append_history, load_answers
from trueground.autolabel.rounds import last_round, round_answers
from trueground.contracts import LabelsExtra
from trueground.errors import InputError
from trueground.manifests import object_key, read_manifest, write_manifest
from trueground.reports import render_checks_page, render_label_report
from trueground.review import verification, withheld
from trueground.run import Run
from trueground.tasks.base import Answer, DataObject

if TYPE_CHECKING:
    from trueground.quality.expectations import Checks


def check_final_labels(run: Run) -> tuple[Checks, str]:
    """Write the run's final labels as ``labels.manifest`` and check them.

    Returns:
        The checks, and the URI of the page that shows them.
    """
    from trueground.quality.expectations import check_labels

    labels = verification.final_labels(run)
    created = datetime.now(UTC).replace(tzinfo=None)
    objects = run.objects()
    lines = [
        verification.with_label(run, line, labels, job_name=_job_name(run), created=created)
        for line in objects
        if object_key(line) in labels
    ]
    run.write_lines(lines, "labels.manifest")
    checks = check_labels(
        lines,
        attribute=run.project.label_attribute,
        categories=run.categories,
        expected_keys=[object_key(line) for line in objects],
    )
    page = run.uri("checks", "labels.html")
    run.storage.write_text(page, render_checks_page(f"Labels of {run.project.name}", checks))
    run.write_json(checks.to_json(), "checks", "labels.json")
    return checks, page


def publish(run: Run, previous: str | None, folder: str = "published") -> dict[str, Any]:
    """Publish the checked labels beside the run: manifest, table, certificate, report.

    Args:
        run: the run, after :func:`check_final_labels`.
        previous: the URI of the label set that this one extends; ``None`` starts a new one.
        folder: where in the run's folder; another one each time that a run is published.

    Returns:
        The facts that consumers read, as :class:`~trueground.contracts.LabelsExtra` has them. ``labels`` is the
        manifest of all runs' labels, ``run_labels`` of this one's. Both stay as they are for ever; a later run writes
        its own.
    """
    from trueground.reports.summary import label_report
    from trueground.reports.tables import labels_table, write_parquet

    lines = list(read_manifest(run.storage, run.uri("labels.manifest")))
    if not lines:
        raise InputError("there is no label to publish", file=run.uri("labels.manifest"), hint="Nothing was labeled.")
    attribute = run.project.label_attribute
    total = write_manifest(run.storage, run.uri(folder, "all.manifest"), _extended(run, previous, lines))
    write_manifest(run.storage, run.uri(folder, "labels.manifest"), lines)
    write_parquet(run.storage, run.uri(folder, "labels.parquet"), labels_table(lines, attribute))
    certificate = verification.certificate(run)
    run.write_json(certificate.to_json(), folder, "certificate.json")
    answers = all_answers(run)
    append_history(run, answers)
    human = sum(line[f"{attribute}-metadata"]["human-annotated"] == "yes" for line in lines)
    seen = len({answer.object_id for answer in answers})
    facts: dict[str, Any] = {
        "project": run.project.name,
        "run": run.name,
        "label_attribute": attribute,
        "labels": run.uri(folder, "all.manifest"),
        "run_labels": run.uri(folder, "labels.manifest"),
        "table": run.uri(folder, "labels.parquet"),
        "certificate_uri": run.uri(folder, "certificate.json"),
        "report": run.uri(folder, "report.html"),
        "objects": len(lines),
        "all_objects": total,
        "human": human,
        "machine": len(lines) - human,
        "answers": len(answers),
        "seen_by_people": seen,
        "human_share": seen / len(lines) if lines else 0.0,
        "certificate": certificate.to_json(),
        "night": run.night,
    }
    facts = LabelsExtra(**facts).as_extra()
    run.storage.write_text(facts["report"], render_label_report(label_report(run, lines, answers, certificate, facts)))
    run.write_json(facts, folder, "facts.json")
    withheld.compare(run)
    return facts


def all_answers(run: Run) -> list[Answer]:
    """Every answer that people gave in this run, judgements and adjustments too."""
    return [
        *round_answers(run, last_round(run)),
        *load_answers(run, "verification", "answers.jsonl"),
        *load_answers(run, "adjustment", "answers.jsonl"),
    ]


def _extended(run: Run, previous: str | None, lines: list[DataObject]) -> Iterator[DataObject]:
    """The earlier label set with this run's labels in place of its own for the same objects, streamed."""
    own = {object_key(line) for line in lines}
    if previous is not None:
        yield from (line for line in read_manifest(run.storage, previous) if object_key(line) not in own)
    yield from lines


def _job_name(run: Run) -> str:
    return run.project.job_name(run.name, "labels")
