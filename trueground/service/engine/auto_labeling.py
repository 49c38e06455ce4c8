"""Automated labeling inside a labeling job, by the library's own rounds.

People label a random sample; a model learns from them; what it is sure of is proposed, and accepted only if people
agree with it on a random part of that (:mod:`trueground.autolabel.audit`). What the model finds hard goes to people,
and a new round begins. Ground Truth's batches keep everybody waiting for the last answer of a round; here, who would
have nothing to do is asked ahead about what the next round would ask.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, select, update

from trueground import storage as paths
from trueground.errors import AccessError, InputError
from trueground.service.engine import job_ends, label_rounds
from trueground.service.engine.background import Background
from trueground.service.engine.function_calls import REASON_CHARACTERS, reason_of
from trueground.service.engine.functions import find_task_type
from trueground.service.engine.label_rounds import LabelRound, MachineLabel
from trueground.service.engine.output import Output
from trueground.service.engine.progress import counted_answers, usable_answers
from trueground.service.engine.threads import Asides, Failures, in_thread
from trueground.service.settings import ServiceSettings
from trueground.service.store.bulk import in_parts
from trueground.service.store.database import Database, now
from trueground.service.store.tables import answers, data_objects, labeling_jobs
from trueground.storage import Storage
from trueground.tasks.base import Label, TaskType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trueground.autolabel.choose import Forecast, RoundPlan
    from trueground.autolabel.model import LabelModel

log = logging.getLogger(__name__)

ROUNDS = 8
"""In the last one, people are asked about all that is left."""
EACH = (50, 1000)
"""The least and most objects that people are asked about in a round, where the job does not say."""
LEARNED_FROM = 10_000
"""Labels that a model learns from at most: more would hardly make it better, and cost memory."""
READ_AT_ONCE = 8
"""Files that are read at the same time."""
TEXTS_AT_ONCE = 1000
ATTEMPTS = 5


class AutoLabeling(Background):
    """Takes every job with automated labeling from round to round."""

    name = "auto-labeling"

    def __init__(self, db: Database, storage: Storage, settings: ServiceSettings) -> None:
        super().__init__(db, settings.poll_interval)
        self._storage, self._settings = storage, settings
        self._asides, self._failures = Asides(), Failures()
        # By job, what does not change while its round goes on: the round's number and plan.
        self._plans: dict[int, tuple[int, RoundPlan]] = {}
        self._with_features: set[int] = set()

    def tick(self) -> None:
        """Look at every job with automated labeling, once."""
        query = select(labeling_jobs).where(
            labeling_jobs.c.auto_accuracy.is_not(None),
            labeling_jobs.c.status == "InProgress",
            labeling_jobs.c.ended_at.is_(None),
        )
        with self._db.read() as connection:
            jobs = connection.execute(query.order_by(labeling_jobs.c.created_at)).all()
        known = {job.id for job in jobs}
        self._asides.keep_only(known)
        self._with_features &= known
        self._plans = {job.id: self._plans[job.id] for job in jobs if job.id in self._plans}
        for job in jobs:
            if self._stopping.is_set() or not self._failures.may_try(job.id):
                continue
            try:
                if self._advance(job):
                    self._failures.forget(job.id)
            except Exception as error:
                self._note_failure(job, error)

    def is_idle(self) -> bool:
        """Whether none of its threads is at work."""
        return self._asides.are_done()

    def _advance(self, job: Row[Any]) -> bool:
        """One look at a job; whether nothing is under way."""
        with self._db.read() as connection:
            over = label_rounds.are_over(connection, job)
            answered = label_rounds.is_answered(connection, job)
        if self._asides.collect(job.id):
            if job.iteration:
                label_rounds.ask_ahead(self._db, job, self._plan_of(job))
            return job.id not in self._asides
        if over:
            return True
        pool = Pool(Output.of(self._db, self._storage, self._settings, job, self._keep_on))
        if not job.iteration:
            self._asides.begin(job.id, f"round-{job.name}", partial(_begin, pool))
        elif answered:
            self._asides.begin(job.id, f"round-{job.name}", partial(_settle, pool))
        else:
            if job.id not in self._with_features:
                if pool.knows_features():
                    self._with_features.add(job.id)
                else:
                    # While people are at the first round, so that nobody waits for it later.
                    self._asides.begin(job.id, f"features-{job.name}", pool.make_features)
            label_rounds.ask_ahead(self._db, job, self._plan_of(job))
        return job.id not in self._asides

    def _plan_of(self, job: Row[Any]) -> RoundPlan:
        """The plan of the round that goes on."""
        known = self._plans.get(job.id)
        if known is None or known[0] != job.iteration:
            with self._db.read() as connection:
                known = job.iteration, label_rounds.read_rounds(connection, job.id)[-1].plan
            self._plans[job.id] = known
        return known[1]

    def _note_failure(self, job: Row[Any], error: Exception) -> None:
        count = self._failures.add(job.id)
        log.error("automated labeling of %s cannot go on (attempt %d)", job.name, count, exc_info=error)
        # Files that cannot be read now may be read later; nothing else becomes better by itself.
        if count < ATTEMPTS or isinstance(error, OSError):
            return
        reason = f"Automated labeling cannot go on: {reason_of(error)}"[:REASON_CHARACTERS]
        with self._db.write() as connection:
            job_ends.end(connection, job, failing=False, because=reason)

    def _keep_on(self) -> None:
        if self._stopping.is_set():
            raise InterruptedError("the service stops; the round goes on after its next start")
        self.keep_lease()


@dataclass(frozen=True)
class Pool:
    """The objects of a job that did not come with their label, and what is known of them.

    Objects are numbered in the manifest's order. What is made of them lies with the job's output.
    """

    output: Output

    @property
    def db(self) -> Database:
        """The store."""
        return self.output.db

    @property
    def job(self) -> Row[Any]:
        """The job's row."""
        return self.output.job

    @property
    def task_type(self) -> TaskType:
        """Of the job's built-in functions."""
        found = find_task_type(self.job.post_function)
        assert found is not None, "automated labeling needs a built-in function"
        return found

    def states(self) -> dict[int, str]:
        """The state of each object by its position."""
        query = select(data_objects.c.position, data_objects.c.state).where(
            data_objects.c.job_id == self.job.id, data_objects.c.state.not_in(("labeled", "gold"))
        )
        with self.db.read() as connection:
            return {row.position: row.state for row in connection.execute(query.order_by(data_objects.c.position))}

    def human_labels(self) -> dict[int, Label]:
        """What people said so far, consolidated, by position."""
        complete = counted_answers(self.job.id).where(data_objects.c.state.in_(("answered", "written")))
        with self.db.read() as connection:
            rows = connection.execute(complete.order_by(answers.c.position, answers.c.id)).all()
        usable = usable_answers(self.task_type, rows, self.job.categories)
        return {int(label.object_id): label for label in self.task_type.consolidate(usable, self.job.categories)}

    def sources(self, positions: Sequence[int]) -> list[str]:
        """The texts of these objects, or the URIs of their files."""
        found: dict[int, str] = {}
        for some in in_parts(positions):
            query = select(data_objects.c.position, data_objects.c.line).where(
                data_objects.c.job_id == self.job.id, data_objects.c.position.in_(some)
            )
            with self.db.read() as connection:
                for row in connection.execute(query):
                    found[row.position] = json.loads(row.line)[self.task_type.source_key]
        return [found[position] for position in positions]

    def knows_features(self) -> bool:
        """Whether they are made already."""
        return self.output.storage.exists(self._features_uri)

    def features(self) -> NDArray[np.float32]:
        """The objects as numbers that are comparable within this job, ``[objects, features]``."""
        import numpy as np

        if not self.knows_features():
            self.make_features()
        content = self.output.storage.read_bytes(self._features_uri)
        header = io.BytesIO(content)
        np.lib.format.read_magic(header)
        shape, _, kind = np.lib.format.read_array_header_1_0(header)
        # Where it lies: of many objects, a copy would be too much.
        rows: NDArray[np.float32] = np.frombuffer(content, kind, offset=header.tell()).reshape(shape)
        return rows

    def make_features(self) -> None:
        """Look at all objects, once a job. What cannot be read is set aside, so that nobody is asked about it."""
        import numpy as np

        from trueground.autolabel.features import text_pool_features

        positions = list(self.states())
        if self.task_type.media == "text":
            rows = text_pool_features(self.sources(positions))
        else:
            rows, broken = self._image_features(positions)
            self._set_aside(broken)
        buffer = io.BytesIO()
        np.save(buffer, rows, allow_pickle=False)
        self.output.storage.write_bytes(self._features_uri, buffer.getvalue())

    def own_features(self, positions: Sequence[int]) -> NDArray[np.float32]:
        """Objects as numbers that do not depend on the others of the job: what a model lives on that outlives it."""
        from trueground.autolabel.features import text_features

        if self.task_type.media == "text":
            return text_features(self.sources(positions))
        index = {position: number for number, position in enumerate(self.states())}
        return self.features()[[index[position] for position in positions]]

    def shares(self, model: LabelModel, positions: Sequence[int]) -> NDArray[np.float64]:
        """What a model that outlives its job says of these objects, ``[objects, classes]``."""
        import numpy as np

        if self.task_type.media != "text":
            return model.predict_proba(self.own_features(positions))
        parts = [model.predict_proba(self.own_features(some)) for some in in_parts(positions, TEXTS_AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, len(model.classes_)))

    def initial_model(self) -> LabelModel | None:
        """The model that the job was told to begin with."""
        from trueground.autolabel.model import LabelModel

        if self.job.initial_model is None:
            return None
        return LabelModel.from_bytes(self.output.storage.read_bytes(self.job.initial_model))

    def drawer(self, name: str) -> str:
        """The URI of a file of automated labeling."""
        return paths.join(self.output.base, "activelearning", name)

    @property
    def _features_uri(self) -> str:
        return self.drawer("features.npy")

    def _image_features(self, positions: Sequence[int]) -> tuple[NDArray[np.float32], dict[int, str]]:
        """The features of images, and why some of them have none: those are zeros."""
        import numpy as np

        from trueground.autolabel.features import image_features, width_of

        rows = np.zeros((len(positions), width_of("image")), dtype=np.float32)
        broken: dict[int, str] = {}
        for number, content in enumerate(self._contents(positions)):
            try:
                if isinstance(content, str):
                    raise InputError(content)
                rows[number] = image_features([content])[0]
            except InputError as error:
                broken[positions[number]] = str(error)
        return rows, broken

    def _contents(self, positions: Sequence[int]) -> Iterator[bytes | str]:
        """The files of objects, or what is wrong with them."""
        for some in in_parts(positions, READ_AT_ONCE):
            self.output.renew()
            reads = [in_thread("reading", partial(self._content, uri)) for uri in self.sources(some)]
            for read in reads:
                yield read.result()

    def _content(self, uri: str) -> bytes | str:
        try:
            return self.output.storage.read_bytes(uri)
        except FileNotFoundError:
            return f"there is no file {uri}"
        except (AccessError, IsADirectoryError) as error:
            return str(error)

    def _set_aside(self, broken: Mapping[int, str]) -> None:
        for position, reason in broken.items():
            this = (data_objects.c.job_id == self.job.id) & (data_objects.c.position == position)
            with self.db.write(routine=True) as connection:
                connection.execute(
                    update(data_objects)
                    .where(this, data_objects.c.state == "withheld")
                    .values(state="failed", failure_reason=reason[:1024])
                )


