"""The steps of a review: who looks at what, and what they said.

First everything that the conditions chose; then, by a second team, what the first reviewers and the prediction do not
agree on; then, by the escalation team, what is still in doubt. Each step leaves ``loops/<step>.jsonl`` (what people are
shown) and ``reviews/<step>.jsonl`` (what they said) in the run's folder.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from trueground import storage as paths
from trueground.errors import InputError
from trueground.review.conditions import Decision
from trueground.review.kinds import Opinion, ReviewKind, review_kind
from trueground.review.loops import Loop, list_loops, loop_name
from trueground.review.project import ReviewProject, ReviewRun
from trueground.storage import Storage

Step = Literal["review", "second", "escalation"]
STEPS: tuple[Step, ...] = ("review", "second", "escalation")
STOPPED = "stopped.json"
"""In a run's folder once its reviews were stopped."""
READERS = 16
"""Files read at the same time: on S3 each is a round trip."""


@dataclass(frozen=True)
class Reviewed:
    """An object with its prediction and what everybody said of it, in the order in which they said it."""

    line: Mapping[str, Any]
    decision: Decision
    predicted: Opinion
    opinions: tuple[tuple[Step, Opinion], ...]
    answers: tuple[Mapping[str, Any], ...]
    """Of each opinion: ``step``, ``loop``, ``output``, ``worker``, ``accepted_at``, ``submitted_at``, ``seconds``."""

    def votes(self, part: str) -> Counter[str]:
        """How often each thing was said of a part, as JSON."""
        return Counter(saying(opinion[part]) for _, opinion in self.opinions if part in opinion)

    @property
    def parts(self) -> list[str]:
        """The parts that the prediction or somebody speaks of."""
        return list(dict.fromkeys([*self.predicted, *(part for _, opinion in self.opinions for part in opinion)]))

    @property
    def disagreed(self) -> bool:
        """Whether somebody says otherwise than the prediction or than another reviewer, or nobody could tell."""
        return self.doubtful or any(
            said != {saying(self.predicted[part])} if part in self.predicted else True
            for part in self.parts
            if (said := set(self.votes(part)))
        )

    @property
    def doubtful(self) -> bool:
        """Whether nobody could tell a part, or as many say one thing of it as another."""
        return not self.parts or any(_leaders(self.votes(part)) != 1 for part in self.parts)


def team_of(project: ReviewProject, step: Step) -> str | None:
    """Who does a step; ``None`` if the project has no such step."""
    review = project.review
    return {"review": review.team, "second": review.second_team, "escalation": review.escalation_team}[step]


def loops_output(project: ReviewProject) -> str:
    """The URI below which the output of the project's human loops is written."""
    return paths.join(project.output, "human-loops")


def write_loops(run: ReviewRun, step: Step) -> int:
    """Write what the people of a step are shown; returns how many objects that is.

    In a run that was stopped nobody is shown anything new, and what was shown stays.
    """
    if run.storage.exists(run.uri(STOPPED)):
        return sum(1 for _ in run.read_lines("loops", f"{step}.jsonl"))
    kind = review_kind(run.project.source.service)
    shown = (
        {"id": found.line["id"], "content": kind.loop_input(found.line, found.decision, run.project)}
        for found in reviewed(run, before=step)
        if step == "review" or (found.disagreed if step == "second" else found.doubtful)
    )
    return run.write_lines(shown, "loops", f"{step}.jsonl")


