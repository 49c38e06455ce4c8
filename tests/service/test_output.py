"""The output tree: what it is made of, and that it can be made again from the store alone."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, func, insert, select, update
from typer.testing import CliRunner

from trueground.cli import app
from trueground.service.engine import answering, erasure, leasing, own_work
from trueground.service.engine.errors import Invalid
from trueground.service.engine.finisher import Finisher
from trueground.service.engine.output import Output
from trueground.service.engine.rebuilding import rebuild_output
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import answers, assignments, data_objects, job_workers, labeling_jobs
from trueground.storage import file_uri

MakeJob = Callable[..., str]
People = Callable[[int], list[str]]
LAMBDA = "arn:aws:lambda:us-east-1:432418664414:function:"
LOCAL = "arn:aws:lambda:us-east-1:000000000000:function:"
CUSTOM = {"AnnotationConsolidationLambdaArn": LOCAL + "consolidate"}


def finish(store: Database, settings: ServiceSettings) -> str:
    """Tick until nothing changes any more; the job's status."""
    finisher = Finisher(store, settings.storage(), settings)
    for _ in range(200):
        finisher.tick()
        job = job_row(store)
        if job.ended_at is None or job.status in ("Completed", "Failed", "Stopped"):
            break
        time.sleep(0.01)
    return str(job.status)


def job_row(store: Database) -> Row[Any]:
    with store.read() as connection:
        return connection.execute(select(labeling_jobs)).one()


def manifest(settings: ServiceSettings, name: str = "animals") -> list[dict[str, Any]]:
    text = (settings.data_root / "out" / name / "manifests/output/output.manifest").read_text()
    return [json.loads(line) for line in text.splitlines()]


def files(settings: ServiceSettings) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (settings.data_root / "out").rglob("*") if path.is_file()}


def edit(store: Database, position: int, label: str) -> None:
    """A worker edits their last answer at the very moment in which it is written to its file."""
    with store.write() as connection:
        old = connection.execute(select(answers).where(answers.c.position == position)).all()[-1]
        values = {key: value for key, value in old._asdict().items() if key != "id"}
        content = {"crowd-image-classifier": {"label": label}}
        later = old.submitted_at + timedelta(hours=1)
        revision = old.revision + 1
        connection.execute(
            insert(answers).values(**{**values, "content": content, "revision": revision, "submitted_at": later})
        )


@pytest.mark.parametrize("functions", ["built in", "own", "pass through", "none"])
def test_the_output_can_be_made_again_from_the_store_alone(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, answer_all: Callable[..., int],
    own_functions: Callable[..., None], monkeypatch: pytest.MonkeyPatch, functions: str,
) -> None:  # fmt: skip
    # An answer that cannot be used, as an earlier version took it.
    monkeypatch.setattr(answering, "problem_of", lambda *_: None)
    calls = []

    def consolidate(event: dict[str, Any]) -> Any:
        calls.append(event)
        payload = json.loads(settings.storage().read_bytes(event["payload"]["s3Uri"]))
        return [
            {"datasetObjectId": item["datasetObjectId"], "consolidatedAnnotation": {"content": {"animal": item}}}
            for item in payload
            if item["datasetObjectId"] != "1"
        ]

    own_functions(consolidate=consolidate)
    function = {"built in": LAMBDA + "ACS-ImageMultiClass", "pass through": LAMBDA + "ACS-PassThrough"}.get(
        functions, LOCAL + "consolidate"
    )
    config = None if functions == "none" else {"AnnotationConsolidationLambdaArn": function}
    stored_job(objects=4, workers=2, AnnotationConsolidationConfig=config)
    for worker in people(2):
        answer_all(store, "animals", worker, lambda position: "unicorn" if position == 2 else "cat")
    assert finish(store, settings) == "Completed"
    before, lines = files(settings), manifest(settings)
    shutil.rmtree(settings.data_root / "out")
    with store.write() as connection:
        connection.execute(update(labeling_jobs).values(status="InProgress"))
    assert finish(store, settings) == "Completed"
    again = files(settings)
    assert manifest(settings) == lines
    with store.read() as connection:
        positions = list(connection.scalars(select(data_objects.c.position)))
    Output(store, settings.storage(), settings, job_row(store), lambda: None).write_responses(positions)
    again = files(settings)
    output = settings.data_root / "out/animals/manifests/output/output.manifest"
    assert again.keys() == before.keys() and again[output] == before[output]
    if functions != "own":
        assert again == before
    assert len(calls) == (1 if functions == "own" else 0)


