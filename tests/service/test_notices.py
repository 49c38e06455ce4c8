"""Letters and notices of new work, to a real mail server and a real receiver of posts."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import select, update

from tests.moto_server import serve_moto
from tests.service.running import TEAM, RunningService
from trueground.service.engine import accounts, letters, notices, teams
from trueground.service.engine.notices import Notices
from trueground.service.security import SecretBox
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import assignments, labeling_jobs, workers, workteams

PORTAL = "https://labels.example.org"


class Letters:
    """Keeps what a mail server is handed."""

    def __init__(self) -> None:
        self.got: list[tuple[list[str], EmailMessage]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.got.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=policy.default)))  # type: ignore[arg-type]
        return "250 OK"


@pytest.fixture
def mail() -> Iterator[tuple[str, Letters]]:
    """A mail server on a free port; its URL and what it got."""
    handler = Letters()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield f"smtp://127.0.0.1:{port}", handler
    finally:
        controller.stop()


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Where notices are posted to; its URL and what it got."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/new-work", got
    server.shutdown()
    server.server_close()


@dataclass
class Post:
    """A store with the team's ann, the mail server, and what sends notices."""

    store: Database
    settings: ServiceSettings
    letters: Letters
    ann: str

    def notices(self) -> Notices:
        return Notices(self.store, self.settings, SecretBox.load(self.settings.home).signer())

    def pass_time(self, **time: float) -> None:
        """As if all that happened had happened this much earlier."""
        back = timedelta(**time)
        with self.store.write() as connection:
            for row in connection.execute(workers.select()).all():
                if row.noticed_at:
                    values = {"noticed_at": row.noticed_at - back}
                    connection.execute(update(workers).where(workers.c.id == row.id).values(**values))
            for job in connection.execute(labeling_jobs.select()).all():
                values = {"created_at": job.created_at - back}
                connection.execute(update(labeling_jobs).where(labeling_jobs.c.id == job.id).values(**values))
            for lease in connection.execute(assignments.select()).all():
                values = {"leased_at": lease.leased_at - back}
                connection.execute(update(assignments).where(assignments.c.id == lease.id).values(**values))


@pytest.fixture
def post(store: Database, settings: ServiceSettings, mail: tuple[str, Letters]) -> Post:
    ann = accounts.add_worker(store, "ann", "secret", name="Ann Other", email="ann@example.org")
    accounts.add_to_group(store, "ann", TEAM)
    told = replace(settings, smtp=mail[0], mail_from="labels@example.org", public_url=PORTAL)
    return Post(store, told, mail[1], ann.id)


def test_a_letter_tells_of_new_work_and_how_to_get_no_more(post: Post, stored_job: Callable[..., str]) -> None:
    assert post.notices().tick() == 0
    stored_job(objects=3)
    assert post.notices().tick() == 1
    ((to, letter),) = post.letters.got
    assert to == ["ann@example.org"] and letter["To"] == "Ann Other <ann@example.org>"
    assert letter["From"] == "Trueground <labels@example.org>" and letter["Subject"] == "3 new tasks for you"
    assert f"{PORTAL}/work/animals" in letter.get_content()
    assert letter["List-Unsubscribe"].startswith(f"<{PORTAL}/notices/")
    assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_nobody_gets_two_in_an_hour_nor_again_for_work_that_is_not_new(
    post: Post, stored_job: Callable[..., str], answer_all: Callable[..., int]
) -> None:
    stored_job(objects=3)
    assert [post.notices().tick() for _ in range(3)] == [1, 0, 0]
    stored_job("plants", objects=3)
    assert post.notices().tick() == 0  # new, but within the hour
    post.pass_time(minutes=61)
    with post.store.write() as connection:
        newer = labeling_jobs.c.name == "plants"
        connection.execute(update(labeling_jobs).where(newer).values(created_at=now()))
    assert post.notices().tick() == 1
    post.pass_time(minutes=61)
    assert post.notices().tick() == 0  # nothing new, and she did not come


def test_who_is_at_work_gets_none(post: Post, stored_job: Callable[..., str], answer_all: Callable[..., int]) -> None:
    stored_job(objects=3)
    answer_all(post.store, "animals", post.ann, most=1)
    assert post.notices().tick() == 0


def test_who_has_nothing_to_do_is_closed_or_wants_none_gets_none(
    post: Post, stored_job: Callable[..., str], answer_all: Callable[..., int]
) -> None:
    stored_job(objects=1)
    notices.set_wanted(post.store, post.ann, False)
    assert post.notices().tick() == 0
    notices.set_wanted(post.store, post.ann, True)
    accounts.disable(post.store, "ann")
    assert post.notices().tick() == 0
    accounts.enable(post.store, "ann")
    accounts.remove_from_group(post.store, "ann", TEAM)
    assert post.notices().tick() == 0
    assert post.letters.got == []


def test_several_processes_send_one(post: Post, stored_job: Callable[..., str]) -> None:
    stored_job(objects=3)
    barrier = threading.Barrier(4)

    def tick(_: int) -> int:
        barrier.wait()
        return post.notices().tick()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(tick, range(4))) == 1
    assert len(post.letters.got) == 1


