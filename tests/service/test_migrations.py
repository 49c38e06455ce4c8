"""A store of the previous schema, with a job half done in it, goes on where it was."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from trueground.service.engine import answering, leasing, own_work, teams
from trueground.service.engine.finisher import Finisher
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database

ANSWER = {"crowd-image-classifier": {"label": "dog"}}
OLD_ID = "0123456789abcdef0123456789abcdef"


def fill(connection: Connection, settings: ServiceSettings) -> None:
    """What issue-free daily work left in a store of the first schema: one object answered, one leased, one waiting."""
    moment = datetime.now(UTC) - timedelta(minutes=5)
    at = moment.replace(tzinfo=None) if connection.dialect.name == "sqlite" else moment
    values = {
        "at": at,
        "later": at + timedelta(days=1),
        "request": json.dumps(
            {
                "LabelingJobName": "old",
                "LabelAttributeName": "animal",
                "OutputConfig": {"S3OutputPath": f"file://{settings.data_root}/out"},
                "HumanTaskConfig": {"TaskTitle": "Which animal?", "TaskDescription": "Say which."},
            }
        ),
        "members": json.dumps({"MemberDefinitions": [{"OidcMemberDefinition": {"Groups": ["annotators"]}}]}),
        "categories": json.dumps(["cat", "dog"]),
        "answer": json.dumps(ANSWER),
        "line": json.dumps({"source": "a dog"}),
        "id": OLD_ID,
    }
    statements = (
        "INSERT INTO workforces VALUES ('default', '{}', :at, :at)",
        "INSERT INTO workteams VALUES ('annotators', 'default', 'All', :members, :at, :at)",
        "INSERT INTO workteam_groups VALUES ('annotators', 'annotators')",
        "INSERT INTO workers VALUES ('00000000000000aa', 'ada', 'Ada', 'manager', NULL, 'local', 'sub-a', :at)",
        "INSERT INTO workers VALUES ('00000000000000bb', 'bob', 'Bob', 'worker', NULL, 'local', 'sub-b', :at)",
        "INSERT INTO worker_groups VALUES ('00000000000000aa', 'annotators')",
        "INSERT INTO worker_groups VALUES ('00000000000000bb', 'annotators')",
        "INSERT INTO labeling_jobs VALUES (1, 'old', 'InProgress', NULL, :request, 'code', 'annotators', 2, 600, NULL, "
        "'PRE-TextMultiClass', 'ACS-TextMultiClass', '<crowd-form></crowd-form>', :categories, '{}', 3, FALSE, :at, "
        ":at, :later, NULL, NULL)",
        "INSERT INTO data_objects VALUES (1, 0, :line, 'started', 1, 1, FALSE, NULL)",
        "INSERT INTO data_objects VALUES (1, 1, :line, 'started', 1, 0, FALSE, NULL)",
        "INSERT INTO data_objects VALUES (1, 2, :line, 'waiting', 2, 0, FALSE, NULL)",
        "INSERT INTO job_workers VALUES (1, '00000000000000aa', 1)",
        "INSERT INTO assignments VALUES ('answered-before', 1, 0, '00000000000000aa', 'submitted', :at, :later)",
        "INSERT INTO assignments VALUES (:id, 1, 1, '00000000000000aa', 'leased', :at, :later)",
        "INSERT INTO answers VALUES (1, 'answered-before', 1, 0, '00000000000000aa', :answer, 4.5, :at, :at)",
        "INSERT INTO tags VALUES ('labeling-job/old', 'team', 'zoo')",
    )
    for statement in statements:
        connection.execute(text(statement), values)


def test_a_job_half_done_under_the_previous_schema_is_finished_under_this_one(
    store_url: str, settings: ServiceSettings
) -> None:
    with closing(Database(store_url)) as store:
        store.migrate("0001")
        with store.write() as connection:
            fill(connection, settings)
        store.migrate()
        with store.read() as connection:
            count = connection.execute(text("SELECT answered FROM job_workers")).scalar_one()
            wanted = connection.execute(text("SELECT wanted FROM data_objects")).scalars().all()
            kinds = connection.execute(text("SELECT kind FROM workteams")).scalars().all()
        assert count == 1 and wanted == [2, 2, 2] and set(kinds) == {"private"}
        assert teams.describe_workteam(store, settings, "annotators").description == "All"

        # The lease from before the migration, whose id has the old form, is answered; its worker's work goes on.
        assert answering.submit_answer(store, OLD_ID, "00000000000000aa", ANSWER, 1.0).answered_by_me == 2
        assert len(own_work.recent_answers(store, "00000000000000aa", "old")) == 2
        for worker, tasks in (("00000000000000aa", 1), ("00000000000000bb", 3)):
            for _ in range(tasks):
                lease = leasing.next_assignment(store, worker)
                assert lease is not None
                answering.submit_answer(store, lease.id, worker, ANSWER, 1.0)
        Finisher(store, settings.storage(), settings).tick()
        lines = (settings.data_root / "out/old/manifests/output/output.manifest").read_text().splitlines()
        assert [json.loads(line)["animal-metadata"]["class-name"] for line in lines] == ["dog"] * 3


def test_answers_are_append_only_after_the_migration_too(store_url: str, settings: ServiceSettings) -> None:
    with closing(Database(store_url)) as store:
        store.migrate("0001")
        with store.write() as connection:
            fill(connection, settings)
        store.migrate()
        for statement in ("UPDATE answers SET seconds = 9", "DELETE FROM answers"):
            with pytest.raises(DBAPIError, match="append-only"), store.write() as connection:
                connection.execute(text(statement))