def test_the_output_of_an_eventful_job_is_rebuilt_byte_for_byte(
    store: Database, store_url: str, settings: ServiceSettings, people: People, stored_job: MakeJob
) -> None:
    """Gold objects, a worker paused for them and asked again, declined and edited answers, more workers where unsure,
    and at last an erased person.
    """
    picture = settings.data_root / "gold.png"
    picture.write_bytes(b"any")
    known = {"source-ref": file_uri(picture), "animal": 1, "animal-metadata": {"class-name": "dog"}}
    (settings.data_root / "gold.manifest").write_text(6 * (json.dumps(known) + "\n"))
    asked = {"gold": file_uri(settings.data_root / "gold.manifest"), "gold-share": "0.5", "gold-limit": "0.9"}
    asked |= {"gold-policy": "ask-again", "workers-max": "3"}
    tags = [{"Key": f"trueground:{key}", "Value": value} for key, value in asked.items()]
    stored_job(objects=40, workers=1, Tags=tags)
    good, bad, unsure, spare = people(4)
    dark = leasing.lease_object(store, unsure, job_row(store).id, 4)
    assert dark is not None
    answering.decline(store, dark.id, unsure, "too dark")
    finisher = Finisher(store, settings.storage(), replace(settings, poll_interval=0.0))
    for number, worker in enumerate(4 * [bad, good, unsure, spare]):
        while (lease := leasing.next_assignment(store, worker)) is not None:
            right = "dog" if worker in (good, spare) or lease.position % 3 else "cat"
            if worker == unsure and lease.position == 4:
                answering.decline(store, lease.id, worker, "too dark")
                continue
            given = {"crowd-image-classifier": {"label": "bird" if worker == bad else right}}
            answering.submit_answer(store, lease.id, worker, given, 1.0)
            if worker == good and lease.position % 5 == 0:
                own_work.edit_answer(store, lease.id, worker, given | {"note": number}, 1.0)
        finisher.tick()
    assert finish(store, settings) == "Completed"
    with store.read() as connection:
        seen = set(connection.scalars(select(assignments.c.state)))
        assert seen == {"submitted", "discarded", "declined"}
        assert connection.scalar(select(func.max(answers.c.revision))) == 1
        assert connection.scalar(select(func.max(data_objects.c.wanted))) > 1
        assert connection.scalar(select(job_workers.c.paused_at).where(job_workers.c.worker_id == bad)) is not None
    assert erasure.rewrite_files(store, settings.storage(), erasure.erase(store, "worker-0")) > 0
    before = files(settings)
    shutil.rmtree(settings.data_root / "out")
    options = ["--home", str(settings.home), "--data-root", str(settings.data_root), "--store", store_url]
    result = CliRunner().invoke(app, ["output", "rebuild", "animals", *options])
    manifest = settings.data_root / "out/animals/manifests/output/output.manifest"
    assert result.output == f"{file_uri(manifest)}\n"
    assert files(settings) == before
    stored_job("begun", objects=1)
    with pytest.raises(Invalid, match="is InProgress"):
        rebuild_output(store, settings.storage(), settings, "begun")


def test_of_each_answer_the_last_edit_counts_and_its_file_keeps_its_name(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, answer_all: Callable[..., int]
) -> None:
    stored_job(objects=2, workers=2)
    first, second = people(2)
    answer_all(store, "animals", first, "dog")
    answer_all(store, "animals", second, "dog", most=1)
    # Files are written at each look.
    finisher = Finisher(store, settings.storage(), replace(settings, poll_interval=0.0))
    finisher.tick()
    folder = settings.data_root / "out/animals/annotations/worker-response/iteration-1/0"
    (file,) = folder.iterdir()
    with store.read() as connection:
        theirs = select(assignments.c.id).where(assignments.c.position == 0, assignments.c.worker_id == second)
        lease = str(connection.scalar(theirs))
    own_work.edit_answer(store, lease, second, {"crowd-image-classifier": {"label": "cat"}}, 1.0)
    finisher.tick()
    assert list(folder.iterdir()) == [file]
    given = json.loads(file.read_text())["answers"]
    assert [answer["answerContent"]["crowd-image-classifier"]["label"] for answer in given] == ["dog", "cat"]
    # An edit that nobody told of: it is found when the job ends.
    edit(store, 0, "bird")
    answer_all(store, "animals", second, "dog")
    assert finish(store, settings) == "Completed"
    given = json.loads(file.read_text())["answers"]
    assert [answer["answerContent"]["crowd-image-classifier"]["label"] for answer in given] == ["dog", "bird"]


