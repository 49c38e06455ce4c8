"""The audit of labels that no person looked at: draw some each night, have them judged, tell if the promise holds.

All that is known lies below ``<output>/audits/``: a folder a night with what was drawn, with which probability, and
what people said, each written once; ``state.json`` follows from these records alone, so any step may be repeated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from trueground import storage as paths
from trueground.answers import read_job_answers
from trueground.autolabel.suspension import BROKEN, HOLDS, UNKNOWN, state_uri
from trueground.manifests import object_key, read_manifest, write_manifest
from trueground.quality.prediction_powered import AuditDesign, corrected
from trueground.quality.sequences import ConfidenceSequence
from trueground.reports.pages import render_audit_report
from trueground.review import drift
from trueground.review.verification import JUDGEMENTS, WRONG
from trueground.run import Run, folder_name
from trueground.tasks import task_type


def draw(run: Run, labels_uri: str, count: int) -> int:
    """Draw labels to judge and write the night's ``input.manifest``: those that nobody judged yet. Test for drift.

    A night that was drawn before stays as it is.

    Args:
        run: its name is the night's.
        labels_uri: the published manifest.
        count: how many draws; a label that is drawn twice, or was judged in an earlier night, is not asked again.

    Returns:
        How many labels people are asked about; 0 where no label came from a machine.

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
    design = AuditDesign.active([label.confidence for label in labels])
    seed = hashlib.sha256(f"{run.project.name} {run.name} {run.project.rounds.seed}".encode()).digest()
    numbers = design.draw(count, int.from_bytes(seed[:8], "big")).tolist()
    known = _judged(run)
    drawn = [
        {
            "object": labels[i].object_id,
            "label": str(labels[i].value),
            "doubt": float(design.doubt[i]),
            "chance": float(design.chance[i]),
            "model": str(lines[i].get(f"{attribute}-metadata", {}).get("job-name", "")).rpartition("/")[2],
            "prefix": paths.parent(lines[i]["source-ref"]) if "source-ref" in lines[i] else "",
        }
        for i in numbers
    ]
    ask = [i for i in sorted(set(numbers)) if (labels[i].object_id, str(labels[i].value)) not in known]
    write_manifest(run.storage, input_manifest(run), (lines[i] for i in ask))
    low, high = design.range()
    facts = {
        "night": run.name,
        "time": datetime.now(UTC).isoformat(),
        "objects": len(labels),
        "mean_doubt": float(design.doubt.mean()),
        "range": [low, high],
        "asked": len(ask),
        "drawn": drawn,
    }
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
        The state, as :func:`estimate` has it.
    """
    if run.storage.exists(_uri(run, "draw.json")) and _read(run, "judgements.json") is None:
        asked = {object_key(line) for line in read_manifest(run.storage, input_manifest(run))}
        _write(run, {key: bool(value) for key, value in wrong.items() if key in asked}, "judgements.json")
    state = estimate(run)
    run.storage.write_text(state["report"], render_audit_report(run.project.name, state))
    # Last: who reads the state finds the page that it names.
    run.storage.write_text(state_uri(run.project), json.dumps(state, indent=1, ensure_ascii=False) + "\n")
    return state


def keep_night(run: Run, facts: dict[str, Any], wrong: Mapping[str, bool]) -> dict[str, Any]:
    """Keep a night that was judged without an audit's asking, and bring the state up to date.

    Args:
        run: its name is the night's.
        facts: as :func:`draw` writes them.
        wrong: by object key whether the label drawn is wrong.
    """
    if _read(run, "judgements.json") is None:
        _write(run, facts, "draw.json")
        _write(run, dict(wrong), "judgements.json")
    return record(run, {})


def estimate(run: Run) -> dict[str, Any]:
    """The error rate of machine labels and whether the promise holds, from all nights' records.

    The promise is broken once the sequence's lower limit passes ``1 - accuracy``, and holds once its upper limit does
    not. After each change of mind evidence is gathered anew, so that what broke long ago does not weigh for ever; each
    such start may err with a chance of ``1 - confidence``.

    The rate is that of all machine labels of the published set, old and new: a draw's chance is known, so the share of
    each model and folder among them can be told apart below, but the promise is one of the set that consumers read. A
    single bad model therefore counts as much as it labeled.

    Returns:
        ``promise``, ``since`` (the night it changed), ``lower``, ``upper``, ``estimate``, ``reviews``; ``nights``,
        what each night left; ``classes``, ``models``, ``prefixes``: by label, by the run whose model gave it and by the
        folder of the object, the draws, those found wrong and the estimated error rate; ``report``, the page's URI; and
        what :meth:`trueground.review.drift.Drift.to_json` tells.
    """
    promise = run.project.auto_label
    allowed, status, since, reviews = 1 - promise.accuracy, UNKNOWN, None, 0
    sequence = ConfidenceSequence(promise.confidence)
    known: dict[tuple[str, str], bool] = {}
    nights: list[dict[str, Any]] = []
    groups: dict[str, dict[str, list[float]]] = {"label": {}, "model": {}, "prefix": {}}
    for night, judgements in _nights(run):
        reviews += len(judgements)
        known |= {
            (d["object"], d["label"]): judgements[d["object"]] for d in night["drawn"] if d["object"] in judgements
        }
        low, high = night["range"]
        for drawn in night["drawn"]:
            wrong = known.get((drawn["object"], drawn["label"]))
            if wrong is None:
                continue
            weight = 1 / (drawn["chance"] * night["objects"])
            value = corrected(night["mean_doubt"], drawn["doubt"], weight, wrong)
            sequence.add(min(high, max(low, value)), low, high)
            for field, known_of in groups.items():
                # Draws from before the field was kept have none.
                counts = known_of.setdefault(drawn.get(field) or "unknown", [0, 0, 0.0, 0.0])
                for place, amount in enumerate((1, wrong, weight, weight * wrong)):
                    counts[place] += amount
        found = BROKEN if sequence.lower > allowed else HOLDS if sequence.upper <= allowed else status
        row = {"night": night["night"], "time": night["time"], "reviews": len(judgements), "promise": found}
        row |= {"lower": sequence.lower, "upper": sequence.upper, "estimate": sequence.estimate}
        nights.append(row)
        if found != status:
            # The first proof that it holds is no change of mind: the evidence for it goes on.
            if status != UNKNOWN or found == BROKEN:
                sequence = ConfidenceSequence(promise.confidence)
            status, since = found, night["night"]
    last = nights[-1] if nights else {"lower": 0.0, "upper": 1.0, "estimate": None}
    return {
        "promise": status,
        "since": since,
        "accuracy": promise.accuracy,
        "confidence": promise.confidence,
        **{name: last[name] for name in ("lower", "upper", "estimate")},
        "reviews": reviews,
        "nights": nights,
        "classes": _rates(groups["label"]),
        "models": _rates(groups["model"]),
        "prefixes": _rates(groups["prefix"]),
        "report": paths.join(run.project.output, "audits", "report.html"),
        **drift.read_drift(run, paths.join(run.project.output, "audits")).to_json(),
    }


def _rates(groups: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """By name what was drawn, what of it was wrong, and the error rate with each draw weighted."""
    return {
        name: {"drawn": int(counts[0]), "wrong": int(counts[1]), "error_rate": counts[3] / counts[2]}
        for name, counts in sorted(groups.items())
    }


def _nights(run: Run) -> Iterator[tuple[dict[str, Any], dict[str, bool]]]:
    """All nights that were judged, in the order they were drawn."""
    folder = paths.join(run.project.output, "audits")
    if not run.storage.exists(folder):
        return
    names = [uri.split("/")[-2] for uri in run.storage.list(folder) if uri.endswith("/judgements.json")]
    nights = [(_read(run, "draw.json", night=name), _read(run, "judgements.json", night=name)) for name in names]
    yield from sorted(nights, key=lambda item: (item[0]["time"], item[0]["night"]))


def _judged(run: Run) -> set[tuple[str, str]]:
    """The labels that people judged in any night."""
    return {(d["object"], d["label"]) for night, said in _nights(run) for d in night["drawn"] if d["object"] in said}


def _uri(run: Run, *file: str, night: str | None = None) -> str:
    return paths.join(run.project.output, "audits", night or folder_name(run.name), *file)


def _read(run: Run, file: str, night: str | None = None) -> Any:
    try:
        return json.loads(run.storage.read_text(_uri(run, file, night=night)))
    except FileNotFoundError:
        return None


def _write(run: Run, facts: Any, file: str) -> None:
    run.storage.write_text(_uri(run, file), json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
