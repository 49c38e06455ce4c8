"""Streaming labeling jobs: objects come while a job runs, over HTTP and SNS, and labels go out at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from sqlalchemy import select, update

from tests.moto_server import MotoServer, serve_moto
from tests.service.running import LAMBDA, RunningService
from trueground.service.engine import answering, leasing, own_work, stream_source, streaming, topics
from trueground.service.engine.errors import Closed, Invalid
from trueground.service.engine.finisher import Finisher
from trueground.service.engine.streaming import Pushed
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import data_objects, labeling_jobs

YES = [{"Key": "trueground:streaming", "Value": "yes"}]
ID = "dataset-objectid-attribute-name"
MakeRequest = Callable[..., dict[str, Any]]


class Messages:
    """SNS and SQS on this machine, with a topic for objects and a queue that gets the labels."""

    def __init__(self, server: MotoServer) -> None:
        self.url = server.url
        self.sns, self.sqs = server.client("sns"), server.client("sqs")
        self.topic = self.sns.create_topic(Name="objects")["TopicArn"]
        self.labels = self.sns.create_topic(Name="labels")["TopicArn"]
        self._queue = self.sqs.create_queue(QueueName="labels")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.sns.subscribe(TopicArn=self.labels, Protocol="sqs", Endpoint=arn)

    def send(self, *objects: Any) -> None:
        for one in objects:
            self.sns.publish(TopicArn=self.topic, Message=one if isinstance(one, str) else json.dumps(one))

    def received(self, count: int, seconds: float = 120) -> list[dict[str, Any]]:
        """The first so many labels that went out."""
        found: list[dict[str, Any]] = []
        end = time.monotonic() + seconds
        while len(found) < count and time.monotonic() < end:
            for message in self.sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages", []):
                found.append(json.loads(json.loads(message["Body"])["Message"]))
                self.sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
            time.sleep(0.05)
        return found


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> Iterator[Messages]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with serve_moto("sns", "sqs") as server:
        yield Messages(server)


def push(service: RunningService, job: str, body: bytes, *, signed: bool = True, path: str = "/aws") -> httpx.Response:
    url = f"{service.url}{path}/streams/{job}/objects"
    request = AWSRequest("POST", url, data=body, headers={"amz-sdk-invocation-id": str(time.monotonic_ns())})
    if signed:
        service.sign(request)
    return httpx.post(url, content=body, headers=dict(request.headers))


def as_lines(*objects: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


def pixel(data_root: Path) -> str:
    return f"file://{data_root}/in/animals/pixel.png"


def eventually(check: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_objects_pushed_over_http_are_labeled_and_stand_in_the_output(
    service: RunningService, sagemaker: Any, job_request: MakeRequest
) -> None:
    worker = service.add_worker("ann")
    sagemaker.create_labeling_job(**job_request(objects=1, Tags=YES))
    assert service.answer("animals", worker) == 1
    source = {"source-ref": pixel(service.data_root)}
    named = {**source, ID: "key", "key": "one", "more": "é"}
    answer = push(service, "animals", as_lines(source, named, named, {"source": 1}))
    assert answer.status_code == 200, answer.text
    told = answer.json()["Objects"]
    assert [one["Status"] for one in told] == ["added", "added", "duplicate", "refused"]
    assert [one.get("DatasetObjectId") for one in told] == ["1", "2", "2", None]
    assert "source" in told[3]["Reason"]
    assert service.answer("animals", worker, "cat") == 2
    # A streaming job goes on when all is answered.
    time.sleep(0.5)
    job = sagemaker.describe_labeling_job(LabelingJobName="animals")
    assert (job["LabelingJobStatus"], job["LabelCounters"]["HumanLabeled"]) == ("InProgress", 3)
    again = push(service, "animals", as_lines({**named, "other": 1}), path="")
    assert again.json()["Objects"] == [{"Status": "duplicate", "DatasetObjectId": "2"}]
    sagemaker.stop_labeling_job(LabelingJobName="animals")
    job = service.wait_for("animals", "Stopped")
    manifest = Path(job["LabelingJobOutput"]["OutputDatasetS3Uri"].removeprefix("file://")).read_text().splitlines()
    lines = [json.loads(line) for line in manifest]
    assert [line["animal-metadata"]["class-name"] for line in lines] == ["dog", "cat", "cat"]
    assert lines[2][ID] == "key" and lines[2]["more"] == "é"
    late = push(service, "animals", as_lines(source))
    assert late.status_code == 400 and "only a job in progress" in late.json()["message"]


def test_who_may_not_push_is_refused(service: RunningService, sagemaker: Any, job_request: MakeRequest) -> None:
    sagemaker.create_labeling_job(**job_request(Tags=YES))
    sagemaker.create_labeling_job(**{**job_request(), "LabelingJobName": "other"})
    body = as_lines({"source-ref": pixel(service.data_root)})
    assert push(service, "animals", body, signed=False).status_code == 403
    missing = push(service, "none", body)
    assert missing.status_code == 400 and missing.json()["__type"] == "ResourceNotFound"
    assert "not a streaming job" in push(service, "other", body).json()["message"]
    for wrong in (b"", b"\n\n", b"\xff"):
        assert push(service, "animals", wrong).json()["__type"] == "ValidationException"
    for wrong in (b"[]", b"{", b'{"source": "a", "source-ref": "b"}', b'{"source-ref": "file:///etc/passwd"}'):
        (told,) = push(service, "animals", wrong).json()["Objects"]
        assert told["Status"] == "refused" and told["Reason"]
    with service.db.read() as connection:
        assert connection.scalar(select(labeling_jobs.c.objects).where(labeling_jobs.c.name == "animals")) == 3


def test_objects_come_from_a_topic_and_labels_go_to_another(
    messages: Messages, settings: ServiceSettings, running_service: Any, job_request: MakeRequest
) -> None:
    source = {"SnsDataSource": {"SnsTopicArn": messages.topic}}
    with running_service(replace(settings, messages_endpoint=messages.url)) as service:
        worker = service.add_worker("ann")
        request = job_request(InputConfig={"DataSource": source})
        request["OutputConfig"]["SnsTopicArn"] = messages.labels
        sagemaker = service.client()
        sagemaker.create_labeling_job(**request)
        named = {"source-ref": pixel(settings.data_root), ID: "key", "key": "one"}
        messages.send({"source-ref": pixel(settings.data_root)}, named, named, "no JSON", {"Event": "s3:TestEvent"})

        def stored() -> bool:
            counted = sagemaker.describe_labeling_job(LabelingJobName="animals")["LabelCounters"]
            return bool(counted["Unlabeled"] == 2 and counted["FailedNonRetryableError"] == 1)

        eventually(stored)
        assert service.answer("animals", worker, "cat") == 2
        sent = messages.received(2)
        assert sorted(line[line[ID]] == "one" for line in sent) == [False, True]
        for line in sent:
            assert line["animal-metadata"]["class-name"] == "cat"
            assert line[ID] in ("key", "$animal-object-id")
        # What comes after the first labels goes out by itself, too.
        messages.send({**named, "key": "two"})
        eventually(lambda: service.answer("animals", worker) == 1)
        assert [line["key"] for line in messages.received(1)] == ["two"]
        sagemaker.stop_labeling_job(LabelingJobName="animals")
        job = service.wait_for("animals", "Stopped")
    lines = [
        json.loads(line)
        for line in Path(job["LabelingJobOutput"]["OutputDatasetS3Uri"].removeprefix("file://"))
        .read_text()
        .splitlines()
    ]
    assert len(lines) == 4
    assert {line.get("source") for line in lines} == {None, "no JSON"}
    assert all(line in lines for line in sent)
    assert messages.sns.list_subscriptions_by_topic(TopicArn=messages.topic)["Subscriptions"] == []


def test_a_topic_that_is_not_there_is_refused(
    messages: Messages, settings: ServiceSettings, running_service: Any, job_request: MakeRequest
) -> None:
    source = {"SnsDataSource": {"SnsTopicArn": "arn:aws:sns:us-east-1:123456789012:no"}}
    with running_service(replace(settings, messages_endpoint=messages.url)) as service:
        with pytest.raises(ClientError, match="SnsTopicArn cannot be honoured"):
            service.client().create_labeling_job(**job_request(InputConfig={"DataSource": source}))
        assert service.client().list_labeling_jobs()["LabelingJobSummaryList"] == []


def test_a_label_too_long_for_a_topic_holds_up_no_other(
    messages: Messages, settings: ServiceSettings, caplog: pytest.LogCaptureFixture
) -> None:
    long, short = (json.dumps({"source": text}) for text in ("x" * topics.MESSAGE_BYTES, "x"))
    topics.Topics(replace(settings, messages_endpoint=messages.url)).publish(messages.labels, [long, short])
    assert messages.received(1) == [{"source": "x"}]
    assert "takes no message of more than 262144 bytes" in caplog.text


def test_a_label_is_kept_before_it_is_sent_and_sent_again_after_a_crash(
    store: Database, settings: ServiceSettings, people: Any, stored_job: Any, answer_all: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    stored_job(objects=2, Tags=YES)
    with store.write() as connection:
        row = connection.execute(select(labeling_jobs)).one()
        output = {**row.request["OutputConfig"], "SnsTopicArn": "arn:aws:sns:us-east-1:000000000000:t"}
        connection.execute(update(labeling_jobs).values(request={**row.request, "OutputConfig": output}))
    (worker,) = people(1)
    answer_all(store, "animals", worker, "dog")
    tries: list[list[str]] = []

    def send(_topics: object, _topic: str, sent: list[str]) -> None:
        tries.append(sent)
        if len(tries) == 1:
            raise topics.Unreachable("cut")

    monkeypatch.setattr(topics.Topics, "publish", send)

    def states() -> list[str]:
        with store.read() as connection:
            return list(connection.scalars(select(data_objects.c.state).order_by(data_objects.c.position)))

    def tick(finisher: Finisher) -> None:
        finisher.tick()
        eventually(finisher.is_idle)
        finisher.tick()

    tick(Finisher(store, settings.storage(), settings))
    assert states() == ["answered"] * 2
    # Another process, which knows only the store.
    tick(Finisher(store, settings.storage(), settings))
    assert states() == ["written"] * 2
    assert len(tries) == 2 and tries[0] == tries[1]
    assert [json.loads(line)["animal-metadata"]["class-name"] for line in tries[0]] == ["dog", "dog"]


def test_an_object_that_nobody_answers_in_time_fails_and_the_job_goes_on(
    store: Database, settings: ServiceSettings, stored_job: Any
) -> None:
    stored_job(objects=1, Tags=YES)
    later = Pushed(json.dumps({"source-ref": pixel(settings.data_root)}))
    (added,) = streaming.add_objects(store, settings.storage(), settings, "animals", [later])
    assert (added.status, added.position) == ("added", 1)
    with store.write() as connection:
        connection.execute(update(data_objects).where(data_objects.c.position == 1).values(available_until=now()))
    Finisher(store, settings.storage(), settings).tick()
    with store.read() as connection:
        assert list(connection.scalars(select(data_objects.c.state).order_by(data_objects.c.position))) == [
            "waiting", "failed",
        ]  # fmt: skip
        assert connection.scalar(select(labeling_jobs.c.ended_at)) is None


def test_a_task_that_was_put_aside_is_over_with_its_object(
    store: Database, settings: ServiceSettings, people: Callable[[int], list[str]], stored_job: Any
) -> None:
    (ann,) = people(1)
    stored_job(objects=1, Tags=YES)
    lease = leasing.next_assignment(store, ann)
    assert lease is not None
    own_work.pause(store, lease.id, ann)
    with store.write() as connection:
        connection.execute(update(data_objects).values(available_until=now()))
    Finisher(store, settings.storage(), settings).tick()
    assert own_work.paused_assignments(store, ann) == []
    with pytest.raises(Closed, match="time for this task is over"):
        own_work.resume(store, lease.id, ann)
    with pytest.raises(Closed, match="time for this task is over"):
        answering.submit_answer(store, lease.id, ann, {"crowd-image-classifier": {"label": "dog"}}, 1.0)
    with store.read() as connection:
        assert connection.execute(select(data_objects.c.state, data_objects.c.answers)).one() == ("failed", 0)


def test_messages_of_every_kind_are_read() -> None:
    envelope = json.dumps({"Type": "Notification", "MessageId": "m", "Message": '{"source": "a"}'})
    (one,) = stream_source.read_message("q", envelope, "animal")
    assert (one.text, one.dedup_key) == ('{"source": "a"}', "m")
    (raw,) = stream_source.read_message("q", '{"source": "a"}', "animal")
    assert raw.dedup_key == "q" and raw.keys == {ID: "$animal-object-id", "$animal-object-id": "q"}
    record = {"s3": {"bucket": {"name": "b"}, "object": {"key": "a+%C3%A9.png", "sequencer": "7"}}}
    (file,) = stream_source.read_message("q", json.dumps({"Records": [record]}), "animal")
    assert json.loads(file.text) == {"source-ref": "s3://b/a é.png"}
    assert file.dedup_key == "s3://b/a é.png-7" and (file.keys or {})["$sequencer"] == "7"
    assert stream_source.read_message("q", json.dumps({"Event": "s3:TestEvent"}), "animal") == []
    created, gone = ({**record, "eventName": name} for name in ("ObjectCreated:Put", "ObjectRemoved:Delete"))
    assert stream_source.read_message("q", json.dumps({"Records": [gone, created]}), "animal") == [file]


@pytest.mark.parametrize("text", ["\0", "\ud83d"])
def test_what_a_store_cannot_keep_holds_up_no_queue(
    store: Database, settings: ServiceSettings, stored_job: Any, text: str
) -> None:
    stored_job(objects=[{"source": "first"}], Tags=YES, PreHumanTaskLambdaArn=LAMBDA + "PRE-PassThrough")
    named = {"bucket": {"name": "b"}, "object": {"key": f"a{text}", "sequencer": "1"}}
    pushed = [
        *stream_source.read_message("m", json.dumps({"Records": [{"s3": named}]}), "animal"),
        *stream_source.read_message(f"m{text}", json.dumps({"source": f"cut {text}"}), "animal"),
        *stream_source.read_message("n", f"no JSON {text}", "animal"),
        Pushed(json.dumps({"source": "x", ID: "id", "id": text})),
    ]
    outcomes = streaming.add_objects(store, settings.storage(), settings, "animals", pushed)
    # Half of a character is rejected, and the object is kept as a failed one.
    status = "added" if text == "\0" else "refused"
    assert [(outcome.status, outcome.position) for outcome in outcomes] == [
        (status, 1), (status, 2), ("refused", 3), ("refused", None),
    ]  # fmt: skip
    again = streaming.add_objects(store, settings.storage(), settings, "animals", pushed)
    assert [outcome.status for outcome in again] == ["duplicate"] * 3 + ["refused"]


def test_only_a_streaming_job_takes_objects(store: Database, settings: ServiceSettings, stored_job: Any) -> None:
    stored_job(objects=1)
    with pytest.raises(Invalid, match="not a streaming job"):
        streaming.add_objects(store, settings.storage(), settings, "animals", [Pushed('{"source": "a"}')])


def test_functions_of_ones_own_prepare_and_label_what_comes(
    service: RunningService, sagemaker: Any, job_request: MakeRequest, own_functions: Callable[..., None]
) -> None:
    calls: list[int] = []

    def prepare(event: dict[str, Any]) -> dict[str, Any]:
        return {"taskInput": {"taskObject": event["dataObject"]["source"], "labels": ["dog", "cat"]}}

    def label(event: dict[str, Any]) -> list[dict[str, Any]]:
        path = event["payload"]["s3Uri"].removeprefix("file://")
        found = json.loads(Path(path).read_text())
        calls.append(len(found))
        return [
            {
                "datasetObjectId": one["datasetObjectId"],
                "consolidatedAnnotation": {"content": {"animal": one["dataObject"]["content"].upper()}},
            }
            for one in found
        ]

    own_functions(prepare=prepare, label=label)
    local = "arn:aws:lambda:us-east-1:000000000000:function:"
    worker = service.add_worker("ann")
    request = job_request(
        Tags=YES,
        PreHumanTaskLambdaArn=local + "prepare",
        AnnotationConsolidationConfig={"AnnotationConsolidationLambdaArn": local + "label"},
    )
    del request["InputConfig"]["DataSource"]["S3DataSource"]
    sagemaker.create_labeling_job(**request)
    for text in ("a", "b"):
        push(service, "animals", as_lines({"source": text}))
        eventually(lambda: service.answer("animals", worker) == 1)

    def labeled() -> bool:
        with service.db.read() as connection:
            return set(connection.scalars(select(data_objects.c.state))) == {"written"}

    eventually(labeled)
    assert sum(calls) == 2
    sagemaker.stop_labeling_job(LabelingJobName="animals")
    job = service.wait_for("animals", "Stopped")
    lines = Path(job["LabelingJobOutput"]["OutputDatasetS3Uri"].removeprefix("file://")).read_text().splitlines()
    assert [json.loads(line)["animal"] for line in lines] == ["A", "B"]
    # What was labeled already is not paid for again.
    assert sum(calls) == 2


def test_gold_objects_and_more_workers_where_a_label_is_not_sure(
    service: RunningService, sagemaker: Any, job_request: MakeRequest
) -> None:
    manifest = service.data_root / "gold.manifest"
    request = job_request(objects=1, workers=2)
    metadata = {"class-name": "dog", "confidence": 1.0, "type": "groundtruth/image-classification"}
    line = {"source-ref": pixel(service.data_root), "animal": 1, "animal-metadata": metadata}
    manifest.write_text((json.dumps(line) + "\n") * 12)
    options = {"gold": f"file://{manifest}", "gold-share": "0.5", "workers-max": "3"}
    request["Tags"] = YES + [{"Key": f"trueground:{name}", "Value": value} for name, value in options.items()]
    sagemaker.create_labeling_job(**request)
    push(service, "animals", as_lines(*[{"source-ref": pixel(service.data_root)}] * 2))
    people = [service.add_worker(name) for name in ("ann", "bob", "cat")]
    for worker, label in zip(people, ("dog", "cat"), strict=False):
        service.answer("animals", worker, label)

    def labels() -> list[Any]:
        with service.db.read() as connection:
            rows = connection.execute(
                select(data_objects.c.label).where(data_objects.c.state == "written").order_by(data_objects.c.position)
            )
            return [row.label["animal-metadata"]["class-name"] for row in rows]

    def labeled() -> bool:
        # Two who do not agree: a third is asked.
        service.answer("animals", people[2])
        return len(labels()) == 3

    eventually(labeled)
    assert labels() == ["dog"] * 3
    sagemaker.stop_labeling_job(LabelingJobName="animals")
    job = service.wait_for("animals", "Stopped")
    lines = Path(job["LabelingJobOutput"]["OutputDatasetS3Uri"].removeprefix("file://")).read_text().splitlines()
    assert len(lines) == 3


def test_a_wrong_id_in_the_first_manifest_is_told_with_its_line(
    service: RunningService, sagemaker: Any, job_request: MakeRequest
) -> None:
    source = {"source-ref": pixel(service.data_root)}
    request = job_request(objects=1, Tags=YES)
    manifest = service.data_root / "in/animals/input.manifest"
    manifest.write_bytes(as_lines(source, {**source, ID: "key"}))
    with pytest.raises(ClientError, match=r"input\.manifest:2: key: the object's id must be a text"):
        sagemaker.create_labeling_job(**request)
