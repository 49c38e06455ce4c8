"""Rounds: choose objects, people label them, train, label the sure ones by machine, enough?

Each function is one step of one round and is safe to repeat. Round ``n`` reads what round ``n - 1`` wrote, so a
round needs nothing but the run's folder.
"""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from trueground.answers import consolidate_run, load_answers, read_job_answers, read_part_answered, save_answers
from trueground.autolabel.earlier_model import earlier_forecast
from trueground.autolabel.suspension import may_auto_label
from trueground.manifests import object_key
from trueground.run import Run
from trueground.tasks.base import DataObject, Label

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trueground.autolabel.choose import Forecast
    from trueground.autolabel.model import LabelModel


WITHHELD = "withheld.jsonl"
"""What the machine would have labeled in a run in which it may not; see :mod:`trueground.review.withheld`."""


@dataclass(frozen=True)
class RoundState:
    """Where the run stands after a round. Counts are data objects."""

    round: int
    objects: int
    human: int
    machine: int

    @property
    def open(self) -> int:
        """Objects without a label."""
        return self.objects - self.human - self.machine

    @property
    def done(self) -> bool:
        """Whether every object has a label."""
        return self.open == 0


def choose(run: Run, number: int) -> int:
    """Choose what people label in this round and write its manifest.

    Returns:
        How many objects people get; 0 where nothing is left to label, or the project has fewer rounds.
    """
    objects = run.objects()
    state = read_state(run, number - 1)
    rest = part_answered(run, number - 1)
    if not objects or number > run.project.rounds.maximum or (state is not None and state.done and not rest):
        return 0
    keys = [object_key(line) for line in objects]
    human, machine = human_labels(run, number - 1), machine_labels(run, number - 1)
    may_label = may_auto_label(run)
    earlier = earlier_forecast(run, objects) if number == 1 and run.project.auto_label.enabled else None
    if earlier is not None and not may_label:
        plan = _plan(run, number, objects, keys, human, machine, earlier)
        proposals = zip(plan.proposal, plan.proposal_classes, plan.proposal_confidence, strict=True)
        run.write_labels((Label(keys[i], value, sure, human=False) for i, value, sure in proposals), WITHHELD)
    last = number == run.project.rounds.maximum or not may_label
    if last:
        # What no round could settle goes to people: the data set ends complete.
        plan = None
        chosen = [index for index, key in enumerate(keys) if key not in human and key not in machine]
    else:
        plan = _plan(run, number, objects, keys, human, machine, earlier)
        chosen = sorted({*plan.query, *plan.audit})
    run.write_json(None if plan is None else asdict(plan), "rounds", str(number), "plan.json")
    # What a stopped job could not finish is asked for again; its line says how many answers are missing.
    asked = [objects[index] for index in chosen if keys[index] not in rest]
    return run.write_lines([*asked, *rest.values()], "rounds", str(number), "input.manifest")


def collect(run: Run, number: int, job_output: str) -> int:
    """Read the labeling job's raw answers and consolidate all that is known so far.

    Args:
        run: the run.
        number: the round.
        job_output: the labeling job's own output folder.

    Returns:
        How many answers the round brought.
    """
    answers = list(read_job_answers(run.storage, job_output, run.uri("rounds", str(number), "input.manifest")))
    run.write_lines(read_part_answered(run, job_output), "rounds", str(number), "part-answered.jsonl")
    count = save_answers(run, answers, "rounds", str(number), "answers.jsonl")
    labels = consolidate_run(run, round_answers(run, number))
    run.write_labels(labels.values(), "rounds", str(number), "labels.jsonl")
    return count


def train(run: Run, number: int) -> dict[str, Any]:
    """Train on the human labels so far; the model chooses and labels in the next round.

    Returns:
        What to log: training objects, and the accuracy by leave-one-out against the consolidated labels.
    """
    from trueground.autolabel.model import LabelModel

    human = human_labels(run, number)
    objects = run.objects()
    if len(human) + len(machine_labels(run, number - 1)) == len(objects):
        return {"objects": len(human), "skipped": "everything has a label"}
    index = {object_key(line): position for position, line in enumerate(objects)}
    # In the order of the manifest, as plan_round expects it.
    keys = [key for key in index if key in human]
    rows = features(run, objects)[[index[key] for key in keys]]
    model = LabelModel.learn(rows, [human[key] for key in keys])
    if model is None:
        return {"objects": len(keys), "skipped": "people gave fewer than two classes so far"}
    run.storage.write_bytes(run.uri("rounds", str(number), "model.skops"), model.to_bytes())
    return {"objects": len(keys), "leave_one_out_accuracy": round(model.accuracy(), 4)}


def auto_label(run: Run, number: int) -> dict[str, Any]:
    """Settle this round's proposal by what people said of its audit sample, and keep the machine labels that hold.

    Returns:
        What to log: proposed, audited, wrong, accepted, and the bound.
    """
    from trueground.autolabel.audit import settle_round
    from trueground.autolabel.choose import RoundPlan

    facts = _read_plan(run, number)
    accepted: list[Label] = []
    summary: dict[str, Any] = {"proposed": 0, "accepted": 0}
    if facts.get("proposal"):
        plan = RoundPlan(**facts)
        keys = [object_key(line) for line in run.objects()]
        human = human_labels(run, number)
        by_index = {i: human[key].value for i, key in enumerate(keys) if key in human}
        settlement = settle_round(plan, by_index)
        accepted = [
            Label(keys[index], value, confidence, human=False, extra={"round": number})
            for index, value, confidence in zip(
                settlement.accepted, settlement.classes, settlement.confidence, strict=True
            )
        ]
        summary = {
            "proposed": len(plan.proposal),
            "audited": settlement.audited,
            "wrong": settlement.wrong,
            "error_bound": settlement.error_bound,
            "accepted": len(accepted),
        }
    earlier = machine_labels(run, number - 1)
    run.write_labels([*earlier.values(), *accepted], "rounds", str(number), "machine.jsonl")
    run.write_json(summary, "rounds", str(number), "settlement.json")
    return summary


