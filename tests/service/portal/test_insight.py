"""What managers see of a job, and workers of themselves; on both stores."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, update

from tests.service.running import RunningService
from trueground.service.engine import statistics
from trueground.service.engine.errors import Invalid, NotFound
from trueground.service.engine.job_insight import Share, job_insight, set_priority
from trueground.service.portal import charts
from trueground.service.store.database import Database, now
from trueground.service.store.tables import answers, assignments, audit_log, data_objects, events, job_workers


def signed_in(service: RunningService, username: str) -> httpx.Client:
    client = httpx.Client(base_url=service.url)
    answer = client.post("/api/session", json={"username": username, "password": "secret"})
    client.headers["X-CSRF-Token"] = answer.json()["csrfToken"]
    return client


@pytest.fixture
def answered(store: Database, people: Callable[[int], list[str]], stored_job: Any, answer_all: Any) -> list[str]:
    """Two workers answered four objects: the first always dog, the second cat where the position is odd."""
    workers = people(2)
    stored_job("animals", 4, 2)
    answer_all(store, "animals", workers[0], "dog")
    answer_all(store, "animals", workers[1], lambda position: "cat" if position % 2 else "dog")
    return workers


def test_it_shows_what_was_answered_how_often(store: Database, answered: list[str]) -> None:
    assert job_insight(store, "animals").labels == [Share("dog", 6), Share("cat", 2)]


def test_an_edited_answer_counts_once_and_as_it_is_now(store: Database, answered: list[str]) -> None:
    with store.write() as connection:
        first = connection.execute(answers.select().order_by(answers.c.id)).first()
        assert first is not None
        changed = {**first._mapping, "revision": 1, "content": {"crowd-image-classifier": {"label": "bird"}}}
        del changed["id"]
        connection.execute(insert(answers).values(changed))
    insight = job_insight(store, "animals")
    assert insight.labels == [Share("dog", 5), Share("cat", 2), Share("bird", 1)]
    assert insight.steps[-1].answers == 8
    assert statistics.own_statistics(store, answered[0]).answers == 4


def test_it_shows_what_may_not_work_in_the_template(
    service: RunningService, make_job: Callable[..., Any], job_request: Callable[..., Any], sagemaker: Any
) -> None:
    service.add_worker("ada")
    make_job("right")
    request = job_request("doubtful")
    path = service.data_root / "in/doubtful/template.html"
    path.write_text(
        path.read_text().replace(
            "</crowd-form>",
            '<script src="https://example.org/chart.js"></script>{% for x in task.input.labels %}'
            '<input name="{{ x | size }}">{% endfor %}</crowd-form>',
        )
    )
    sagemaker.create_labeling_job(**request)
    service.add_worker("mia", role="manager", team=None)
    manager = signed_in(service, "mia")
    found = manager.get("/api/jobs/doubtful").json()["insight"]["warnings"]
    assert "line 8: the script https://example.org/chart.js is of another host and is not loaded" in found[0]
    assert "several elements have the name '3'" in found[1], "cat and dog have three letters: known with data only"
    assert "https://example.org/chart.js" in manager.get("/jobs/doubtful").text
    assert manager.get("/api/jobs/right").json()["insight"]["warnings"] == []
    assert "may not work" not in manager.get("/jobs/right").text


def test_the_line_of_answers_rises_to_all_of_them(store: Database, answered: list[str]) -> None:
    # Answers are never changed, so what happened hours ago is added.
    with store.write() as connection:
        one = dict(connection.execute(answers.select()).first()._mapping)  # type: ignore[union-attr]
        lease = dict(connection.execute(assignments.select()).first()._mapping)  # type: ignore[union-attr]
        del one["id"]
        for back in range(1, 6):
            key, when = f"earlier-{back}", now() - timedelta(hours=back)
            connection.execute(insert(assignments).values({**lease, "id": key, "state": "released"}))
            connection.execute(insert(answers).values({**one, "assignment_id": key, "submitted_at": when}))
    steps = job_insight(store, "animals").steps
    assert steps[0].answers == 0
    assert steps[-1].answers == 13
    assert len(steps) >= 6
    assert [step.answers for step in steps] == sorted(step.answers for step in steps)
    curve = charts.curve(steps, 13)
    assert curve is not None
    assert curve.line.startswith("M0.0 120.0 L")
    assert curve.line.endswith(" 2.0")


def test_failures_are_grouped_by_their_reason(store: Database, answered: list[str]) -> None:
    with store.write() as connection:
        for position, reason in enumerate(("no such file", "no such file", "declined by all")):
            key = (data_objects.c.position == position,)
            connection.execute(update(data_objects).where(*key).values(state="failed", failure_reason=reason))
    assert job_insight(store, "animals").failures == [Share("no such file", 2), Share("declined by all", 1)]


def test_it_shows_who_is_reliable_and_who_is_paused(store: Database, answered: list[str]) -> None:
    with store.write() as connection:
        mine = update(job_workers).where(job_workers.c.worker_id == answered[1])
        connection.execute(
            mine.values(gold_seen=8, gold_right=2, paused_at=now(), pause_reason="right on 2 of 8 gold objects")
        )
    gold = job_insight(store, "animals").gold
    assert list(gold) == [answered[1]]
    assert (gold[answered[1]].seen, gold[answered[1]].right) == (8, 2)
    assert gold[answered[1]].paused == "right on 2 of 8 gold objects"


def test_a_workers_own_accuracy_is_told_late_and_roughly(store: Database, answered: list[str]) -> None:
    mine = update(job_workers).where(job_workers.c.worker_id == answered[0])
    for seen, right, told in ((9, 9, None), (17, 12, 0.7)):
        with store.write() as connection:
            connection.execute(mine.values(gold_seen=seen, gold_right=right))
        assert statistics.own_statistics(store, answered[0]).jobs[0].gold_accuracy == told


def test_a_priority_is_kept_and_a_wild_one_refused(store: Database, answered: list[str]) -> None:
    set_priority(store, "animals", 7)
    assert job_insight(store, "animals").priority == 7
    with pytest.raises(Invalid):
        set_priority(store, "animals", 10**9)
    with pytest.raises(NotFound):
        set_priority(store, "plants", 1)


def test_a_managers_page_has_all_of_it_and_a_json_twin(service: RunningService, make_job: Callable[..., str]) -> None:
    ada = service.add_worker("ada")
    service.add_worker("boss", role="manager", team=None)
    make_job("animals", objects=3)
    service.answer("animals", ada, most=2)
    with service.db.write() as connection:
        body = {"detail": {"LabelingJobStatus": "InProgress"}}
        event = {"resource": "labeling-job/animals", "detail_type": "Something happened", "body": body}
        connection.execute(insert(events).values(**event, created_at=now()))
    boss = signed_in(service, "boss")
    page = boss.get("/jobs/animals").text
    for text in ("<svg", "What was answered", "dog", "Something happened", "manifests/output/output.manifest"):
        assert text in page
    insight = boss.get("/api/jobs/animals").json()["insight"]
    assert insight["labels"] == [{"name": "dog", "count": 2}]


def test_a_priority_is_changed_by_the_pages_form_only(service: RunningService, make_job: Callable[..., str]) -> None:
    service.add_worker("ada")
    service.add_worker("boss", role="manager", team=None)
    make_job("animals")
    boss, ada = signed_in(service, "boss"), signed_in(service, "ada")
    token = boss.get("/jobs/animals").text.split('name="token" value="')[1].split('"')[0]
    path = "/jobs/animals/priority"
    assert boss.post(path, data={"priority": "5", "token": "x.y"}).status_code == 403
    assert ada.post(path, data={"priority": "5", "token": token}).status_code == 403
    assert boss.post("/jobs/plants/priority", data={"priority": "5", "token": token}).status_code == 403
    assert boss.post(path, data={"priority": "5", "token": token}).status_code == 303
    assert job_insight(service.db, "animals").priority == 5
    assert boss.put("/api/jobs/animals/priority", json={"priority": 6}).status_code == 204
    assert ada.put("/api/jobs/animals/priority", json={"priority": 7}).status_code == 403
    del boss.headers["X-CSRF-Token"]
    assert boss.put("/api/jobs/animals/priority", json={"priority": 7}).status_code == 403
    assert job_insight(service.db, "animals").priority == 6
    with service.db.read() as connection:
        acts = connection.execute(audit_log.select().where(audit_log.c.act == "SetPriority")).all()
    assert [act.detail for act in acts] == [{"from": 0, "to": 5}, {"from": 5, "to": 6}]


def test_a_worker_sees_their_own_statistics(service: RunningService, make_job: Callable[..., str]) -> None:
    worker = service.add_worker("ada")
    ada = signed_in(service, "ada")
    assert "Nothing yet" in ada.get("/statistics").text
    make_job("animals", objects=3)
    service.answer("animals", worker)
    assert "Which animal is it?" in ada.get("/statistics").text
    own = ada.get("/api/statistics").json()
    assert (own["answers"], own["today"], own["jobs"][0]["answers"]) == (3, 3, 3)


def test_no_page_has_a_script_or_a_style_inside(service: RunningService, make_job: Callable[..., str]) -> None:
    worker = service.add_worker("ada")
    service.add_worker("boss", role="admin", team=None)
    make_job("animals")
    service.answer("animals", worker, most=1)
    ada, boss = signed_in(service, "ada"), signed_in(service, "boss")
    pages = [ada.get(path) for path in ("/", "/work/animals", "/statistics", "/account", "/nowhere", "/signin")]
    pages += [boss.get(path) for path in ("/jobs", "/jobs/animals", "/jobs/animals/people", "/people", "/audit")]
    for page in pages:
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", page.text), page.url
