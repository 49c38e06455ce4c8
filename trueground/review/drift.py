"""Whether what comes in is still like what the model learned from: nightly records, and the alarm that follows.

The first label set that is audited becomes the reference: half of a random sample of it says what is measured (see
:class:`~trueground.quality.drift.InputScores`), the other half what is usual. Each later night tests a random sample of
the objects that came since. After an alarm people label everything, so the models learn from what comes now: the
objects that came after the alarm make the next reference, and with it the alarm ends.

A night's folder takes ``seen.npy`` (digests of the objects that are new), ``reference.npz`` where a reference begins,
and last ``drift.json``; each is written once, and all else follows from them.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueground import storage as paths
from trueground.autolabel.features import object_features
from trueground.autolabel.suspension import DRIFTED, STEADY, UNKNOWN
from trueground.errors import InputError
from trueground.manifests import object_key
from trueground.quality.drift import DriftTest, InputScores
from trueground.run import Run
from trueground.tasks.base import DataObject

FALSE_ALARMS = 0.05
"""The chance that one reference ever leads to an alarm although nothing changed, over all its nights together."""
LEAST, MOST = 100, 1000
"""Objects of a reference."""
A_NIGHT = 200
"""Objects that are tested a night, at most."""


@dataclass
class Drift:
    """Where the test stands after some nights."""

    status: str = UNKNOWN
    since: str | None = None
    reference: str | None = None
    test: DriftTest | None = None
    waiting: list[str] = field(default_factory=list)
    nights: list[dict[str, Any]] = field(default_factory=list)

    def add(self, night: dict[str, Any]) -> None:
        """Take the record of one more night."""
        if night["calibration"]:
            self.test, self.reference, self.waiting = DriftTest(night["calibration"], FALSE_ALARMS), night["folder"], []
            self.status, self.since = STEADY, night["night"]
        elif self.test is None:
            self.waiting.append(night["folder"])
        else:
            self.test.add(night["scores"], night["seed"])
        evidence = self.test.evidence if self.test else None
        if self.test and self.test.drifted:
            self.status, self.since, self.test, self.reference = DRIFTED, night["night"], None, None
        row = {name: night[name] for name in ("night", "time", "new")}
        self.nights.append({**row, "tested": len(night["scores"]), "drift": self.status, "evidence": evidence})

    def to_json(self) -> dict[str, Any]:
        """The part of the audit's state that is about drift."""
        evidence = self.nights[-1]["evidence"] if self.nights else None
        facts = {"drift": self.status, "drift_since": self.since, "drift_evidence": evidence}
        return {**facts, "drift_nights": self.nights}


def read_drift(run: Run, audits: str) -> Drift:
    """Where the test stands, from the records below the folder of all audits."""
    drift, found = Drift(), []
    if run.storage.exists(audits):
        for uri in run.storage.list(audits):
            if uri.endswith("/drift.json"):
                found.append({**json.loads(run.storage.read_text(uri)), "folder": paths.parent(uri)})
    for night in sorted(found, key=lambda night: (night["time"], night["night"])):
        drift.add(night)
    return drift


def record(run: Run, folder: str, lines: Iterable[DataObject]) -> None:
    """Measure a night's new objects; a night that was measured before stays as it is.

    Args:
        run: the audit's run.
        folder: the URI of the night's folder, among those of the other nights.
        lines: the published manifest of all runs.
    """
    if run.storage.exists(paths.join(folder, "drift.json")):
        return
    audits = paths.parent(folder)
    drift = read_drift(run, audits)
    known = {d for uri in run.storage.list(audits) if uri.endswith("/seen.npy") for d in _digests(run, uri)}
    # A night that was interrupted here measures its objects anew.
    own = paths.join(folder, "seen.npy")
    known -= set(_digests(run, own)) if run.storage.exists(own) else set()
    waiting = {d for night in drift.waiting for d in _digests(run, paths.join(night, "seen.npy"))}
    by_digest = {_digest(object_key(line)): line for line in lines}
    new = [digest for digest in by_digest if digest not in known]
    seed = _digest(f"{run.project.name} {run.name}")
    facts: dict[str, Any] = {"night": run.name, "time": datetime.now(UTC).isoformat(), "new": len(new), "seed": seed}
    facts |= {"calibration": [], "scores": []}
    rng = np.random.default_rng(seed)
    if drift.reference is not None:
        with np.load(io.BytesIO(run.storage.read_bytes(paths.join(drift.reference, "reference.npz")))) as kept:
            scores = InputScores(kept["features"])
        features = _features(run, _some(rng, [by_digest[digest] for digest in new], A_NIGHT))
        facts["scores"] = scores(features).tolist() if len(features) else []
    else:
        pool = [line for digest, line in by_digest.items() if digest in waiting or digest not in known]
        features = _features(run, _some(rng, pool, MOST))
        if len(features) >= LEAST:
            half = features[::2].astype(np.float16)
            kept = io.BytesIO()
            np.savez_compressed(kept, features=half)
            run.storage.write_bytes(paths.join(folder, "reference.npz"), kept.getvalue())
            facts["calibration"] = InputScores(half)(features[1::2]).tolist()
    content = io.BytesIO()
    np.save(content, np.array(sorted(new), dtype=np.uint64))
    run.storage.write_bytes(own, content.getvalue())
    run.storage.write_text(paths.join(folder, "drift.json"), json.dumps(facts) + "\n")


def _some(rng: np.random.Generator, lines: list[DataObject], most: int) -> list[DataObject]:
    """Some of the objects, in random order."""
    return [lines[i] for i in rng.permutation(len(lines))[:most]]


def _features(run: Run, lines: list[DataObject]) -> NDArray[np.float32]:
    """Features of the objects that can be read: one that is gone by now must not end all audits."""
    found = []
    for line in lines:
        try:
            found.append(object_features(run.task_type, run.storage, [line])[0])
        except (FileNotFoundError, InputError):
            continue
    return np.array(found)


def _digest(text: str) -> int:
    """Eight bytes that stand for a key."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _digests(run: Run, uri: str) -> list[int]:
    digests: list[int] = np.load(io.BytesIO(run.storage.read_bytes(uri))).tolist()
    return digests
