"""Webhooks: signed, in order for each resource, tried again until they are there."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from trueground.cli import app
from trueground.service.engine import events, webhooks
from trueground.service.engine.errors import Invalid, NotFound
from trueground.service.engine.webhooks import Deliverer
from trueground.service.security import SecretBox
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database, now
from trueground.service.store.tables import audit_log, deliveries
from trueground.service.store.tables import events as event_table
from trueground.service.store.tables import webhooks as webhook_table
from trueground.service.webhook_signature import is_signed


@dataclass
class Receiver:
    """Keeps what is posted to it; ``answers`` says with which status, the last one for ever."""

    url: str = ""
    answers: list[int] = field(default_factory=lambda: [204])
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)
    """Until it is set, nobody gets an answer."""

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]

    def names(self) -> list[str]:
        return [event["resources"][0].rpartition("/")[2] + str(event["detail"]["n"]) for event in self.events()]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()
    kept.may_answer.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.may_answer.wait(120)
            kept.got.append(({key.lower(): value for key, value in self.headers.items()}, body))
            status = kept.answers.pop(0) if len(kept.answers) > 1 else kept.answers[0]
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kept.url = f"http://127.0.0.1:{server.server_port}/events"
    yield kept
    server.shutdown()
    server.server_close()


@pytest.fixture
def box(settings: ServiceSettings) -> SecretBox:
    return SecretBox.load(settings.home)


@pytest.fixture
def deliver(store: Database, settings: ServiceSettings, box: SecretBox) -> Callable[[], None]:
    """Deliver what is due, as the background thread does; each time as if it had just been started."""

    def run() -> None:
        deliverer = Deliverer(store, settings, box)
        deliverer.tick()
        deliverer.finish()

    return run


def record(store: Database, job: str, n: int, detail_type: str = events.LABELING_JOB) -> None:
    with store.write() as connection:
        events.record(connection, resource=f"labeling-job/{job}", detail_type=detail_type, detail={"n": n}, at=now())


def pass_time(store: Database) -> None:
    """What waits for its next try is due."""
    with store.write() as connection:
        connection.execute(update(deliveries).values(next_at=now() - timedelta(seconds=1)))


def test_an_event_is_delivered_once_and_signed(
    store: Database, box: SecretBox, receiver: Receiver, deliver: Callable[[], None]
) -> None:
    record(store, "before", 0)
    _, secret = webhooks.add_webhook(store, box, receiver.url)
    record(store, "a", 1)
    deliver()
    deliver()
    ((headers, body),) = receiver.got
    assert json.loads(body)["detail"] == {"n": 1}
    assert headers["webhook-id"] == json.loads(body)["id"]
    assert is_signed(secret, headers, body)
    assert not is_signed(secret, headers, body + b" ")
    assert not is_signed(secret, headers, body, at=time.time() + 400)
    assert not is_signed(secret, {**headers, "webhook-timestamp": str(int(time.time()) + 1)}, body)
    assert not is_signed(webhooks.new_secret(), headers, body)
    assert not is_signed(secret, {}, body)


def test_events_of_one_resource_arrive_in_order_and_do_not_hold_up_others(
    store: Database, box: SecretBox, receiver: Receiver, deliver: Callable[[], None]
) -> None:
    webhooks.add_webhook(store, box, receiver.url)
    for job, n in (("a", 1), ("a", 2), ("b", 1), ("a", 3)):
        record(store, job, n)
    receiver.answers = [500, 204]
    deliver()
    assert receiver.names() == ["a1", "b1"]
    deliver()  # a1 is not due again yet, so a2 and a3 wait
    assert receiver.names() == ["a1", "b1"]
    for _ in range(3):
        pass_time(store)
        deliver()
    assert receiver.names() == ["a1", "b1", "a1", "a2", "a3"]
    assert [one.waiting for one in webhooks.list_webhooks(store)] == [0]


def test_each_try_waits_longer_than_the_one_before(
    store: Database, box: SecretBox, receiver: Receiver, deliver: Callable[[], None]
) -> None:
    webhooks.add_webhook(store, box, receiver.url)
    record(store, "a", 1)
    receiver.answers = [503]
    for attempt in range(1, 5):
        before = now()
        deliver()
        with store.read() as connection:
            row = connection.execute(select(deliveries)).one()
        assert row.attempts == attempt and row.error == "the receiver answered 503"
        shortest, longest = timedelta(seconds=2 ** (attempt - 1)), timedelta(seconds=2**attempt)
        assert before + shortest <= row.next_at <= now() + longest
        pass_time(store)
    assert all(webhooks.LONGEST_PAUSE / 2 <= webhooks.pause(50) <= webhooks.LONGEST_PAUSE for _ in range(50))
    (one,) = webhooks.list_webhooks(store)
    assert (one.waiting, one.error) == (1, "the receiver answered 503")


def test_a_redirect_is_not_followed(
    store: Database, box: SecretBox, receiver: Receiver, deliver: Callable[[], None]
) -> None:
    webhooks.add_webhook(store, box, receiver.url)
    record(store, "a", 1)
    receiver.answers = [302]
    deliver()
    assert len(receiver.got) == 1
    assert webhooks.list_webhooks(store)[0].error == "the receiver answered 302"


def test_where_nobody_answers_nothing_is_lost_and_the_rest_is_not_tried(
    store: Database, settings: ServiceSettings, box: SecretBox, receiver: Receiver, deliver: Callable[[], None]
) -> None:
    number, _ = webhooks.add_webhook(store, box, "http://127.0.0.1:9/")
    for job in "abc":
        record(store, job, 1)
    deliverer = Deliverer(store, settings, box)
    for _ in range(3):
        deliverer.tick()
        deliverer.finish()
    with store.read() as connection:
        assert sorted(connection.scalars(select(deliveries.c.attempts))) == [0, 0, 1]
    # The receiver is back.
    with store.write() as connection:
        connection.execute(update(webhook_table).where(webhook_table.c.id == number).values(url=receiver.url))
    pass_time(store)
    deliver()
    assert receiver.names() == ["a1", "b1", "c1"]


def test_a_delivery_whose_acknowledgement_was_lost_comes_again_with_the_same_id(
    store: Database, box: SecretBox, receiver: Receiver, deliver: Callable[[], None]
) -> None:
    webhooks.add_webhook(store, box, receiver.url)
    record(store, "a", 1)
    deliver()
    with store.write() as connection:  # as after a kill between the answer and the commit
        connection.execute(update(deliveries).values(delivered_at=None))
    deliver()
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1 and len(receiver.got) == 2


def test_a_slow_receiver_holds_up_only_itself(
    store: Database, settings: ServiceSettings, box: SecretBox, receiver: Receiver
) -> None:
    slow = receiver
    slow.may_answer.clear()
    got: list[str] = []

    class Quick(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quick)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    webhooks.add_webhook(store, box, slow.url)
    webhooks.add_webhook(store, box, f"http://127.0.0.1:{server.server_port}/quick")
    deliverer = Deliverer(store, settings, box)
    record(store, "a", 1)
    deliverer.tick()
    record(store, "a", 2)
    end = time.monotonic() + 60
    while len(got) < 2 and time.monotonic() < end:
        deliverer.tick()
        time.sleep(0.02)
    assert got == ["/quick", "/quick"] and slow.got == []
    slow.may_answer.set()
    deliverer.stop()
    server.shutdown()
    server.server_close()


def test_a_webhook_gets_only_the_types_it_asks_for(
    store: Database, box: SecretBox, receiver: Receiver, deliver: Callable[[], None]
) -> None:
    webhooks.add_webhook(store, box, receiver.url, [events.HUMAN_LOOP])
    record(store, "a", 1)
    record(store, "a", 2, events.HUMAN_LOOP)
    deliver()
    assert receiver.names() == ["a2"]


BAD_URLS = [
    "", "example.org", "file:///etc/passwd", "ftp://example.org", "gopher://example.org", "http://", "http:///x",
    "http://example.org:99999/", "http://user:secret@example.org/", "http://example.org/a b", "http://exämple.org/",
    "http://example.org/\r\nHost: x", "http://[::1", "javascript:alert(1)", "http://example.org/" + "x" * 2000,
]  # fmt: skip


def test_only_plain_http_urls_are_taken(store: Database, box: SecretBox) -> None:
    for url in BAD_URLS:
        with pytest.raises(Invalid):
            webhooks.add_webhook(store, box, url)
    with pytest.raises(Invalid):
        webhooks.add_webhook(store, box, "https://example.org/", ["no such type"])
    assert webhooks.list_webhooks(store) == []


def test_a_removed_webhook_gets_nothing_more(
    store: Database, box: SecretBox, receiver: Receiver, deliver: Callable[[], None]
) -> None:
    number, _ = webhooks.add_webhook(store, box, receiver.url)
    record(store, "a", 1)
    webhooks.remove_webhook(store, number)
    deliver()
    assert receiver.got == []
    with pytest.raises(NotFound):
        webhooks.remove_webhook(store, number)


def test_the_secret_is_encrypted_and_the_audit_log_knows_who_added_it(store: Database, box: SecretBox) -> None:
    _, secret = webhooks.add_webhook(store, box, "https://example.org/x?token=abc")
    with store.read() as connection:
        stored = connection.scalar(select(webhook_table.c.secret))
        acts = [(row.act, row.detail) for row in connection.execute(select(audit_log))]
    assert stored != secret and secret not in str(stored) and box.decrypt(str(stored)) == secret
    assert acts[-1] == ("AddWebhook", {"host": "example.org"})


def test_old_events_go_once_every_webhook_has_them(
    store: Database, box: SecretBox, receiver: Receiver, deliver: Callable[[], None]
) -> None:
    webhooks.add_webhook(store, box, receiver.url)
    record(store, "a", 1)
    deliver()
    webhooks.add_webhook(store, box, "http://127.0.0.1:9/")
    record(store, "b", 2)
    with store.write() as connection:
        connection.execute(update(event_table).values(created_at=now() - webhooks.KEPT - timedelta(days=1)))
    deliver()
    with store.read() as connection:
        assert list(connection.scalars(select(event_table.c.resource))) == ["labeling-job/b"]


def test_webhooks_are_kept_by_commands(settings: ServiceSettings) -> None:
    def run(*words: str) -> str:
        result = CliRunner().invoke(app, ["webhooks", *words, "--home", str(settings.home)])
        assert result.exit_code == 0, result.output
        return result.output

    added = run("add", "https://example.org/hook", "--event", "human-loops")
    assert "id = 1" in added and "secret = whsec_" in added
    secret = added.split("secret = ")[1].strip()
    shown = run("list")
    assert shown == "1\thttps://example.org/hook\thuman-loops\tup to date\n" and secret not in shown
    assert "removed" in run("remove", "1")
    assert run("list") == ""
    assert CliRunner().invoke(app, ["webhooks", "remove", "1", "--home", str(settings.home)]).exit_code == 1


def test_the_running_service_delivers(
    service: Any, sagemaker: Any, make_job: Callable[..., str], receiver: Receiver
) -> None:
    webhooks.add_webhook(service.db, SecretBox.load(service.settings.home), receiver.url)
    worker = service.add_worker("ann")
    make_job("quick", objects=1)
    service.answer("quick", worker)
    service.wait_for("quick", "Completed")
    end = time.monotonic() + 120
    while not receiver.got:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert receiver.events()[0]["detail"] == {"LabelingJobStatus": "Completed"}