def test_discarded_answers_and_gold_objects_are_in_no_file(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, answer_all: Callable[..., int]
) -> None:
    stored_job(objects=3)
    wrong, right = people(2)
    answer_all(store, "animals", wrong, "bird")
    finisher = Finisher(store, settings.storage(), settings)
    with store.write() as connection:
        connection.execute(update(data_objects).where(data_objects.c.position == 2).values(state="gold"))
    finisher._write_answered(job_row(store))
    responses = settings.data_root / "out/animals/annotations/worker-response/iteration-1"
    (file,) = (responses / "0").iterdir()
    file.rename(file.with_name("2020-01-01_00:00:00.json"))  # as if it had been written long ago
    with store.write() as connection:
        connection.execute(update(assignments).where(assignments.c.position == 0).values(state="discarded"))
        connection.execute(
            update(data_objects)
            .where(data_objects.c.position == 0)
            .values(state="waiting", free=1, answers=0, returned=True)
        )
    answer_all(store, "animals", right, "cat")
    assert finish(store, settings) == "Completed"
    assert [line["animal-metadata"]["class-name"] for line in manifest(settings)] == ["cat", "bird"]
    assert sorted(path.name for path in responses.iterdir()) == ["0", "1"]
    (file,) = (responses / "0").iterdir()
    (given,) = json.loads(file.read_text())["answers"]
    assert given["answerContent"]["crowd-image-classifier"]["label"] == "cat"


def test_a_machine_label_is_written_as_the_store_has_it(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, answer_all: Callable[..., int]
) -> None:
    stored_job(objects=2)
    (worker,) = people(1)
    keys = {"animal": 2, "animal-metadata": {"class-name": "bird", "human-annotated": "no"}}
    with store.write() as connection:
        changed = update(data_objects).where(data_objects.c.position == 1)
        connection.execute(changed.values(state="machine", free=0, label=keys))
    answer_all(store, "animals", worker, "cat")
    assert finish(store, settings) == "Completed"
    first, second = manifest(settings)
    assert first["animal"] == 0 and {key: second[key] for key in keys} == keys and second["number"] == 1


def test_passing_through_leaves_the_answers_untouched(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob
) -> None:
    passing = {"AnnotationConsolidationLambdaArn": LAMBDA + "ACS-PassThrough"}
    stored_job(
        objects=[{"source": "Tell a joke.", "context": "x"}], workers=2, LabelCategoryConfigS3Uri=None,
        PreHumanTaskLambdaArn=LAMBDA + "PRE-PassThrough", AnnotationConsolidationConfig=passing,
    )  # fmt: skip
    from trueground.service.engine import progress

    given = [{"joke": {"text": "Ünd?", "n": 1}}, {"joke": None}]
    workers = people(2)
    for worker, content in zip(workers, given, strict=True):
        lease = leasing.next_assignment(store, worker)
        assert lease is not None
        task = progress.task_view(store, lease.id, worker)
        assert task.task_input == {"source": "Tell a joke.", "context": "x"}
        answering.submit_answer(store, lease.id, worker, content, 1.0)
    assert finish(store, settings) == "Completed"
    (line,) = manifest(settings)
    found = line["animal"]["annotations"]
    assert [json.loads(item["annotationData"]["content"]) for item in found] == given
    assert [item["workerId"] for item in found] == [f"private.us-east-1.{worker}" for worker in workers]
    assert line["animal-metadata"]["type"] == "groundtruth/custom"


@pytest.fixture
def answered(
    store: Database, people: People, stored_job: MakeJob, answer_all: Callable[..., int]
) -> Callable[..., None]:
    """A job with a post-annotation function of the requester's own, all of it answered."""

    def make(objects: int = 3, **members: Any) -> None:
        stored_job(objects=objects, AnnotationConsolidationConfig=CUSTOM, **members)
        (worker,) = people(1)
        answer_all(store, "animals", worker, "cat")

    return make