@pytest.mark.parametrize("name", ["Ann\r\nBcc: all@example.org", "Ann\nX-Evil: 1\n\nbody", '"; <eve@example.org>, x'])
def test_no_name_becomes_another_header_or_recipient(post: Post, stored_job: Callable[..., str], name: str) -> None:
    # As another service may have it; our own pages refuse such a name.
    with post.store.write() as connection:
        connection.execute(update(workers).values(name=name))
    stored_job(objects=1, TaskTitle="Cats\r\nBcc: all@example.org")
    assert post.notices().tick() == 1
    ((to, letter),) = post.letters.got
    assert to == ["ann@example.org"]
    assert set(letter.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post",
        "Content-Type", "Content-Transfer-Encoding", "MIME-Version",
    }  # fmt: skip
    assert [address.addr_spec for address in letter["To"].addresses] == ["ann@example.org"]


def test_notices_are_posted_too_and_a_receiver_that_is_away_holds_nothing_up(
    post: Post, stored_job: Callable[..., str], receiver: tuple[str, list[dict[str, Any]]]
) -> None:
    url, got = receiver
    stored_job(objects=2)
    post.settings = replace(post.settings, notice_webhook=url, smtp=None)
    assert post.notices().tick() == 1
    assert got[0]["type"] == "new-work" and got[0]["worker"] == {"id": post.ann, "username": "ann"}
    assert got[0]["jobs"] == [{"name": "animals", "title": "Which animal is it?", "available": 2}]
    post.settings = replace(post.settings, notice_webhook="http://127.0.0.1:9/")
    with post.store.write() as connection:
        connection.execute(update(workers).values(noticed_at=None))
    assert post.notices().tick() == 0


def test_a_notice_that_could_not_be_sent_is_tried_again_and_by_the_other_way_at_once(
    post: Post, stored_job: Callable[..., str], receiver: tuple[str, list[dict[str, Any]]]
) -> None:
    stored_job(objects=2)
    there, post.settings = post.settings, replace(post.settings, smtp="smtp://127.0.0.1:9")
    away = post.notices()
    assert away.tick() == 0
    post.settings = replace(post.settings, notice_webhook=receiver[0])
    assert post.notices().tick() == 1 and len(receiver[1]) == 1
    post.pass_time(minutes=61)
    stored_job("plants", objects=1)
    assert away.tick() == 0, "not tried again at once"
    post.settings = there
    assert post.notices().tick() == 1 and len(post.letters.got) == 1


def test_a_password_is_not_sent_without_tls(post: Post) -> None:
    away = replace(post.settings, smtp="smtp://user:secret@127.0.0.1.nip.invalid:25")
    with pytest.raises(OSError):
        letters.send(away, "ann@example.org", "Ann", "x", "y")
    assert "secret" not in repr(away)


def test_the_link_in_a_letter_stops_them_only_when_posted_to(service: RunningService) -> None:
    ann = service.add_worker("ann")
    signer = SecretBox.load(service.settings.home).signer()
    link = notices.stop_link(replace(service.settings, public_url=service.url), signer, ann)
    assert "Shall no more of them" in httpx.get(link).text
    assert notices.are_wanted(service.db, ann)
    assert httpx.post(link, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert not notices.are_wanted(service.db, ann)


def test_a_teams_topic_is_told_of_new_jobs_once_an_hour(
    store: Database, settings: ServiceSettings, stored_job: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with serve_moto("sns", "sqs") as server:
        sns, sqs = server.client("sns"), server.client("sqs")
        topic = sns.create_topic(Name="new-work")["TopicArn"]
        queue = sqs.create_queue(QueueName="letters")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        told = replace(settings, messages_endpoint=server.url, public_url=PORTAL)
        request = {"WorkteamName": TEAM, "NotificationConfiguration": {"NotificationTopicArn": topic}}
        assert teams.update_workteam(store, told, request).request["NotificationConfiguration"] == {
            "NotificationTopicArn": topic
        }

        def tell() -> list[dict[str, Any]]:
            Notices(store, told, SecretBox.load(settings.home).signer()).tick()
            messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
            for message in messages:
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            return [json.loads(message["Body"]) for message in messages]

        assert tell() == []
        stored_job(objects=3)
        (first,) = tell()
        assert first["Subject"] == f"New work for {TEAM}" and f"{PORTAL}/work/animals" in first["Message"]
        stored_job("plants", objects=3)
        assert tell() == [], "within the hour"
        with store.write() as connection:
            earlier = now() - timedelta(minutes=61)
            connection.execute(update(workteams).values(noticed_at=earlier))
            old = labeling_jobs.c.name == "animals"
            connection.execute(update(labeling_jobs).where(old).values(created_at=earlier - timedelta(minutes=1)))
        (second,) = tell()
        assert "/work/plants" in second["Message"] and "/work/animals" not in second["Message"]
    with store.write() as connection:
        connection.execute(update(workteams).values(noticed_at=None))
    cut = replace(told, messages_endpoint="http://127.0.0.1:9")
    assert Notices(store, cut, SecretBox.load(settings.home).signer()).tick() == 0
    with store.read() as connection:
        assert connection.scalar(select(workteams.c.noticed_at).where(workteams.c.name == TEAM)) is None
