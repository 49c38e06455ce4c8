"""The audit of labels that no person looked at: draw some each night, have them judged, tell if the promise holds.

All that is known lies below ``<output>/audits/``: a folder a night with what was drawn, with which probability, and
what people said, each written once; ``state.json`` follows from these records alone, so any step may be repeated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from trueground import storage as paths
from trueground.answers import read_job_answers
from trueground.autolabel.suspension import state_uri
from trueground.manifests import object_key, read_manifest, write_manifest
from trueground.quality.prediction_powered import AuditDesign
from trueground.reports.pages import render_audit_report
from trueground.review import drift
from trueground.review.audit_estimate import estimate, judged_of, night_facts, read_night
from trueground.review.verification import JUDGEMENTS, WRONG
from trueground.run import Run, folder_name
from trueground.tasks import task_type


def draw(run: Run, labels_uri: str, count: int) -> int:
    """Draw labels to judge and write the night's ``input.manifest``: those that nobody judged yet. Test for drift.

    A night that was drawn before stays as it is.

    Args:
        run: its name is the night's.
        labels_uri: the published manifest.
        count: how many draws among those that nobody judged yet; a label that is drawn twice is asked about once.

    Returns:
        How many labels people are asked about; 0 where no label came from a machine, or all were judged.

    Raises:
        InputError: the manifest cannot be read.
    """
    night = _read(run, "draw.json")
    if night is not None:
        return int(night["asked"])
    drift.record(run, _uri(run), read_manifest(run.storage, labels_uri))
    attribute, lines, labels = run.project.label_attribute, [], []
    for line in read_manifest(run.storage, labels_uri):
        label = run.task_type.read_label(line, attribute, run.categories)
        if label is not None and not label.human:
            lines.append(line)
            labels.append(label)
    if not labels:
        return 0
    known = _judged(run)
    rows = [
        {
            "object": label.object_id,
            "label": str(label.value),
            "model": str(line.get(f"{attribute}-metadata", {}).get("job-name", "")).rpartition("/")[2],
            "prefix": paths.parent(line["source-ref"]) if "source-ref" in line else "",
        }
        for line, label in zip(lines, labels, strict=True)
    ]
    judged = {i: known[key] for i, row in enumerate(rows) if (key := (row["object"], row["label"])) in known}
    design = AuditDesign.active([label.confidence for label in labels], judged)
    seed = hashlib.sha256(f"{run.project.name} {run.name} {run.project.rounds.seed}".encode()).digest()
    numbers = design.draw(count, int.from_bytes(seed[:8], "big")).tolist()
    ask = sorted(set(numbers))
    write_manifest(run.storage, input_manifest(run), (lines[i] for i in ask))
    facts = {**night_facts(run.name, design, numbers, rows), "asked": len(ask)}
    # Last: a night without this file was not drawn.
    _write(run, facts, "draw.json")
    return len(ask)


def input_manifest(run: Run) -> str:
    """The URI of the labels that people are asked about in this night."""
    return _uri(run, "input.manifest")


def collect(run: Run, job_output: str | None) -> dict[str, Any] | None:
    """Read the judgements of the night's verification job and :func:`record` them.

    Args:
        run: its name is the night's.
        job_output: where the job's answers are; ``None`` where nobody was asked.

    Returns:
        What :func:`record` does; ``None`` for a night in which nothing was looked at.
    """
    if job_output is None:
        return record(run, {}) if run.storage.exists(_uri(run, "drift.json")) else None
    answers = read_job_answers(run.storage, job_output, input_manifest(run))
    judgements = task_type("label-verification").consolidate(answers, JUDGEMENTS)
    return record(run, {judgement.object_id: judgement.value == WRONG for judgement in judgements})


def record(run: Run, wrong: Mapping[str, bool]) -> dict[str, Any]:
    """Keep what people said of the night's labels, whether each is wrong by object key, and bring the state up to date.

    What was recorded for a night before stays. A label that nobody judged is left out, as by chance.

    Returns:
        The state: what :func:`~trueground.review.audit_estimate.estimate` says of all nights; ``report``, the page's
        URI; and what :meth:`trueground.review.drift.Drift.to_json` tells.
    """
    if run.storage.exists(_uri(run, "draw.json")) and _read(run, "judgements.json") is None:
        asked = {object_key(line) for line in read_manifest(run.storage, input_manifest(run))}
        _write(run, {key: bool(value) for key, value in wrong.items() if key in asked}, "judgements.json")
    state = {
        **estimate(_nights(run), run.project.auto_label),
        "report": paths.join(run.project.output, "audits", "report.html"),
        **drift.read_drift(run, paths.join(run.project.output, "audits")).to_json(),
    }
    run.storage.write_text(state["report"], render_audit_report(run.project.name, state))
    # Last: who reads the state finds the page that it names.
    run.storage.write_text(state_uri(run.project), json.dumps(state, indent=1, ensure_ascii=False) + "\n")
    return state


def keep_night(run: Run, facts: dict[str, Any], wrong: Mapping[str, bool]) -> dict[str, Any]:
    """Keep a night that was judged without an audit's asking, and bring the state up to date.

    Args:
        run: its name is the night's.
        facts: as :func:`~trueground.review.audit_estimate.night_facts` gives them.
        wrong: by object key whether the label drawn is wrong.
    """
    if _read(run, "judgements.json") is None:
        _write(run, facts, "draw.json")
        _write(run, dict(wrong), "judgements.json")
    return record(run, {})


def _nights(run: Run) -> Iterator[tuple[Mapping[str, Any], dict[str, bool]]]:
    """All nights that were judged, in the order they were drawn."""
    folder = paths.join(run.project.output, "audits")
    if not run.storage.exists(folder):
        return
    names = [uri.split("/")[-2] for uri in run.storage.list(folder) if uri.endswith("/judgements.json")]
    nights = [
        (read_night(_read(run, "draw.json", night=name)), _read(run, "judgements.json", night=name)) for name in names
    ]
    yield from sorted(nights, key=lambda item: (item[0]["time"], item[0]["night"]))


def _judged(run: Run) -> dict[tuple[str, str], bool]:
    """Whether it is wrong, by object and label, of all that people judged in any night."""
    known: dict[tuple[str, str], bool] = {}
    for night, said in _nights(run):
        known |= judged_of(night, said)
    return known


def _uri(run: Run, *file: str, night: str | None = None) -> str:
    return paths.join(run.project.output, "audits", night or folder_name(run.name), *file)


def _read(run: Run, file: str, night: str | None = None) -> Any:
    try:
        return json.loads(run.storage.read_text(_uri(run, file, night=night)))
    except FileNotFoundError:
        return None


def _write(run: Run, facts: Any, file: str) -> None:
    run.storage.write_text(_uri(run, file), json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