def write_final_model(output: Output) -> None:
    """Train a model on all that people said in an ended job and keep it, for other jobs to begin with."""
    from trueground.autolabel.model import LabelModel

    pool = Pool(output)
    labels = _spread(pool.human_labels())
    model = LabelModel.learn(pool.own_features(list(labels)), list(labels.values())) if labels else None
    if model is None:
        return
    uri = pool.drawer("model.skops")
    output.storage.write_bytes(uri, model.to_bytes())
    with output.db.write(routine=True) as connection:
        connection.execute(update(labeling_jobs).where(labeling_jobs.c.id == output.job.id).values(final_model=uri))


def _begin(pool: Pool) -> None:
    plan = _plan(pool, [], pool.states(), {}, accepted=0)
    assert plan is not None
    label_rounds.begin(pool.db, pool.job, plan)


def _settle(pool: Pool) -> None:
    """Settle the current round and plan the next one."""
    from trueground.autolabel.audit import settle_round

    with pool.db.read() as connection:
        rounds = label_rounds.read_rounds(connection, pool.job.id)
        plan = rounds[-1].plan
        audited = label_rounds.count_answers(connection, pool.job.id, plan.audit)
    labels = pool.human_labels()
    settlement, accepted = None, []
    if plan.proposal:
        settlement = settle_round(plan, {position: label.value for position, label in labels.items()})
        created = now()
        accepted = [
            MachineLabel(
                position,
                pool.task_type.write_label(
                    Label(str(position), value, confidence, human=False),
                    pool.output.attribute,
                    pool.job.categories,
                    job_name=pool.job.name,
                    created=created,
                ),
            )
            for position, value, confidence in zip(
                settlement.accepted, settlement.classes, settlement.confidence, strict=True
            )
        ]
    states = pool.states() | {label.position: "machine" for label in accepted}
    following = _plan(pool, rounds, states, labels, accepted=len(accepted))
    try:
        if label_rounds.settle(pool.db, pool.job, settlement, accepted, audited, following):
            log.info("round %d of %s: %d labels by machine", pool.job.iteration, pool.job.name, len(accepted))
    except label_rounds.PlannedTooMany:
        log.info("round %d of %s is planned anew", pool.job.iteration + 1, pool.job.name)