def finish_round(run: Run, number: int) -> RoundState:
    """Count where the run stands and keep it: the next round starts from here."""
    human, machine = human_labels(run, number), machine_labels(run, number)
    both = human.keys() & machine.keys()
    assert not both, f"objects with a human and a machine label: {sorted(both)[:3]}"
    state = RoundState(number, len(run.objects()), len(human), len(machine))
    run.write_json(asdict(state), "rounds", str(number), "state.json")
    return state


def read_state(run: Run, number: int) -> RoundState | None:
    """The state after a round; where the round was skipped, after the last one that ran."""
    for earlier in range(number, 0, -1):
        facts = run.read_json("rounds", str(earlier), "state.json")
        if facts is not None:
            return RoundState(**facts)
    return None


def last_round(run: Run) -> int:
    """The number of the last round that finished, 0 where none did."""
    state = read_state(run, run.project.rounds.maximum)
    return state.round if state else 0


def human_labels(run: Run, number: int) -> dict[str, Label]:
    """All human labels after a round."""
    return run.read_labels("rounds", str(number), "labels.jsonl")


def machine_labels(run: Run, number: int) -> dict[str, Label]:
    """All machine labels after a round."""
    return run.read_labels("rounds", str(number), "machine.jsonl")


def round_answers(run: Run, number: int) -> list[Any]:
    """The raw answers of all rounds up to this one."""
    return [
        answer
        for earlier in range(1, number + 1)
        for answer in load_answers(run, "rounds", str(earlier), "answers.jsonl")
    ]


def part_answered(run: Run, number: int) -> dict[str, DataObject]:
    """The objects that miss answers after a round, since its job or an earlier one was stopped, by key.

    Each is the line of the job's output, which says how many answers it has and where they are.
    """
    found: dict[str, DataObject] = {}
    for earlier in range(1, number + 1):
        for line in run.read_lines("rounds", str(earlier), "input.manifest"):
            found.pop(object_key(line), None)
        found |= {object_key(line): line for line in run.read_lines("rounds", str(earlier), "part-answered.jsonl")}
    return found


def features(run: Run, objects: list[DataObject]) -> NDArray[np.float32]:
    """The objects as numbers, ``[objects, features]``; computed once a run."""
    import numpy as np

    uri = run.uri("features.npy")
    if run.storage.exists(uri):
        rows: NDArray[np.float32] = np.load(io.BytesIO(run.storage.read_bytes(uri)), allow_pickle=False)
        if len(rows) == len(objects):
            return rows
    from trueground.autolabel.features import object_features, text_pool_features

    if run.task_type.media == "text":
        rows = text_pool_features(line[run.task_type.source_key] for line in objects)
    else:
        rows = object_features(run.task_type, run.storage, objects)
    buffer = io.BytesIO()
    np.save(buffer, rows, allow_pickle=False)
    run.storage.write_bytes(uri, buffer.getvalue())
    return rows


def _plan(
    run: Run,
    number: int,
    objects: list[DataObject],
    keys: list[str],
    human: dict[str, Label],
    machine: dict[str, Label],
    earlier: Forecast | None,
) -> Any:
    from trueground.autolabel.choose import AutoLabelSettings, Forecast, plan_round

    promise, rounds = run.project.auto_label, run.project.rounds
    rows, model = features(run, objects), _model(run, number - 1)
    forecast: Forecast | None = None
    by_index = {i: human[key].value for i, key in enumerate(keys) if key in human}
    if number == 1:
        forecast = earlier
    elif model is not None:
        forecast = Forecast.of(model, rows, by_index, _drawn(run, number - 1))
    return plan_round(
        rows,
        human=by_index,
        machine={i for i, key in enumerate(keys) if key in machine},
        forecast=forecast,
        settings=AutoLabelSettings(accuracy=promise.accuracy, confidence=promise.confidence),
        round=number,
        proposals=sum(bool(_read_plan(run, earlier).get("proposal")) for earlier in range(1, number)),
        budget=rounds.first if number == 1 else rounds.each,
        seed=rounds.seed,
        rounds=rounds.maximum,
    )


def _read_plan(run: Run, number: int) -> dict[str, Any]:
    """The plan of a round; empty where it had none."""
    return run.read_json("rounds", str(number), "plan.json") or {}


def _drawn(run: Run, number: int) -> set[int]:
    """The objects that rounds up to this one chose at random: the first round's, and all audits."""
    plans = [_read_plan(run, earlier) for earlier in range(1, number + 1)]
    return {i for plan in plans for i in (*plan.get("audit", ()), *(plan["query"] if plan.get("at_random") else ()))}


def _model(run: Run, number: int) -> LabelModel | None:
    from trueground.autolabel.model import LabelModel

    uri = run.uri("rounds", str(number), "model.skops")
    if number < 1 or not run.storage.exists(uri):
        return None
    return LabelModel.from_bytes(run.storage.read_bytes(uri))