def test_a_post_annotation_function_gets_the_event_of_aws_and_its_labels_stand_in_the_manifest(
    store: Database, settings: ServiceSettings, answered: Callable[..., None], own_functions: Callable[..., None]
) -> None:
    events, payloads = [], []

    def consolidate(event: dict[str, Any]) -> Any:
        events.append(event)
        payloads.append(json.loads(settings.storage().read_bytes(event["payload"]["s3Uri"])))
        return [
            {
                "datasetObjectId": "0",
                "consolidatedAnnotation": {"content": {"animal": {"score": 7}, "source-ref": "x"}},
            },
            {
                "datasetObjectId": "1",
                "consolidatedAnnotation": {"content": {"animal": [], "animal-metadata": {"type": "mine/own"}}},
            },
            {"datasetObjectId": "2", "consolidatedAnnotation": {"content": {"something": "else"}}},
            {"datasetObjectId": "77", "consolidatedAnnotation": {"content": {"animal": 1}}},
        ]

    own_functions(consolidate=consolidate)
    answered(4)
    assert finish(store, settings) == "Completed"
    (event,) = events
    base = f"file://{settings.data_root}/out/animals/annotations"
    uri = event["payload"]["s3Uri"]
    assert uri.startswith(f"{base}/consolidated-annotation/consolidation-request/iteration-1/")
    assert event == {
        "version": "2018-10-16",
        "labelingJobArn": "arn:aws:sagemaker:us-east-1:000000000000:labeling-job/animals",
        "labelCategories": ["cat", "dog", "bird"],
        "labelAttributeName": "animal",
        "roleArn": "arn:aws:iam::000000000000:role/labeling",
        "outputConfig": base,
        "payload": {"s3Uri": uri},
    }
    (payload,) = payloads
    assert payload[0]["datasetObjectId"] == "0" and payload[0]["dataObject"].keys() == {"s3Uri"}
    (annotation,) = payload[0]["annotations"]
    assert annotation["annotationData"] == {"content": '{"crowd-image-classifier": {"label": "cat"}}'}
    lines = manifest(settings)
    metadata = lines[0]["animal-metadata"]
    assert lines[0]["animal"] == {"score": 7} and lines[0]["source-ref"] != "x"
    assert metadata.keys() == {"type", "job-name", "human-annotated", "creation-date"}
    assert metadata["type"] == "groundtruth/custom" and metadata["job-name"] == "labeling-job/animals"
    assert lines[1]["animal"] == [] and lines[1]["animal-metadata"] == {"type": "mine/own"}
    assert "no consolidatedAnnotation.content with 'animal'" in lines[2]["animal-metadata"]["failure-reason"]
    assert "returned no label" in lines[3]["animal-metadata"]["failure-reason"]
    assert "animal" not in lines[2] and "animal" not in lines[3]
    (response,) = (settings.data_root / "out").rglob("consolidation-response/iteration-1/*.json")
    assert [item["datasetObjectId"] for item in json.loads(response.read_text())] == ["0", "1", "2", "77"]


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (None, "returned no list"),
        ([{"x": 1}], "without a datasetObjectId"),
        (ValueError("no model"), "failed: ValueError: no model"),
        ([{"datasetObjectId": "0", "consolidatedAnnotation": {"content": {"animal": 1, "animal-metadata": 2}}}],
         "is no object"),
    ],
)  # fmt: skip
def test_a_post_annotation_function_that_fails_fails_its_objects(
    store: Database, settings: ServiceSettings, answered: Callable[..., None], own_functions: Callable[..., None],
    returned: Any, reason: str,
) -> None:  # fmt: skip
    def consolidate(event: dict[str, Any]) -> Any:
        if isinstance(returned, Exception):
            raise returned
        return returned

    own_functions(consolidate=consolidate)
    answered(1)
    assert finish(store, settings) == "Failed"
    assert reason in job_row(store).failure_reason
    assert reason in manifest(settings)[0]["animal-metadata"]["failure-reason"]