def _plan(
    pool: Pool, rounds: Sequence[LabelRound], states: Mapping[int, str], labels: Mapping[int, Label], *, accepted: int
) -> RoundPlan | None:
    """The next round, its objects by position; ``None`` where nobody is to be asked any more.

    Args:
        states: of all objects, with those that the machine is about to label.
        labels: what people said.
        accepted: how many the machine is about to label.
    """
    from trueground.autolabel.choose import AutoLabelSettings, RoundPlan, plan_round

    job, number = pool.job, len(rounds) + 1
    withheld = [position for position, state in states.items() if state == "withheld"]
    with pool.db.read() as connection:
        allowed = max(0, label_rounds.people_allowed(connection, job, accepted))
        ahead = label_rounds.asked_ahead(connection, job)
    if rounds and (not withheld or not allowed):
        return None
    each = job.max_objects_out or min(max(len(states) // 20, EACH[0]), EACH[1])
    if number >= ROUNDS or len(withheld) + ahead <= each:
        return RoundPlan(withheld[:allowed], at_random=False)
    positions = list(states)
    forecast = _forecast(pool, rounds, positions, labels)
    plan = plan_round(
        pool.features() if forecast is not None else _nothing_known(len(positions)),
        human={i: labels[position].value for i, position in enumerate(positions) if position in labels},
        # And what people are being asked about, or what failed.
        machine={i for i, position in enumerate(positions) if states[position] != "withheld"},
        forecast=forecast,
        settings=AutoLabelSettings(accuracy=job.auto_accuracy, confidence=job.auto_confidence),
        round=number,
        proposals=sum(bool(earlier.plan.proposal) for earlier in rounds),
        budget=max(1, min(each - ahead, allowed)),
        # Nobody can foretell what is audited.
        seed=int(job.reference_code, 16),
        rounds=ROUNDS,
        reserve=each,
    )
    return _within(_by_position(plan, positions), allowed)


def _forecast(
    pool: Pool, rounds: Sequence[LabelRound], positions: Sequence[int], labels: Mapping[int, Label]
) -> Forecast | None:
    """What the better one says: a model that learned from this job's labels, or the one that the job began with."""
    from trueground.autolabel.choose import Forecast
    from trueground.autolabel.model import LabelModel

    initial = pool.initial_model()
    if initial is None and not labels:
        return None
    numbers = {position: number for number, position in enumerate(positions)}
    known = {numbers[position]: label for position, label in _spread(labels).items()}
    # What was asked for being hard, later, does not tell what to expect of the others.
    hard = {position for earlier in rounds if not earlier.plan.at_random for position in earlier.plan.query}
    drawn = {numbers[position] for earlier in rounds for position in earlier.drawn - hard}
    own = None
    if known:
        rows = pool.features()
        own = LabelModel.learn(rows[list(known)], list(known.values()))
    if initial is not None:
        shares = pool.shares(initial, positions)
        names = initial.classes_.tolist()
        right = {i: names[int(shares[i].argmax())] == label.value for i, label in known.items()}
        if own is None or sum(right.values()) / len(right) > own.accuracy():
            sure, is_right = initial.left_out_confidence()
            if right:
                import numpy as np

                seen = [i for i in right if i in drawn]
                sure, is_right = shares[seen].max(axis=1), np.array([right[i] for i in seen], dtype=bool)
            return Forecast(names, shares, sure, is_right)
    if own is None:
        return None
    return Forecast.of(own, rows, {i: label.value for i, label in known.items()}, drawn)


def _by_position(plan: RoundPlan, positions: Sequence[int]) -> RoundPlan:
    named: dict[str, Any] = {
        part: [positions[i] for i in getattr(plan, part)] for part in ("query", "audit", "proposal", "reserve")
    }
    return replace(plan, **named)


def _within(plan: RoundPlan, allowed: int) -> RoundPlan:
    """A plan that asks no more of people than the stopping conditions allow; it proposes nothing it cannot audit."""
    if len(plan.query) + len(plan.audit) <= allowed:
        return plan
    if len(plan.audit) <= allowed:
        return replace(plan, query=plan.query[: allowed - len(plan.audit)])
    asked = sorted({*plan.query, *plan.audit})[:allowed]
    return replace(plan, query=asked, audit=[], proposal=[], proposal_classes=[], proposal_confidence=[])


def _spread(labels: Mapping[int, Label]) -> dict[int, Label]:
    """Labels to learn from, in the order of their positions: all, or that many evenly spread."""
    step = max(1, -(-len(labels) // LEARNED_FROM))
    return {position: labels[position] for position in sorted(labels)[::step]}


def _nothing_known(count: int) -> NDArray[np.float32]:
    import numpy as np

    return np.zeros((count, 0), dtype=np.float32)
