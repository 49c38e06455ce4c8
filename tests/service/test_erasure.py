"""Erasing a person's data: nothing of it stays, and every answer does."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from tests.service.running import RunningService
from trueground.service.engine import accounts, erasure, invitations, leasing, own_work, progress, sessions
from trueground.service.engine.errors import Invalid, NotFound
from trueground.service.security import Identity
from trueground.service.store.database import Database
from trueground.service.store.tables import answers, metadata, workers

ADMIN = Identity("admin", "ada", "Ada", "2")


def everything(db: Database) -> str:
    """All that the store holds, as text."""
    with db.read() as connection:
        return "\n".join(str(connection.execute(select(table)).all()) for table in metadata.sorted_tables)


def test_no_table_holds_anything_of_an_erased_person(
    store: Database, stored_job: Callable[..., str], answer_all: Callable[..., int]
) -> None:
    token, _ = invitations.invite(store, ADMIN, groups=["annotators"], email="ann@example.org")
    ann = invitations.accept(store, token, "ann-b", "her password", name="Ann Other")
    with store.write() as connection:
        provider = {"subject": "sub-of-ann", "issuer": "https://id.example.org"}
        connection.execute(update(workers).where(workers.c.id == ann.id).values(**provider))
    session = sessions.sign_in(store, "ann-b", "her password")
    assert session is not None
    stored_job(objects=3)
    assert answer_all(store, "animals", ann.id, most=2) == 2
    erasure.erase(store, "ann-b")
    left = everything(store)
    for word in ("ann-b", "Ann Other", "ann@example.org", "sub-of-ann", "id.example.org"):
        assert word not in left
    with store.read() as connection:
        row = connection.execute(select(workers).where(workers.c.id == ann.id)).one()
        assert (row.username, row.name, row.subject) == (f"erased-{ann.id}",) * 3
        assert row.password_hash is None and row.erased_at is not None
        assert len(connection.execute(select(answers).where(answers.c.worker_id == ann.id)).all()) == 2
    assert sessions.session_of(store, session.token) is None
    assert progress.job_progress(store, "animals").workers[0].name == f"erased-{ann.id}"
    assert erasure.erase(store, f"erased-{ann.id}") == ann.id  # once more does no harm
    with pytest.raises(Invalid, match="cannot be opened again"):
        accounts.enable(store, f"erased-{ann.id}")
    with pytest.raises(NotFound):
        erasure.erase(store, "ann-b")
    accounts.add_worker(store, "ann-b", "secret")  # the name is free again


def test_files_written_before_hold_the_pseudonym_afterwards_and_nothing_else_changes(
    service: RunningService, make_job: Callable[..., str]
) -> None:
    ann, bob = service.add_worker("ann"), service.add_worker("bob")
    make_job("animals", objects=3, workers=2)
    service.answer("animals", ann)
    service.answer("animals", bob)
    service.wait_for("animals", "Completed")
    files = sorted((service.data_root / "out/animals").rglob("*.*"))
    before = {file: file.read_text() for file in files if file.is_file()}
    with service.db.read() as connection:
        subjects = dict(connection.execute(select(workers.c.id, workers.c.subject)).all())  # type: ignore[arg-type]
    assert sum(subjects[ann] in text for text in before.values()) == 3
    erasure.erase(service.db, "ann")
    assert erasure.rewrite_files(service.db, service.settings.storage(), ann) == 3
    for file, text in before.items():
        assert file.read_text() == text.replace(subjects[ann], f"erased-{ann}")
        if file.suffix == ".json":
            json.loads(file.read_text())
    assert erasure.rewrite_files(service.db, service.settings.storage(), ann) == 0


@pytest.mark.parametrize("leave", [erasure.erase, accounts.disable])
@pytest.mark.parametrize("paused", [False, True])
def test_the_task_of_somebody_who_is_gone_goes_to_somebody_else(
    store: Database,
    people: Callable[[int], list[str]],
    stored_job: Callable[..., str],
    leave: Callable[..., object],
    paused: bool,
) -> None:
    first, second = people(2)
    stored_job(objects=1)
    lease = leasing.next_assignment(store, first)
    assert lease is not None and leasing.next_assignment(store, second) is None
    if paused:
        own_work.pause(store, lease.id, first)
    leave(store, "worker-0")
    again = leasing.next_assignment(store, second)
    assert again is not None and again.position == lease.position