def collect_reviews(run: ReviewRun, step: Step, client: Any, started: Mapping[str, Any]) -> dict[str, int]:
    """Gather what the people of a step said, from the output that A2I wrote of each loop, also of one that was stopped.

    Args:
        run: the run.
        step: which step.
        client: boto3's ``sagemaker-a2i-runtime``.
        started: the ``flow_definition``, ``prefix`` and ``created_after`` by which the step's loops are found.

    Returns:
        How many loops there are, and how many ended without an answer.

    Raises:
        InputError: an output, or an answer in it, has not A2I's form; ``file`` names it.
    """
    objects = {
        loop_name(started["prefix"], line["id"]): line["id"] for line in run.read_lines("loops", f"{step}.jsonl")
    }
    after = datetime.fromisoformat(started["created_after"])
    loops = list_loops(client, started["flow_definition"], prefix=started["prefix"], created_after=after)
    base = paths.join(loops_output(run.project), started["flow_definition"].rpartition("/")[2])

    def read(loop: Loop) -> dict[str, Any]:
        found: dict[str, Any] = {"id": objects[loop.name], "loop": loop.name, "status": loop.status}
        output = _read_output(run.storage, client, base, loop) if loop.status in ("Completed", "Stopped") else None
        if output is None:
            return found | {"failure-reason": loop.failure_reason, "answers": []}
        uri, content = output
        try:
            answers = [_answer(answer) for answer in content["humanAnswers"]]
        except (KeyError, TypeError):
            raise InputError("this is no output of a human loop", file=uri) from None
        return found | {"output": uri, "answers": answers}

    unanswered = 0

    def counted(found: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        nonlocal unanswered
        for line in found:
            unanswered += not line["answers"]
            yield line

    with ThreadPoolExecutor(READERS) as readers:
        found = readers.map(read, (loop for loop in loops if loop.name in objects))
        count = run.write_lines(counted(found), "reviews", f"{step}.jsonl")
    return {"loops": count, "unanswered": unanswered}


def reviewed(run: ReviewRun, *, before: Step | None = None) -> Iterator[Reviewed]:
    """What was chosen to be reviewed, with what people said of it in all steps, or in those before one.

    Raises:
        InputError: an answer has not the form that its page gives; ``file`` names the loop's output.
    """
    kind, conditions = review_kind(run.project.source.service), run.project.parsed_conditions()
    answers = _answers(run, STEPS if before is None else STEPS[: STEPS.index(before)])
    for line in run.read_lines("to-review.jsonl"):
        decision = conditions.evaluate(line)
        own = tuple(answers.get(line["id"], ()))
        opinions = tuple((answer["step"], _opinion(kind, line, decision, answer)) for answer in own)
        yield Reviewed(line, decision, kind.predicted(line, decision), opinions, own)


def _answers(run: ReviewRun, steps: Iterable[Step]) -> dict[str, list[dict[str, Any]]]:
    """By object, everybody's answers with their step, loop and output."""
    found: dict[str, list[dict[str, Any]]] = {}
    for step in steps:
        for loop in run.read_lines("reviews", f"{step}.jsonl"):
            own = {"step": step, "loop": loop["loop"], "output": loop.get("output")}
            found.setdefault(loop["id"], []).extend({**own, **answer} for answer in loop["answers"])
    return found


def _opinion(kind: ReviewKind, line: Mapping[str, Any], decision: Decision, answer: Mapping[str, Any]) -> Opinion:
    try:
        return kind.opinion(line, decision, answer["content"])
    except InputError as error:
        raise InputError(error.problem, file=answer["output"], field=error.field) from None


def _read_output(storage: Storage, client: Any, base: str, loop: Loop) -> tuple[str, dict[str, Any]] | None:
    """The URI of a loop's output and what it says; ``None`` for one that was stopped before anybody answered.

    A2I puts it below the time at which the loop was started.
    """
    uri = paths.join(base, loop.created_at.astimezone(UTC).strftime("%Y/%m/%d/%H/%M/%S"), loop.name, "output.json")
    try:
        raw = storage.read_bytes(uri)
    except FileNotFoundError:
        output = client.describe_human_loop(HumanLoopName=loop.name).get("HumanLoopOutput")
        if output is None and loop.status == "Stopped":
            return None
        uri = output["OutputS3Uri"]
        raw = storage.read_bytes(uri)
    try:
        content = json.loads(raw)
    except ValueError as error:
        raise InputError(f"not JSON: {error}", file=uri) from None
    if not isinstance(content, dict):
        raise InputError("this is no output of a human loop", file=uri)
    return uri, content


def _answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "worker": answer["workerId"],
        "accepted_at": answer.get("acceptanceTime"),
        "submitted_at": answer["submissionTime"],
        "seconds": answer.get("timeSpentInSeconds"),
        "content": answer["answerContent"],
    }


def _leaders(votes: Counter[str]) -> int:
    """How many things were said most often."""
    return list(votes.values()).count(max(votes.values(), default=0))


def saying(value: Any) -> str:
    """What was said as text, so that it can be counted."""
    return json.dumps(value, sort_keys=True)
