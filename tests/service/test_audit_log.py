"""The audit log: what it keeps, and that nobody changes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError

from tests.service.running import REVIEW_TEMPLATE, RunningService
from trueground.service.engine import accounts, audit_log, keys
from trueground.service.engine.actors import Actor, acting
from trueground.service.security import SecretBox
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import audit_log as table


def acts(db: Database, **filters: Any) -> list[tuple[str, str, str]]:
    return [(entry.actor, entry.act, entry.resource) for entry in audit_log.entries(db, **filters).items]


def test_entries_can_neither_be_changed_nor_deleted(store: Database) -> None:
    accounts.add_worker(store, "ann", "secret")
    for statement in (update(table).values(actor="nobody"), delete(table)):
        with pytest.raises(DBAPIError, match="append-only"), store.write() as connection:
            connection.execute(statement)
    if store.dialect == "postgresql":
        with pytest.raises(DBAPIError, match="append-only"), store.write() as connection:
            connection.execute(text("TRUNCATE audit_log"))
    assert acts(store)[0][1] == "AddWorker"


def test_an_act_that_fails_leaves_no_entry(store: Database) -> None:
    before = len(acts(store))
    with pytest.raises(RuntimeError), store.write() as connection:
        audit_log.record(connection, act="Test", resource="nothing")
        raise RuntimeError
    assert len(acts(store)) == before


def test_who_acts_is_told_once_for_all_that_they_do(store: Database) -> None:
    with acting(Actor("worker/7", "192.0.2.1")):
        ann = accounts.add_worker(store, "ann", "secret")
        accounts.set_role(store, "ann", "manager")
    accounts.disable(store, "ann")
    resource = f"worker/{ann.id}"
    assert acts(store)[:3] == [
        ("service", "DisableWorker", resource),
        ("worker/7", "SetRole", resource),
        ("worker/7", "AddWorker", resource),
    ]
    found = audit_log.entries(store, actor="worker/7").items[0]
    assert (found.address, found.detail) == ("192.0.2.1", {"role": "manager", "before": "worker"})
    assert found.names == {resource: "ann"}


def test_the_log_is_read_page_by_page_and_filtered(store: Database) -> None:
    for name in ("ann", "bob", "cleo"):
        accounts.add_worker(store, name, "secret")
        accounts.disable(store, name)
    first = audit_log.entries(store, act="DisableWorker", limit=2)
    second = audit_log.entries(store, act="DisableWorker", limit=2, token=first.token)
    assert [len(first.items), len(second.items), second.token] == [2, 1, None]
    assert [act for _, act, _ in acts(store, resource="bob")] == ["DisableWorker", "AddWorker"]
    middle = first.items[1].at
    assert all(entry.at < middle for entry in audit_log.entries(store, before=middle).items)
    assert audit_log.entries(store, after=middle).items[-1].at == middle
    assert {"AddWorker", "DisableWorker"} <= set(audit_log.acts(store))


def test_no_secret_stands_in_the_log(store: Database, settings: ServiceSettings) -> None:
    _, secret = keys.create_key(store, SecretBox.load(settings.home), "tests")
    accounts.add_worker(store, "ann", "a-password", name="Ann Other")
    accounts.set_password(store, "ann", "another-password")
    with store.read() as connection:
        log = str(connection.execute(select(table)).all())
    for word in (secret, "password'", "a-password", "argon2", "'ann'", "Ann Other"):
        assert word not in log


def test_programs_act_under_the_id_of_their_key(
    service: RunningService, sagemaker: Any, make_job: Callable[..., str]
) -> None:
    make_job("animals")
    sagemaker.stop_labeling_job(LabelingJobName="animals")
    sagemaker.create_human_task_ui(HumanTaskUiName="look", UiTemplate={"Content": REVIEW_TEMPLATE})
    actor = f"key/{service.credentials['aws_access_key_id']}"
    found = audit_log.entries(service.db, actor=actor).items
    assert [(entry.act, entry.resource) for entry in found] == [
        ("CreateHumanTaskUi", "human-task-ui/look"),
        ("StopLabelingJob", "labeling-job/animals"),
        ("CreateLabelingJob", "labeling-job/animals"),
    ]
    assert {entry.address for entry in found} == {"127.0.0.1"}


def test_human_loops_and_objects_that_are_pushed_stand_in_the_log(
    service: RunningService, a2i: Any, make_flow: Callable[..., str], make_job: Callable[..., str]
) -> None:
    request = {"HumanLoopName": "first", "HumanLoopInput": {"InputContent": "{}"}}
    a2i.start_human_loop(FlowDefinitionArn=make_flow(), **request)
    make_job("animals", Tags=[{"Key": "trueground:streaming", "Value": "yes"}])
    line = b'{"source-ref": "' + (service.data_root / "in/animals/pixel.png").as_uri().encode() + b'"}'
    pushed = service.send("", line, path="/streams/animals/objects")
    assert pushed.json()["Objects"][0]["Status"] == "added"
    actor = f"key/{service.credentials['aws_access_key_id']}"
    found = audit_log.entries(service.db, actor=actor).items
    assert [
        (entry.act, entry.resource, entry.detail) for entry in found if "Human" in entry.act or "Push" in entry.act
    ][:2] == [
        ("PushObjects", "labeling-job/animals", {"added": 1}),
        ("StartHumanLoop", "human-loop/first", {"flow_definition": "transcripts"}),
    ]