def test_a_function_is_not_called_again_for_what_it_returned_before_a_crash(
    store: Database, settings: ServiceSettings, answered: Callable[..., None], own_functions: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from trueground.service.engine import post_function

    calls = []

    def consolidate(event: dict[str, Any]) -> Any:
        calls.append(event["payload"]["s3Uri"])
        payload = json.loads(settings.storage().read_bytes(event["payload"]["s3Uri"]))
        return [
            {
                "datasetObjectId": item["datasetObjectId"],
                "consolidatedAnnotation": {"content": {"animal": len(payload)}},
            }
            for item in payload
        ]

    def die(*_: Any) -> None:
        raise ConnectionError("the store is gone")

    own_functions(consolidate=consolidate)
    monkeypatch.setattr(post_function, "OBJECTS_AT_ONCE", 2)
    answered(5, LabelCategoryConfigS3Uri=None, PreHumanTaskLambdaArn=None)
    with monkeypatch.context() as patch:
        patch.setattr(post_function, "_keep", die)
        assert finish(store, settings) == "InProgress"
    assert len(calls) == 1
    assert finish(store, settings) == "Completed"
    assert len(calls) == 3 == len(set(calls))
    assert [line["animal"] for line in manifest(settings)] == [2, 2, 2, 2, 1]


def test_one_function_that_takes_its_time_keeps_no_other_job_waiting(
    service: Any, make_job: MakeJob, own_functions: Callable[..., None]
) -> None:
    import threading

    held = threading.Event()

    def consolidate(event: dict[str, Any]) -> Any:
        held.wait(20)
        return [{"datasetObjectId": "0", "consolidatedAnnotation": {"content": {"animal": 1}}}]

    own_functions(consolidate=consolidate)
    worker = service.add_worker("ann")
    make_job("slow", objects=1, AnnotationConsolidationConfig=CUSTOM)
    make_job("quick", objects=1)
    assert service.answer("slow", worker) == service.answer("quick", worker) == 1
    try:
        service.wait_for("quick", "Completed")
    finally:
        held.set()
    service.wait_for("slow", "Completed")


def test_where_a_real_lambda_function_does_both_ends(
    service: Any, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.service.lambda_server import serve_lambda

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    remote = "arn:aws:lambda:us-west-2:123456789012:function:"

    def consolidate(event: dict[str, Any]) -> Any:
        payload = json.loads(service.settings.storage().read_bytes(event["payload"]["s3Uri"]))
        content = json.loads(payload[0]["annotations"][0]["annotationData"]["content"])
        return [{"datasetObjectId": "0", "consolidatedAnnotation": {"content": {"animal": content}}}]

    with serve_lambda() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", server.url)
        server.handlers["SageMaker-pre"] = lambda event: {"taskInput": {"text": event["dataObject"]["source"]}}
        server.handlers["SageMaker-post"] = consolidate
        post = {"AnnotationConsolidationLambdaArn": remote + "SageMaker-post"}
        make_job(
            "texts", [{"source": "x"}], PreHumanTaskLambdaArn=remote + "SageMaker-pre",
            AnnotationConsolidationConfig=post, LabelCategoryConfigS3Uri=None,
        )  # fmt: skip
        worker, end = service.add_worker("ann"), time.monotonic() + 10
        while not service.answer("texts", worker):
            assert time.monotonic() < end
            time.sleep(0.05)
        service.wait_for("texts", "Completed")
    assert manifest(service.settings, "texts")[0]["animal"] == {"crowd-image-classifier": {"label": "dog"}}


@pytest.mark.slow
def test_labels_are_written_at_constant_memory(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob
) -> None:
    import tracemalloc

    def peak(objects: int, name: str) -> int:
        stored_job(name, objects=1)
        with store.write() as connection:
            job = connection.execute(select(labeling_jobs).where(labeling_jobs.c.name == name)).one()
            row = connection.execute(select(data_objects).where(data_objects.c.job_id == job.id)).one()._asdict()
            connection.execute(data_objects.delete().where(data_objects.c.job_id == job.id))
            rows = [{**row, "position": position, "state": "written"} for position in range(objects)]
            connection.execute(insert(data_objects), rows)
            at, common = job.created_at, {"job_id": job.id, "worker_id": worker}
            leases = [{"id": f"{name}-{n}", "position": n, "state": "submitted", **common} for n in range(objects)]
            connection.execute(insert(assignments).values(leased_at=at, expires_at=at), leases)
            content = {"crowd-image-classifier": {"label": "dog", "more": "x" * 500}}
            given = [{"assignment_id": f"{name}-{n}", "position": n, **common} for n in range(objects)]
            connection.execute(
                insert(answers).values(content=content, seconds=1.0, accepted_at=at, submitted_at=at), given
            )
            connection.execute(update(labeling_jobs).values(ended_at=at, objects=objects))
            job = connection.execute(select(labeling_jobs).where(labeling_jobs.c.id == job.id)).one()
        output = Output(store, settings.storage(), settings, job, lambda: None)
        tracemalloc.start()
        try:
            assert output.write_labels() == []
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    (worker,) = people(1)
    peak(100, "warm-up")
    small, large = peak(2000, "small"), peak(12_000, "large")
    # Ten thousand answers of half a kilobyte more, of which three numbers each are kept.
    assert large - small < 10_000 * 150


def test_files_of_a_job_that_goes_on_are_written_many_at_a_time_and_at_its_end_at_once(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, answer_all: Callable[..., int]
) -> None:
    stored_job(objects=3)
    (worker,) = people(1)
    finisher = Finisher(store, settings.storage(), replace(settings, poll_interval=60.0))
    folder = settings.data_root / "out/animals/annotations/worker-response/iteration-1"
    for answered, written in ((1, 1), (1, 1), (1, 3)):
        answer_all(store, "animals", worker, "dog", most=answered)
        finisher.tick()
        assert len(list(folder.iterdir())) == written
    assert (settings.data_root / "out/animals/manifests/output/output.manifest").exists()
