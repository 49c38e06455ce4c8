"""SNS and SQS: where the objects of a streaming job come from, and where its labels go.

As Ground Truth does, a job has a queue of its own (``GroundTruth-<job name in lower case>``) that subscribes to the
input topic. A message is deleted from it only when its objects are in the store, so none is lost.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import Row, select

from trueground.service.engine import streaming
from trueground.service.engine.background import Background
from trueground.service.engine.errors import Invalid, NotFound
from trueground.service.engine.streaming import ID_NAME, Pushed
from trueground.service.engine.topics import Unreachable, topic_client
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import labeling_jobs
from trueground.storage import Storage

log = logging.getLogger(__name__)

KEPT_SECONDS = 14 * 86_400
AT_ONCE = 10
"""Messages that SQS gives at once at most."""
ROUNDS = 50
"""Of so many messages, before the other jobs have their turn."""


def connect(settings: ServiceSettings, job_name: str, topic: str) -> None:
    """Make a job's queue and subscribe it to a topic; may be repeated.

    Raises:
        Invalid: SNS or SQS refuses.
    """
    try:
        sqs, sns = topic_client(settings, "sqs", topic), topic_client(settings, "sns", topic)
        sns.get_topic_attributes(TopicArn=topic)
        url = sqs.create_queue(QueueName=queue_name(job_name))["QueueUrl"]
        arn = _queue_arn(sqs, url)
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        attributes = {"MessageRetentionPeriod": str(KEPT_SECONDS), "Policy": policy}
        sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True)
    except (ClientError, BotoCoreError) as error:
        raise Invalid(f"InputConfig.DataSource.SnsDataSource.SnsTopicArn cannot be honoured: {error}") from None


def disconnect(settings: ServiceSettings, job_name: str, topic: str) -> None:
    """End a job's subscription; as on AWS its queue stays. Raises :class:`Unreachable`."""
    try:
        sqs, sns = topic_client(settings, "sqs", topic), topic_client(settings, "sns", topic)
        arn = _queue_arn(sqs, sqs.get_queue_url(QueueName=queue_name(job_name))["QueueUrl"])
        for page in sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic):
            for found in page["Subscriptions"]:
                if found["Endpoint"] == arn:
                    sns.unsubscribe(SubscriptionArn=found["SubscriptionArn"])
    except (ClientError, BotoCoreError) as error:
        raise Unreachable(f"the subscription to {topic} cannot be ended: {error}") from error


def input_topic(request: Mapping[str, Any]) -> str | None:
    """The topic that a job's objects come from, by its request."""
    source = request["InputConfig"]["DataSource"].get("SnsDataSource")
    return None if source is None else str(source["SnsTopicArn"])


def queue_name(job_name: str) -> str:
    """As Ground Truth names it."""
    return f"GroundTruth-{job_name.lower()}"


class StreamSource(Background):
    """Takes in what lies in the queues of streaming jobs."""

    name = "stream-source"

    def __init__(self, db: Database, storage: Storage, settings: ServiceSettings) -> None:
        super().__init__(db, settings.poll_interval * 2)
        self._storage, self._settings = storage, settings
        # By job: made once, for a connection costs more than a message. The URL of its queue goes with it.
        self._queues: dict[int, tuple[Any, str]] = {}

    def tick(self) -> None:
        """Look into each queue, once."""
        query = select(labeling_jobs).where(
            labeling_jobs.c.streaming, labeling_jobs.c.kind == "labeling", labeling_jobs.c.status == "InProgress"
        )
        with self._db.read() as connection:
            jobs = [job for job in connection.execute(query).all() if input_topic(job.request) is not None]
        self._queues = {job.id: self._queues[job.id] for job in jobs if job.id in self._queues}
        for job in jobs:
            try:
                self._take_in(job)
            except (ClientError, BotoCoreError) as error:
                self._queues.pop(job.id, None)
                log.warning("the queue of the streaming job %s cannot be read now: %s", job.name, error)

    def _take_in(self, job: Row[Any]) -> None:
        if job.id not in self._queues:
            sqs = topic_client(self._settings, "sqs", str(input_topic(job.request)))
            self._queues[job.id] = sqs, sqs.get_queue_url(QueueName=queue_name(job.name))["QueueUrl"]
        sqs, url = self._queues[job.id]
        for _ in range(ROUNDS):
            if self._stopping.is_set() or not self.keep_lease():
                return
            found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=AT_ONCE).get("Messages", [])
            if not found:
                return
            attribute = job.request["LabelAttributeName"]
            pushed: list[Pushed] = []
            for message in found:
                pushed += read_message(message["MessageId"], message["Body"], attribute)
            try:
                outcomes = streaming.add_objects(self._db, self._storage, self._settings, job.name, pushed)
            except (Invalid, NotFound):
                # Stopped meanwhile: its messages stay in the queue.
                return
            for outcome in outcomes:
                if outcome.status == "refused":
                    log.warning("streaming job %s: object %s: %s", job.name, outcome.position, outcome.reason)
            for message in found:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def read_message(message_id: str, body: str, attribute: str) -> list[Pushed]:
    """The data objects of a message in a queue: one line of a manifest, or S3's notice of new files.

    Args:
        message_id: of SQS; where the message came through SNS, that one's id counts.
        body: SNS's envelope, or the message itself (raw delivery).
        attribute: the job's label attribute; keys of ids are named after it.
    """
    envelope = _object(body)
    text = body
    if envelope is not None and envelope.get("Type") == "Notification" and isinstance(envelope.get("Message"), str):
        text, message_id = envelope["Message"], str(envelope.get("MessageId", message_id))
    content = _object(text)
    if content is not None and content.get("Event") == "s3:TestEvent":
        return []
    name = f"${attribute}-object-id"
    records = content.get("Records") if content is not None else None
    if isinstance(records, list):
        files = [_file(record) for record in records if not _tells_of_less(record)]
        if all(file is not None for file in files):
            return [
                Pushed(
                    json.dumps({"source-ref": uri}),
                    f"{uri}-{sequencer}",
                    {ID_NAME: name, name: f"{uri}-{sequencer}", "$sequencer": sequencer},
                    must_be_kept=True,
                )
                for uri, sequencer in filter(None, files)
            ]
    return [Pushed(text, message_id, {ID_NAME: name, name: message_id}, must_be_kept=True)]


def _tells_of_less(record: Any) -> bool:
    """Whether S3 tells of something else than a new file: of one that is gone, for example."""
    name = record.get("eventName") if isinstance(record, Mapping) else None
    return isinstance(name, str) and not name.removeprefix("s3:").startswith("ObjectCreated:")


def _file(record: Any) -> tuple[str, str] | None:
    """URI and sequencer of a file that S3 tells of."""
    try:
        bucket, key = record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]
        return f"s3://{bucket}/{unquote_plus(key)}", str(record["s3"]["object"].get("sequencer", ""))
    except (KeyError, TypeError, AttributeError):
        return None


def _object(text: str) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _queue_arn(sqs: Any, url: str) -> str:
    return str(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])
