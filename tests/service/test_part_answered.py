"""A job that was stopped: objects with fewer answers than asked for are marked, and the next job asks for the rest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from trueground.service.engine import answering, jobs, leasing, progress
from trueground.service.engine.finisher import Finisher
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import answers, data_objects, labeling_jobs
from trueground.storage import file_uri

MakeJob = Callable[..., str]
People = Callable[[int], list[str]]
LAMBDA = "arn:aws:lambda:us-east-1:432418664414:function:"
PASSING = {
    "PreHumanTaskLambdaArn": LAMBDA + "PRE-PassThrough",
    "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": LAMBDA + "ACS-PassThrough"},
}


def finish(store: Database, settings: ServiceSettings, name: str) -> list[dict[str, Any]]:
    finisher = Finisher(store, settings.storage(), settings)
    for _ in range(100):
        finisher.tick()
        with store.read() as connection:
            status = connection.scalar(select(labeling_jobs.c.status).where(labeling_jobs.c.name == name))
        if status not in ("InProgress", "Stopping"):
            break
    text = (settings.data_root / "out" / name / "manifests/output/output.manifest").read_text()
    return [json.loads(line) for line in text.splitlines()]


def chained(settings: ServiceSettings, name: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
    file = settings.data_root / f"{name}.manifest"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"DataSource": {"S3DataSource": {"ManifestS3Uri": file_uri(file)}}}


def wanted(store: Database, name: str) -> list[tuple[str, int, int]]:
    query = select(data_objects.c.state, data_objects.c.wanted, data_objects.c.free)
    query = query.join(labeling_jobs, labeling_jobs.c.id == data_objects.c.job_id).where(labeling_jobs.c.name == name)
    with store.read() as connection:
        return [
            (row.state, row.wanted, row.free) for row in connection.execute(query.order_by(data_objects.c.position))
        ]


def test_what_is_missing_is_marked_and_asked_for_by_the_next_job(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, answer_all: Callable[..., int]
) -> None:
    settings = ServiceSettings(**{**settings.__dict__, "stop_grace": 0.0})
    workers = people(5)
    stored_job("animals", 3, 3)
    answer_all(store, "animals", workers[0], "dog", 2)
    answer_all(store, "animals", workers[1], "dog", 1)
    answer_all(store, "animals", workers[2], "cat", 1)
    found = progress.job_progress(store, "animals")
    assert (found.unanswered, found.partly) == (1, 1)
    jobs.stop_job(store, "animals")
    whole, part, none = finish(store, settings, "animals")
    assert progress.job_progress(store, "animals").part_answered == 1
    assert "answers-wanted" not in whole["animal-metadata"]
    metadata = part["animal-metadata"]
    assert (metadata["answers"], metadata["answers-wanted"], len(metadata["worker-responses"])) == (1, 3, 1)
    assert list(part)[-2:] == ["animal", "animal-metadata"] and "animal" not in none

    stored_job("more", 3, 3, InputConfig=chained(settings, "more", [whole, part, none]))
    assert wanted(store, "more") == [("labeled", 3, 0), ("waiting", 2, 2), ("waiting", 3, 3)]
    # One of the two that are missing, and it is stopped again.
    answer_all(store, "more", workers[3], "cat", 1)
    jobs.stop_job(store, "more")
    again, part, _ = finish(store, settings, "more")
    assert again == whole
    metadata = part["animal-metadata"]
    assert (metadata["answers"], metadata["answers-wanted"], len(metadata["worker-responses"])) == (2, 3, 2)

    stored_job("last", 1, 3, InputConfig=chained(settings, "last", [part]))
    assert wanted(store, "last") == [("waiting", 1, 1)]
    answer_all(store, "last", workers[4], "cat")
    (line,) = finish(store, settings, "last")
    # Of all three answers: one dog of the first job, a cat of the second, a cat of this one.
    assert line["animal-metadata"]["class-name"] == "cat"
    assert "answers-wanted" not in line["animal-metadata"]
    # The label never depends on files that somebody may have moved, only gets better by them.
    shutil.rmtree(settings.data_root / "out/animals")
    stored_job("moved", 1, 3, InputConfig=chained(settings, "moved", [part]))
    answer_all(store, "moved", workers[4], "bird")
    (line,) = finish(store, settings, "moved")
    assert "class-name" in line["animal-metadata"]


@pytest.mark.parametrize("functions", [{}, PASSING, {"AnnotationConsolidationConfig": None}])
def test_every_kind_of_consolidation_marks_what_is_missing(
    store: Database, settings: ServiceSettings, people: People, stored_job: MakeJob, functions: dict[str, Any]
) -> None:
    settings = ServiceSettings(**{**settings.__dict__, "stop_grace": 0.0})
    (worker,) = people(1)
    stored_job("animals", 2, 2, **functions)
    lease = leasing.next_assignment(store, worker)
    assert lease is not None
    answering.submit_answer(store, lease.id, worker, {"crowd-image-classifier": {"label": "dog"}}, 1.0)
    jobs.stop_job(store, "animals")
    line = finish(store, settings, "animals")[0]
    metadata = line["animal-metadata"]
    assert (metadata["answers"], metadata["answers-wanted"]) == (1, 2)
    assert list(line).index("animal") < list(line).index("animal-metadata")
    if functions:
        assert metadata["worker-response-ref"] == metadata["worker-responses"][0]
    with store.read() as connection:
        assert len(connection.execute(select(answers.c.id)).all()) == 1


@pytest.mark.parametrize(
    "metadata",
    [
        {"answers": 3, "answers-wanted": 3},
        {"answers": "1", "answers-wanted": [3]},
        {"answers": -1, "answers-wanted": 0},
        {"answers": 4, "answers-wanted": 3, "worker-responses": 7},
    ],
)
def test_metadata_that_says_nothing_of_the_kind_is_a_label_as_before(
    store: Database, settings: ServiceSettings, stored_job: MakeJob, metadata: dict[str, Any]
) -> None:
    pixel = {"source-ref": file_uri(settings.data_root / "x.png"), "animal": 1, "animal-metadata": metadata}
    (settings.data_root / "x.png").write_bytes(b"any")
    other = {"source-ref": pixel["source-ref"]}
    stored_job("animals", [pixel, other], 3)
    assert wanted(store, "animals") == [("labeled", 3, 0), ("waiting", 3, 3)]
