"""Proof that the machine may label again, from what people label in its stead.

While an audit's alarm stands, people label everything. What the current model would have proposed is fixed before they
are asked and kept from them; when they are done, their labels are the judgement of every one of its proposals. To the
audit that is a night like any other, only that nobody had to be asked for it.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from trueground import storage as paths
from trueground.autolabel.rounds import WITHHELD
from trueground.manifests import object_key
from trueground.quality.prediction_powered import AuditDesign
from trueground.review import audits
from trueground.review.audit_estimate import night_facts
from trueground.review.verification import final_labels
from trueground.run import Run


def compare(run: Run) -> dict[str, Any] | None:
    """Record how right the run's withheld proposals were; a run that was compared before stays as it is.

    The proposals count in random order, as evenly drawn: the run's objects are taken for a random sample of what comes,
    so that the rate found is that of what the machine would label.

    Returns:
        The audit's state, as :func:`trueground.review.audits.record` gives it; ``None`` where nothing was withheld.
    """
    labels = final_labels(run)
    known = [p for p in run.read_labels(WITHHELD).values() if p.object_id in labels and labels[p.object_id].human]
    if not known:
        return None
    random.Random(run.name).shuffle(known)
    folders = {object_key(line): paths.parent(line.get("source-ref", "/")) for line in run.objects()}
    model = str((run.read_json("earlier-model.json") or {}).get("model"))
    rows = [
        {"object": p.object_id, "label": str(p.value), "model": model, "prefix": folders[p.object_id]} for p in known
    ]
    facts = night_facts(f"withheld-{run.name}", AuditDesign.uniform(len(known)), range(len(known)), rows)
    wrong = {proposal.object_id: labels[proposal.object_id].value != proposal.value for proposal in known}
    return audits.keep_night(replace(run, name=facts["night"]), {**facts, "asked": 0}, wrong)
