"""Stop the reviews of a run early, and keep what people did."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from trueground.review.loops import OVER, STARTERS, list_loops, loop_name, loop_prefix
from trueground.review.project import ReviewRun
from trueground.review.steps import STEPS, STOPPED, Step

PAUSE = 5.0
"""Seconds until it is looked again for loops that are just being started."""
ENDED = ("ResourceNotFoundException", "ValidationException")
"""What the service says of a loop that is over by now, or was deleted."""


def note_flow(run: ReviewRun, step: Step, flow_definition: str) -> None:
    """Keep by which flow definition the people of a step are asked, and since when. What was kept before stays."""
    if not run.storage.exists(run.uri("asked", f"{step}.json")):
        since = datetime.now(UTC) - timedelta(hours=1)  # clocks may differ
        run.write_json({"flow_definition": flow_definition, "since": since.isoformat()}, "asked", f"{step}.json")


def stop_reviews(run: ReviewRun, client: Any, *, pause: float = PAUSE) -> dict[str, int]:
    """Stop the human loops of a run that are not over; from then on nobody is asked anything new in it.

    What somebody is at may be finished, and counts. What is just being started is waited for while more of it comes;
    the rest is taken off the list of what people are shown, so that no task starts it later. Safe to repeat.

    Args:
        run: the run.
        client: boto3's ``sagemaker-a2i-runtime``; used by several threads.
        pause: seconds.

    Returns:
        How many loops were ``stopped``, how many were ``over`` before, and how many objects were ``not_started``.

    Raises:
        ClientError: the service refuses for another reason than the state of a loop.
    """
    if not run.storage.exists(run.uri(STOPPED)):
        run.write_json({"at": datetime.now(UTC).isoformat()}, STOPPED)
    counts: Counter[str] = Counter(stopped=0, over=0, not_started=0)
    for step in STEPS:
        counts.update(_stop_step(run, step, client, pause))
    return dict(counts)


def _stop_step(run: ReviewRun, step: Step, client: Any, pause: float) -> dict[str, int]:
    prefix, file = loop_prefix(run.project.name, run.name, step), f"{step}.jsonl"
    wanted = {loop_name(prefix, line["id"]) for line in run.read_lines("loops", file)}
    asked = run.read_json("asked", f"{step}.json")
    found: dict[str, str] = {}

    def stop(name: str) -> None:
        try:
            client.stop_human_loop(HumanLoopName=name)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ENDED:
                raise

    with ThreadPoolExecutor(STARTERS) as pool:
        while asked is not None:
            before, since = len(found), datetime.fromisoformat(asked["since"])
            loops = list(list_loops(client, asked["flow_definition"], prefix=prefix, created_after=since))
            for loop in loops:
                found.setdefault(loop.name, loop.status)
            list(pool.map(stop, (loop.name for loop in loops if loop.status == "InProgress")))
            if len(found) in (before, len(wanted)):
                break
            time.sleep(pause)
    missing = wanted - found.keys()
    if missing:
        started = (line for line in run.read_lines("loops", file) if loop_name(prefix, line["id"]) not in missing)
        run.write_lines(started, "loops", file)
    over = sum(status in OVER for status in found.values())
    return {"stopped": len(found) - over, "over": over, "not_started": len(missing)}
