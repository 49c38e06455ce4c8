"""Whether machines may label: not while the audit's alarm stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trueground import storage as paths
from trueground.errors import InputError
from trueground.project import Project
from trueground.run import Run
from trueground.storage import Storage

HOLDS, BROKEN, UNKNOWN = "holds", "broken", "unknown"
STEADY, DRIFTED = "steady", "drifted"


def state_uri(project: Project) -> str:
    """Where the audit keeps what it found last; see :mod:`trueground.review.audits`."""
    return paths.join(project.output, "audits", "state.json")


def read_audit(project: Project, storage: Storage) -> dict[str, Any]:
    """What the audit found last; its ``promise`` is unknown where nothing was audited.

    Raises:
        InputError: the file is not one of the audit's.
    """
    uri = state_uri(project)
    try:
        state = json.loads(storage.read_text(uri))
    except FileNotFoundError:
        return {"promise": UNKNOWN, "drift": UNKNOWN}
    except ValueError as error:
        raise InputError(f"not JSON: {error}", file=uri) from None
    if not isinstance(state, dict) or state.get("promise") not in (HOLDS, BROKEN, UNKNOWN):
        raise InputError(
            f"one of {HOLDS}, {BROKEN} and {UNKNOWN} is needed",
            file=uri,
            field="promise",
            hint="Run the audit again: it writes this file anew from its records.",
        )
    # States that were written before drift was tested say nothing of it.
    return {"drift": UNKNOWN, **state}


def is_alarm(state: Mapping[str, Any]) -> bool:
    """Whether people label everything after this state of the audit."""
    return state.get("promise") == BROKEN or state.get("drift") == DRIFTED


def may_auto_label(run: Run) -> bool:
    """Whether this run's rounds may label by machine.

    Decided once a run, so that a step which is repeated asks people about the same objects.
    """
    if not run.project.auto_label.enabled:
        return False
    decided = run.read_json("audit.json")
    if decided is None:
        state = read_audit(run.project, run.storage)
        decided = {name: state[name] for name in ("promise", "drift")}
        run.write_json(decided, "audit.json")
    return not is_alarm(decided)
