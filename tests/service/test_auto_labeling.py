"""Automated labeling inside the service: rounds of people and a model, with a promise that is audited."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from PIL import Image, ImageDraw
from sqlalchemy import func, select, update

from tests.service.running import RunningService
from trueground.autolabel.model import LabelModel
from trueground.service.engine import assignment, job_insight, jobs, label_rounds, own_work
from trueground.service.engine.auto_labeling import AutoLabeling
from trueground.service.engine.errors import Closed
from trueground.service.engine.finisher import Finisher
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import answers, data_objects, labeling_jobs
from trueground.storage import file_uri

MakeRequest = Callable[..., dict[str, Any]]
Truth = Callable[[int], str]
ALGORITHM = "arn:aws:sagemaker:us-east-1:027400017018:labeling-job-algorithm-specification/"
IMAGES = {"LabelingJobAlgorithmSpecificationArn": ALGORITHM + "image-classification"}
LAMBDA = "arn:aws:lambda:us-east-1:432418664414:function:"
WORDS = {"LabelingJobAlgorithmSpecificationArn": ALGORITHM + "text-classification"}
TEXTS = {
    "PreHumanTaskLambdaArn": LAMBDA + "PRE-TextMultiClass",
    "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": LAMBDA + "ACS-TextMultiClass"},
}
CLASSES = ("cat", "dog", "bird")


def truth(position: int) -> str:
    return CLASSES[position * 7 % 3]


def anything(position: int) -> str:
    """What somebody says who does not look."""
    return str(np.random.default_rng([position, 1]).choice(CLASSES))


def picture(position: int) -> bytes:
    """A bar that lies, stands or leans, each a little different."""
    randomness = np.random.default_rng(position)
    image = Image.fromarray(randomness.integers(0, 60, (32, 32, 3), dtype=np.uint8))
    x, y = (int(value) for value in randomness.integers(10, 22, 2))
    ends = {"cat": (-9, 0, 9, 0), "dog": (0, -9, 0, 9), "bird": (-7, -7, 7, 7)}[truth(position)]
    ImageDraw.Draw(image).line([x + ends[0], y + ends[1], x + ends[2], y + ends[3]], fill=(250, 250, 250), width=3)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def pictures(settings: ServiceSettings) -> Callable[[int], list[dict[str, Any]]]:
    """So many lines of a manifest, with their files."""

    def make(count: int) -> list[dict[str, Any]]:
        folder = settings.data_root / "pictures"
        folder.mkdir(exist_ok=True)
        for position in range(count):
            (folder / f"{position}.png").write_bytes(picture(position))
        return [{"source-ref": file_uri(folder / f"{position}.png")} for position in range(count)]

    return make


def label_all(service: RunningService, name: str, worker: str, label: Truth = truth, seconds: float = 60) -> Any:
    """Answer whatever the job asks until it has ended."""
    end = time.monotonic() + seconds
    while True:
        service.answer(name, worker, label)
        job = service.client().describe_labeling_job(LabelingJobName=name)
        if job["LabelingJobStatus"] not in ("InProgress", "Initializing"):
            return job
        assert time.monotonic() < end, job
        time.sleep(0.05)


def lines_of(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    path = Path(job["LabelingJobOutput"]["OutputDatasetS3Uri"].removeprefix("file://"))
    return [json.loads(line) for line in path.read_text().splitlines()]


class Engine:
    """The background of a service, one step at a time."""

    def __init__(self, db: Database, settings: ServiceSettings) -> None:
        self.db = db
        self.auto = AutoLabeling(db, settings.storage(), settings)
        self._finisher = Finisher(db, settings.storage(), settings)

    def step(self) -> None:
        """Let both do all they can do now."""
        for _ in range(3):
            self._finisher.tick()
            self.auto.tick()
            while not self.auto.is_idle():
                time.sleep(0.01)
            self.auto.tick()
            while not self._finisher.is_idle():
                time.sleep(0.01)
            self._finisher.tick()

    def job(self, name: str = "animals") -> Any:
        with self.db.read() as connection:
            return connection.execute(select(labeling_jobs).where(labeling_jobs.c.name == name)).one()

    def states(self) -> dict[str, int]:
        with self.db.read() as connection:
            query = select(data_objects.c.state, func.count()).group_by(data_objects.c.state)
            return {state: count for state, count in connection.execute(query).all()}

    def rounds(self) -> list[label_rounds.LabelRound]:
        with self.db.read() as connection:
            return label_rounds.read_rounds(connection, self.job().id)


@pytest.fixture
def start(stored_job: Callable[..., str], pictures: Callable[[int], list[dict[str, Any]]]) -> Callable[[int], None]:
    """Create the job ``animals`` over so many pictures, with automated labeling."""

    def make(objects: int) -> None:
        stored_job("animals", pictures(objects), LabelingJobAlgorithmsConfig=IMAGES)

    return make


@pytest.fixture
def engine(store: Database, settings: ServiceSettings) -> Engine:
    return Engine(store, settings)


def test_a_model_labels_what_it_is_sure_of_and_the_next_job_begins_with_it(
    service: RunningService, sagemaker: Any, job_request: MakeRequest, pictures: Callable[[int], list[dict[str, Any]]]
) -> None:
    worker = service.add_worker("ann")
    request = job_request("animals", pictures(500), LabelingJobAlgorithmsConfig=IMAGES)
    sagemaker.create_labeling_job(**request)
    job = label_all(service, "animals", worker)
    assert job["LabelingJobStatus"] == "Completed"
    assert job["LabelingJobAlgorithmsConfig"] == IMAGES
    counters = job["LabelCounters"]
    assert counters["MachineLabeled"] > 150 and counters["Unlabeled"] == 0
    assert counters["HumanLabeled"] + counters["MachineLabeled"] == counters["TotalLabeled"] == 500
    lines = lines_of(job)
    machine = [n for n, line in enumerate(lines) if line["animal-metadata"]["human-annotated"] == "no"]
    assert len(machine) == counters["MachineLabeled"]
    right = sum(lines[n]["animal-metadata"]["class-name"] == truth(n) for n in machine)
    assert right >= 0.95 * len(machine)
    one = lines[machine[0]]
    assert one["animal"] == CLASSES.index(one["animal-metadata"]["class-name"])
    assert one["animal-metadata"]["job-name"] == "labeling-job/animals"
    assert one["animal-metadata"]["type"] == "groundtruth/image-classification"
    assert 0 < one["animal-metadata"]["confidence"] <= 1
    # Answers lie in the folder of the round in which they were asked for.
    folders = {path.name for path in (service.data_root / "out/animals/annotations/worker-response").iterdir()}
    assert {"iteration-1", "iteration-2"} <= folders

    model = job["LabelingJobOutput"]["FinalActiveLearningModelArn"]
    assert model == "arn:aws:sagemaker:us-east-1:000000000000:model/animals"
    again = job_request(
        "again", pictures(500), LabelingJobAlgorithmsConfig={**IMAGES, "InitialActiveLearningModelArn": model}
    )
    sagemaker.create_labeling_job(**again)
    second = label_all(service, "again", worker)
    assert second["LabelCounters"]["TotalLabeled"] == 500
    assert second["LabelCounters"]["HumanLabeled"] < counters["HumanLabeled"]
    wrong = [n for n, line in enumerate(lines_of(second)) if line["animal-metadata"]["class-name"] != truth(n)]
    assert len(wrong) <= 0.05 * 500

    insight = job_insight.job_insight(service.db, "animals")
    assert insight.promise == (0.95, 0.95)
    assert sum(one.asked for one in insight.rounds) == counters["HumanLabeled"]
    assert sum(one.accepted or 0 for one in insight.rounds) == counters["MachineLabeled"]
    settled = [one for one in insight.rounds if one.accepted]
    assert all(one.error_bound is not None and one.error_bound <= 0.05 and one.audited for one in settled)

    listed = sagemaker.list_labeling_jobs(NameContains="animals")["LabelingJobSummaryList"][0]
    assert listed["LabelCounters"] == counters
    assert listed["LabelingJobOutput"]["FinalActiveLearningModelArn"] == model


def test_texts_are_labeled_by_a_model_too(service: RunningService, sagemaker: Any, job_request: MakeRequest) -> None:
    words = {"cat": "meow purr whiskers sofa", "dog": "bark leash walk bone", "bird": "sing wing nest feather"}
    randomness = np.random.default_rng(0)
    objects = [
        {
            "source": " ".join(
                [*randomness.choice(words[truth(n)].split(), 6), *randomness.choice(["the", "a", "house", "garden"], 4)]
            )
        }
        for n in range(400)
    ]
    (service.data_root / "text.html").write_text("<crowd-form>{{ task.input.taskObject }}</crowd-form>")
    texts = {**TEXTS, "UiConfig": {"UiTemplateS3Uri": file_uri(service.data_root / "text.html")}}
    worker = service.add_worker("ann")
    sagemaker.create_labeling_job(**job_request("animals", objects, LabelingJobAlgorithmsConfig=WORDS, **texts))
    job = label_all(service, "animals", worker)
    machine = [
        n for n, line in enumerate(lines_of(job)) if line["animal-metadata"]["human-annotated"] == "no"
    ]  # fmt: skip
    assert len(machine) == job["LabelCounters"]["MachineLabeled"] > 100
    model = LabelModel.from_bytes((service.data_root / "out/animals/activelearning/model.skops").read_bytes())
    assert model.width == 4096
    arn = job["LabelingJobOutput"]["FinalActiveLearningModelArn"]
    config = {**WORDS, "InitialActiveLearningModelArn": arn}
    sagemaker.create_labeling_job(**job_request("again", objects, LabelingJobAlgorithmsConfig=config, **texts))
    second = label_all(service, "again", worker)
    assert second["LabelCounters"]["HumanLabeled"] < job["LabelCounters"]["HumanLabeled"]


def test_where_people_say_anything_no_machine_label_is_accepted(
    service: RunningService, sagemaker: Any, job_request: MakeRequest, pictures: Callable[[int], list[dict[str, Any]]]
) -> None:
    worker = service.add_worker("ann")
    sagemaker.create_labeling_job(**job_request("animals", pictures(300), LabelingJobAlgorithmsConfig=IMAGES))
    job = label_all(service, "animals", worker, lambda position: anything(position))
    assert job["LabelCounters"]["MachineLabeled"] == 0 and job["LabelCounters"]["HumanLabeled"] == 300
    assert "FinalActiveLearningModelArn" in job["LabelingJobOutput"], "the model is bad, but it is there"


def test_people_who_know_one_class_only_leave_no_model(
    service: RunningService, sagemaker: Any, job_request: MakeRequest, pictures: Callable[[int], list[dict[str, Any]]]
) -> None:
    worker = service.add_worker("ann")
    sagemaker.create_labeling_job(**job_request("animals", pictures(120), LabelingJobAlgorithmsConfig=IMAGES))
    job = label_all(service, "animals", worker, lambda _: "cat")
    assert job["LabelingJobStatus"] == "Completed" and job["LabelCounters"]["HumanLabeled"] == 120
    assert "FinalActiveLearningModelArn" not in job["LabelingJobOutput"]


@pytest.mark.parametrize(
    ("conditions", "most_people", "most_labels"),
    [
        ({"MaxHumanLabeledObjectCount": 70}, 70, 300),
        ({"MaxPercentageOfInputDatasetLabeled": 40}, 120, 300),
    ],
)
def test_stopping_conditions_bound_what_people_are_asked(
    service: RunningService,
    sagemaker: Any,
    job_request: MakeRequest,
    pictures: Callable[[int], list[dict[str, Any]]],
    conditions: dict[str, int],
    most_people: int,
    most_labels: int,
) -> None:
    worker = service.add_worker("ann")
    request = job_request("animals", pictures(300), LabelingJobAlgorithmsConfig=IMAGES, StoppingConditions=conditions)
    sagemaker.create_labeling_job(**request)
    # Answers at random: the machine can take nothing over.
    job = label_all(service, "animals", worker, lambda position: anything(position))
    assert job["LabelingJobStatus"] == "Stopped"
    assert job["LabelCounters"]["HumanLabeled"] == most_people
    assert job["LabelCounters"]["Unlabeled"] == most_labels - most_people
    assert len(lines_of(job)) == 300


def test_a_job_is_stopped_between_its_rounds_and_keeps_what_is_done(
    service: RunningService, sagemaker: Any, job_request: MakeRequest, pictures: Callable[[int], list[dict[str, Any]]]
) -> None:
    worker = service.add_worker("ann")
    sagemaker.create_labeling_job(**job_request("animals", pictures(300), LabelingJobAlgorithmsConfig=IMAGES))
    end = time.monotonic() + 15
    while not service.answer("animals", worker, truth, most=20):
        assert time.monotonic() < end
        time.sleep(0.05)
    sagemaker.stop_labeling_job(LabelingJobName="animals")
    job = service.wait_for("animals", "Stopped")
    assert 1 <= job["LabelCounters"]["HumanLabeled"] <= 20
    assert sum("animal" in line for line in lines_of(job)) == job["LabelCounters"]["HumanLabeled"]


def test_a_file_that_is_no_image_is_set_aside_and_the_rest_is_labeled(
    service: RunningService, sagemaker: Any, job_request: MakeRequest, pictures: Callable[[int], list[dict[str, Any]]]
) -> None:
    objects = pictures(300)
    for number in (3, 150, 299):
        (service.data_root / f"pictures/{number}.png").write_bytes(b"no image")
    worker = service.add_worker("ann")
    sagemaker.create_labeling_job(**job_request("animals", objects, LabelingJobAlgorithmsConfig=IMAGES))
    job = label_all(service, "animals", worker)
    assert job["LabelingJobStatus"] == "Completed" and job["LabelCounters"]["Unlabeled"] == 0
    reasons = [line["animal-metadata"].get("failure-reason") for line in lines_of(job)]
    failed = [reason for reason in reasons if reason]
    # One of them may have been in the first sample, where a person saw it.
    assert len(failed) == job["LabelCounters"]["FailedNonRetryableError"] <= 3
    assert all("not an image" in reason for reason in failed)


@pytest.mark.parametrize(
    ("config", "members", "message"),
    [
        ({"LabelingJobAlgorithmSpecificationArn": ALGORITHM + "object-detection"}, {}, "object-detection' is not offe"),
        ({"LabelingJobAlgorithmSpecificationArn": "arn:aws:sagemaker:us-east-1:123456789012:algorithm/mine"}, {},
         "LabelingJobAlgorithmSpecificationArn cannot be honoured"),
        ({"LabelingJobAlgorithmSpecificationArn": ALGORITHM + "text-classification"}, {}, "needs the built-in"),
        (IMAGES, {"AnnotationConsolidationConfig": None}, "needs the built-in"),
        (IMAGES, {"Tags": [{"Key": "trueground:streaming", "Value": "yes"}]}, "a streaming job never knows"),
        (IMAGES, {"Tags": [{"Key": "trueground:gold", "Value": "file://DATA/gold"},
                           {"Key": "trueground:gold-limit", "Value": "0.8"},
                           {"Key": "trueground:gold-policy", "Value": "ask-again"}]}, "cannot be ask-again"),
        (IMAGES, {"Tags": [{"Key": "trueground:auto-label-accuracy", "Value": "1"}]}, "from 0.5 to below 1, not '1'"),
        (None, {"Tags": [{"Key": "trueground:auto-label-confidence", "Value": "0.9"}]}, "need LabelingJobAlgorithmsCo"),
        ({**IMAGES, "LabelingJobResourceConfig": {"VolumeKmsKeyId": "key"}}, {}, "VolumeKmsKeyId cannot be honoured"),
        ({**IMAGES, "LabelingJobResourceConfig": {"VpcConfig": {"SecurityGroupIds": ["a"], "Subnets": ["b"]}}}, {},
         "VpcConfig cannot be honoured"),
        ({**IMAGES, "InitialActiveLearningModelArn": "arn:aws:sagemaker:us-east-1:000000000000:model/none"}, {},
         "is no FinalActiveLearningModelArn"),
        ({**IMAGES, "InitialActiveLearningModelArn": "arn:aws:sagemaker:us-east-1:123456789012:model/animals"}, {},
         "is no FinalActiveLearningModelArn"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_of_automated_labeling_is_refused_by_name(
    service: RunningService,
    sagemaker: Any,
    job_request: MakeRequest,
    config: dict[str, Any] | None,
    members: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(ClientError, match="ValidationException") as caught:
        sagemaker.create_labeling_job(**job_request(LabelingJobAlgorithmsConfig=config, **members))
    assert message in str(caught.value)


def test_a_model_that_does_not_fit_is_refused(
    service: RunningService, sagemaker: Any, job_request: MakeRequest
) -> None:
    models = {
        "texts": LabelModel().fit(np.eye(4, 4096), ["cat", "dog", "cat", "dog"]).to_bytes(),
        "wolves": LabelModel().fit(np.eye(4, 808), ["cat", "wolf", "cat", "wolf"]).to_bytes(),
        "torn": b"no model",
    }
    for name, content in models.items():
        sagemaker.create_labeling_job(**job_request(name, 1))
        uri = service.data_root / f"{name}.skops"
        uri.write_bytes(content)
        with service.db.write() as connection:
            this = labeling_jobs.c.name == name
            connection.execute(update(labeling_jobs).where(this).values(final_model=file_uri(uri)))
    told = {}
    for name in models:
        arn = service.settings.arn(f"model/{name}")
        config = {**IMAGES, "InitialActiveLearningModelArn": arn}
        with pytest.raises(ClientError) as caught:
            sagemaker.create_labeling_job(**job_request("animals", LabelingJobAlgorithmsConfig=config))
        told[name] = str(caught.value)
    assert "made for another kind of data" in told["texts"]
    assert "knows 'wolf', which is not among the label categories" in told["wolves"]
    assert "torn.skops" in told["torn"] and "not a model file" in told["torn"]


def test_who_would_have_nothing_to_do_is_asked_ahead(
    engine: Engine,
    store: Database,
    settings: ServiceSettings,
    people: Callable[[int], list[str]],
    start: Callable[[int], None],
    answer_all: Callable[..., int],
) -> None:
    ann, bob = people(2)
    start(300)
    engine.step()
    assert engine.states() == {"waiting": 50, "withheld": 250}
    slow = assignment.next_assignment(store, ann, "animals")
    assert slow is not None
    store.version += 1
    assert answer_all(store, "animals", bob, truth) == 49
    assert assignment.next_assignment(store, bob, "animals") is None
    engine.step()
    # The round is not over, and still there is something to do, of what would come next.
    assert engine.job().iteration == 1 and len(engine.rounds()) == 1
    ahead = assignment.next_assignment(store, bob, "animals")
    assert ahead is not None and ahead.position in engine.rounds()[0].plan.reserve
    assignment.submit_answer(store, slow.id, ann, {"x": {"label": truth(slow.position)}}, 1)
    engine.step()
    assert engine.job().iteration == 2
    rounds = engine.rounds()
    with store.read() as connection:
        asked = connection.scalar(select(func.count()).where(data_objects.c.iteration == 2))
    assert asked == len(rounds[1].plan.query) + len(rounds[1].plan.audit) + label_rounds.AHEAD
    assert rounds[0].drawn >= {*rounds[0].plan.query, ahead.position}


def test_an_answer_can_be_changed_until_its_round_is_settled(
    engine: Engine,
    store: Database,
    people: Callable[[int], list[str]],
    start: Callable[[int], None],
    answer_all: Callable[..., int],
) -> None:
    (ann,) = people(1)
    start(200)
    engine.step()
    answer_all(store, "animals", ann, truth, 10)
    first = own_work.recent_answers(store, ann, "animals")[-1]
    assert first.editable
    own_work.edit_answer(store, first.assignment_id, ann, {"x": {"label": "bird"}}, 1)
    answer_all(store, "animals", ann, truth)
    engine.step()
    assert engine.job().iteration == 2
    late = [given for given in own_work.recent_answers(store, ann, "animals", 100) if given.editable]
    assert late == []
    with pytest.raises(Closed, match="can no longer be changed"):
        own_work.edit_answer(store, first.assignment_id, ann, {"x": {"label": "cat"}}, 1)


def test_a_round_is_settled_once_whoever_comes_and_by_the_answers_that_stand(
    engine: Engine,
    store: Database,
    settings: ServiceSettings,
    people: Callable[[int], list[str]],
    start: Callable[[int], None],
    answer_all: Callable[..., int],
) -> None:
    (ann,) = people(1)
    start(300)
    while True:
        engine.step()
        if engine.rounds()[-1].plan.proposal:
            break
        answer_all(store, "animals", ann, truth)
    before, plan = engine.job(), engine.rounds()[-1].plan
    answer_all(store, "animals", ann, truth)
    counted = {position: 1 for position in plan.audit}
    # Somebody edited an answer to an audited object after it was looked at: nothing is kept of the old look.
    assert not label_rounds.settle(store, before, None, [], counted | {plan.audit[0]: 2}, None)
    assert engine.rounds()[-1].settlement is None
    stale = engine.job()
    engine.step()
    settled = engine.rounds()[before.iteration - 1].settlement
    assert settled is not None and settled["wrong"] == 0 and settled["accepted"] > 0
    machine = engine.states()["machine"]
    # Another process, or this one after a crash, that still thinks the round is open.
    keys = label_rounds.MachineLabel(plan.audit[0], {"animal": 0})
    assert not label_rounds.settle(store, stale, None, [keys], counted, plan)
    assert engine.states()["machine"] == machine
    # A service that begins anew goes on from the store alone, and ends with the same labels for the same objects.
    fresh = Engine(store, settings)
    for _ in range(20):
        fresh.step()
        if not answer_all(store, "animals", ann, truth) and fresh.job().status == "Completed":
            break
    assert fresh.job().status == "Completed"
    with store.read() as connection:
        asked = connection.scalar(select(func.count()).where(answers.c.revision == 0))
    assert asked == 300 - fresh.states()["machine"]


def test_a_first_sample_of_which_too_much_fails_stops_the_job(
    engine: Engine,
    store: Database,
    people: Callable[[int], list[str]],
    start: Callable[[int], None],
) -> None:
    ann, bob = people(2)
    start(200)
    engine.step()
    for _ in range(6):
        for worker in (ann, bob):
            task = assignment.next_assignment(store, worker, "animals")
            assert task is not None
            assignment.decline(store, task.id, worker, "all black")
    engine.step()
    job = engine.job()
    assert job.status == "Failed" and "6 of the first 50 data objects failed" in job.failure_reason


def test_features_that_cannot_be_made_end_the_job_with_the_reason(
    engine: Engine,
    store: Database,
    people: Callable[[int], list[str]],
    start: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    people(1)
    start(200)

    def fail(_: Any) -> None:
        raise ValueError("the numbers do not add up")

    monkeypatch.setattr("trueground.service.engine.auto_labeling.Pool.make_features", fail)
    monkeypatch.setattr("trueground.service.engine.threads.Failures.may_try", lambda *_: True)
    for _ in range(4):
        engine.step()
    job = engine.job()
    assert job.status == "Failed" and "the numbers do not add up" in job.failure_reason


def test_more_objects_than_a_model_can_hold_are_refused(
    service: RunningService, sagemaker: Any, job_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trueground.service.engine.algorithms.MOST_OBJECTS", 2)
    with pytest.raises(ClientError, match="3 data objects are to be labeled, automated labeling takes 2 at most"):
        sagemaker.create_labeling_job(**job_request(LabelingJobAlgorithmsConfig=IMAGES))
    assert jobs.list_jobs(service.db, service.settings).items == []
