"""Who must be told that an audit's alarm began or ended: each once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from trueground import storage as paths
from trueground.autolabel.suspension import BROKEN, DRIFTED, is_alarm
from trueground.review.audit_settings import Notice
from trueground.run import Run


def message(project: str, state: Mapping[str, Any]) -> tuple[str, str]:
    """What is told: a subject and a sentence or two."""
    if not is_alarm(state):
        subject = f"{project}: the audit's alarm is over"
        return subject, f"{subject}. The machine labels again from the next run on."
    reasons = []
    if state["promise"] == BROKEN:
        reasons.append(
            f"the promise is broken: at least {state['lower']:.1%} of the machine's labels are wrong, "
            f"{1 - state['accuracy']:.1%} are allowed"
        )
    if state.get("drift") == DRIFTED:
        reasons.append("what comes in is no longer like what the model learned from")
    text = f"{project}: {', and '.join(reasons)}. People label everything until that has changed."
    return f"{project}: the audit gives an alarm", text


def to_tell(run: Run, state: Mapping[str, Any]) -> list[Notice]:
    """Who was last told something else than what the state says; at first, all take it that there is no alarm."""
    told = _told(run)
    return [notice for notice in run.project.audit.notify if told.get(_key(notice), False) != is_alarm(state)]


def was_told(run: Run, state: Mapping[str, Any], notices: Sequence[Notice]) -> None:
    """Keep that these know."""
    told = _told(run) | {_key(notice): is_alarm(state) for notice in notices}
    run.storage.write_text(_uri(run), json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def _told(run: Run) -> dict[str, bool]:
    try:
        told: dict[str, bool] = json.loads(run.storage.read_text(_uri(run)))
    except FileNotFoundError:
        return {}
    return told


def _uri(run: Run) -> str:
    return paths.join(run.project.output, "audits", "notified.json")


def _key(notice: Notice) -> str:
    return notice.model_dump_json()
