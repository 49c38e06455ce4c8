"""The steps of a review project, one after the other, with the real operators against the real service."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow.parquet as pq
import pytest
import yaml

from tests.plugins.conftest import first_event
from tests.service.running import RunningService
from trueground.contracts import ReviewsExtra, read_extra
from trueground.service.engine import answering, leasing

pytestmark = pytest.mark.thorough

STARTED = datetime.now(UTC)
Say = Callable[[str, dict[str, Any]], Any]
"""What a team's reviewer says of a task: the label they choose."""


@dataclass
class Reviews:
    """A review project, and who works for it."""

    service: RunningService
    projects: Path
    workers: Mapping[str, list[str]]

    def write(self, **changes: Any) -> None:
        project = {
            "kind": "review-predictions",
            "name": "moods",
            "source": {"kind": "file", "predictions": "predictions.jsonl"},
            "conditions": [{"ConditionType": "ConfidenceCheck", "ConditionParameters": {"ConfidenceLessThan": 0.8}}],
            "labels": ["good", "bad", "mixed"],
            "output": "reviews",
            "review": {"team": "annotators"},
            **changes,
        }
        (self.projects / "moods.yaml").write_text(yaml.safe_dump(project))

    def predict(self, *predictions: tuple[str, str, float]) -> None:
        """Write predictions: text, label, confidence."""
        lines = [
            {"id": text, "service": "custom", "source": text, "prediction": {"label": label, "confidence": confidence}}
            for text, label, confidence in predictions
        ]
        file = self.service.data_root / "predictions.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def run(self, say: Say, name: str = "night") -> dict[str, Any]:
        """Run the DAG's tasks in their order; gives what the last one published."""
        from airflow.sdk import Asset
        from operators.predictions import PREDICTIONS, ChoosePredictionsToReviewOperator
        from operators.reviews import MergeReviewsOperator

        from trueground.review.project import load_review_project
        from trueground.review.steps import STEPS, team_of

        project = load_review_project(self.projects / "moods.yaml", data_root=str(self.service.data_root))
        how: dict[str, Any] = {"project": "moods.yaml", "run_name": name}
        PREDICTIONS[project.source.kind](task_id="predict", **how).execute(context())
        ChoosePredictionsToReviewOperator(task_id="choose", **how).execute(context())
        for step in STEPS:
            if (team := team_of(project, step)) is not None:
                self._step(step, team, say, name)
        merge = MergeReviewsOperator(task_id="merge", reviews=Asset("moods-reviews"), **how)
        published: dict[str, Any] = merge.execute(context())
        return published

    def _step(self, step: Any, team: str, say: Say, name: str) -> None:
        from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
        from operators.human_loops import StartHumanLoopsOperator
        from operators.human_review import HumanReviewSensor
        from operators.reviews import AskReviewersOperator, CollectReviewsOperator, ShowPredictionsOperator

        how: dict[str, Any] = {"project": "moods.yaml", "run_name": name, "review_step": step}
        try:
            shown = ShowPredictionsOperator(task_id="show", **how).execute(context())
        except AirflowSkipException:
            return
        flow = AskReviewersOperator(task_id="ask", **how).execute(context())["flow_definition"]
        start = StartHumanLoopsOperator(
            task_id="start", flow_definition=flow, file=shown["file"], name="moods", run_name=name, step=step
        )
        started = start.execute(context())
        assert start.execute(context()) == started
        self._work(flow, team, say)
        sensor = HumanReviewSensor(task_id="wait", human_loops=started, poll_interval=0.1)
        with pytest.raises(TaskDeferred) as deferred:
            sensor.execute(context())
        event = asyncio.run(asyncio.wait_for(first_event(deferred.value.trigger), 60))
        CollectReviewsOperator(task_id="collect", started=sensor.resume(context(), event), **how).execute(context())

    def _work(self, flow: str, team: str, say: Say) -> None:
        db = self.service.db
        db.version += 1
        for worker in self.workers[team]:
            while (lease := leasing.next_assignment(db, worker, flow.rpartition("/")[2])) is not None:
                shown = json.loads(lease.line or "{}")
                answer = say(team, shown)
                content = answer if isinstance(answer, dict) else {"label": {"label": answer}}
                answering.submit_answer(db, lease.id, worker, content, 2.0)


def context() -> Any:
    return {
        "dag_run": SimpleNamespace(run_after=STARTED),
        "outlet_events": defaultdict(SimpleNamespace),
    }


def lines_of(uri: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(unquote(urlsplit(uri).path)).read_text().splitlines()]


@pytest.fixture
def reviews(
    service: RunningService, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Reviews:
    connect(service.url, service.credentials)
    monkeypatch.setenv("TRUEGROUND_DATA_ROOT", str(service.data_root))
    projects = tmp_path / "projects"
    projects.mkdir()
    for module in ("operators.base", "operators.connections", "operators.predictions", "operators.project_dags"):
        monkeypatch.setattr(f"{module}.PROJECTS_FOLDER", projects)
    workers = {"annotators": [service.add_worker("ada"), service.add_worker("boris")]}
    for team in ("seconds", "experts"):
        service.add_team(team)
        workers[team] = [service.add_worker(f"of-{team}", team=team)]
    found = Reviews(service, projects, workers)
    found.write()
    return found


def test_what_is_unsure_is_reviewed_and_all_is_published(reviews: Reviews) -> None:
    reviews.predict(("fine", "good", 0.99), ("hm", "good", 0.5), ("well", "bad", 0.6))
    published = reviews.run(lambda _team, shown: "mixed" if shown["source"] == "hm" else "bad")
    extra = read_extra(ReviewsExtra, published, asset="moods-reviews")
    assert (extra.objects, extra.reviewed, extra.accepted, extra.changed, extra.unresolved) == (3, 2, 1, 1, 0)
    rows = {row["id"]: row for row in lines_of(extra.reviews)}
    assert {key: (row["outcome"], row["final"]) for key, row in rows.items()} == {
        "fine": ("accepted", "good"), "hm": ("corrected", "mixed"), "well": ("confirmed", "bad"),
    }  # fmt: skip
    (review,) = rows["hm"]["reviews"]
    assert (review["worker"], review["value"]) == (reviews.workers["annotators"][0], "mixed")
    assert rows["hm"]["reasons"] == ["Conditions[0] ConfidenceCheck"]
    assert json.loads(Path(urlsplit(review["output"]).path).read_text())["inputContent"]["source"] == "hm"
    assert extra.labels is not None
    labels = {line["source"]: line["label-metadata"] for line in lines_of(extra.labels)}
    assert {text: metadata["class-name"] for text, metadata in labels.items()} == {"hm": "mixed", "well": "bad"}
    table = pq.read_table(urlsplit(extra.table).path).to_pylist()
    assert {row["id"]: row["final"] for row in table} == {"fine": "good", "hm": "mixed", "well": "bad"}


def test_a_run_repeated_asks_nobody_again_and_publishes_the_same(reviews: Reviews) -> None:
    reviews.predict(("hm", "good", 0.5))
    first = reviews.run(lambda *_: "bad")
    before = lines_of(first["reviews"])
    assert reviews.run(lambda *_: pytest.fail("asked again")) == first
    assert lines_of(first["reviews"]) == before


def test_a_second_team_looks_at_disagreement_and_experts_at_what_is_still_in_doubt(reviews: Reviews) -> None:
    reviews.write(review={"team": "annotators", "second_team": "seconds", "escalation_team": "experts"})
    reviews.predict(("agreed", "good", 0.1), ("second", "good", 0.1), ("escalated", "good", 0.1), ("dark", "bad", 0.1))
    seen: dict[str, list[str]] = defaultdict(list)

    def say(team: str, shown: dict[str, Any]) -> str:
        seen[team].append(shown["source"])
        return {
            "agreed": {"annotators": "good"},
            "second": {"annotators": "bad", "seconds": "bad"},
            "escalated": {"annotators": "bad", "seconds": "good", "experts": "mixed"},
            "dark": {"annotators": "Cannot tell", "seconds": "Cannot tell", "experts": "Cannot tell"},
        }[shown["source"]][team]

    published = reviews.run(say)
    assert sorted(seen["annotators"]) == ["agreed", "dark", "escalated", "second"]
    assert sorted(seen["seconds"]) == ["dark", "escalated", "second"]
    assert sorted(seen["experts"]) == ["dark", "escalated"]
    rows = {row["id"]: row for row in lines_of(published["reviews"])}
    assert {key: (row["outcome"], row["final"]) for key, row in rows.items()} == {
        "agreed": ("confirmed", "good"), "second": ("corrected", "bad"),
        "escalated": ("corrected", "mixed"), "dark": ("unresolved", None),
    }  # fmt: skip
    assert [review["step"] for review in rows["escalated"]["reviews"]] == ["review", "second", "escalation"]
    assert [review["value"] for review in rows["dark"]["reviews"]] == [None, None, None]
    assert {line["source"] for line in lines_of(published["labels"])} == {"agreed", "second", "escalated"}


def test_several_reviewers_of_a_loop_are_consolidated(reviews: Reviews) -> None:
    reviews.workers["annotators"].append(reviews.service.add_worker("chidi"))
    reviews.write(review={"team": "annotators", "reviewers_per_object": 3})
    reviews.predict(*((f"text {number}", "good", 0.1) for number in range(6)))
    turn: dict[str, int] = defaultdict(int)

    def say(_team: str, shown: dict[str, Any]) -> str:
        turn[shown["source"]] += 1
        return "mixed" if turn[shown["source"]] == 2 else "bad"

    published = reviews.run(say)
    rows = lines_of(published["reviews"])
    assert [row["final"] for row in rows] == ["bad"] * 6
    assert all(len(row["reviews"]) == 3 and row["agreement"] == pytest.approx(2 / 3) for row in rows)


def test_a_days_budget_is_spent_where_a_review_is_worth_most_and_shared_by_its_runs(reviews: Reviews) -> None:
    reviews.write(review={"team": "annotators", "reviews_per_day": 3, "weight": "prediction.amount"})
    amounts = {"small": (0.5, 1), "large": (0.7, 100), "unsure": (0.1, 10), "tiny": (0.3, 0.1)}
    lines = [
        {
            "id": text, "service": "custom", "source": text,
            "prediction": {"label": "good", "confidence": confidence, "amount": amount},
        }
        for text, (confidence, amount) in amounts.items()
    ]  # fmt: skip
    (reviews.service.data_root / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def reviewed(published: dict[str, Any]) -> set[str]:
        return {row["id"] for row in lines_of(published["reviews"]) if row["outcome"] != "accepted"}

    first = reviews.run(lambda *_: "good")
    assert reviewed(first) == {"large", "unsure", "small"} and first["objects"] == 4
    (over,) = (row for row in lines_of(first["reviews"]) if row["id"] == "tiny")
    assert over["outcome"] == "accepted" and over["reasons"], "it is told that it was to be reviewed"
    assert reviewed(reviews.run(lambda *_: pytest.fail("asked again"))) == {"large", "unsure", "small"}
    assert reviewed(reviews.run(lambda *_: pytest.fail("over the budget"), "another night")) == set()


def test_a_prediction_that_a_budget_cannot_compare_is_set_aside_by_name(reviews: Reviews) -> None:
    sample = {"ConditionType": "Sampling", "ConditionParameters": {"RandomSamplingPercentage": 100}}
    reviews.write(conditions={"Conditions": [sample]}, review={"team": "annotators", "reviews_per_day": 5})
    reviews.predict(("sure", "good", 0.9))
    with (reviews.service.data_root / "predictions.jsonl").open("a") as file:
        file.write('{"id": "x", "service": "custom", "source": "x", "prediction": {"label": "bad"}}\n')
    published = reviews.run(lambda *_: "good")
    assert (published["objects"], published["set_aside"]) == (1, 1)


def test_predictions_that_cannot_be_judged_are_set_aside_and_counted(reviews: Reviews) -> None:
    reviews.predict(("hm", "good", 0.5))
    file = reviews.service.data_root / "predictions.jsonl"
    file.write_text(
        file.read_text() + '{"id": "x", "service": "custom", "source": "x", "prediction": {"label": "bad"}}\n'
    )
    published = reviews.run(lambda *_: "good")
    assert (published["objects"], published["set_aside"]) == (1, 1)


def test_an_answer_of_another_form_names_the_loops_output(reviews: Reviews) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    reviews.predict(("hm", "good", 0.5))
    with pytest.raises(AirflowFailException, match=r"output\.json: answerContent: an answer has one element"):
        reviews.run(lambda *_: {"note": "what?"})


def write_lines(reviews: Reviews, *lines: dict[str, Any] | str) -> None:
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    (reviews.service.data_root / "predictions.jsonl").write_text("".join(f"{text}\n" for text in texts))


def test_lines_that_do_not_say_what_they_are_are_what_the_project_says(reviews: Reviews) -> None:
    line = {"source": "hm", "prediction": {"label": "good", "confidence": 0.5}}
    write_lines(reviews, *({"id": str(number), **line} for number in range(3)))
    published = reviews.run(lambda *_: "bad")
    assert (published["reviewed"], published["set_aside"]) == (3, 0)
    assert {row["service"] for row in lines_of(published["reviews"])} == {"custom"}


@pytest.mark.parametrize(
    ("bad", "allowed", "fails"),
    [(3, 0.5, True), (2, 0.5, True), (1, 0.5, False), (2, 0.7, False), (3, 1.0, True), (1, 0.0, True), (0, 0.0, False)],
)
def test_a_run_whose_predictions_cannot_be_used_fails_before_anybody_is_asked(
    reviews: Reviews, bad: int, allowed: float, fails: bool
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    reviews.write(most_set_aside=allowed)
    good = {"service": "custom", "source": "hm", "prediction": {"label": "good", "confidence": 0.5}}
    wrong = {**good, "service": "textract"}
    write_lines(reviews, *({"id": str(number), **(wrong if number < bad else good)} for number in range(3)))
    if not fails:
        assert reviews.run(lambda *_: "bad")["set_aside"] == bad
        return
    with pytest.raises(AirflowFailException) as failed:
        reviews.run(lambda *_: pytest.fail("asked"))
    assert f"{bad} of 3 predictions cannot be used" in str(failed.value)
    assert "'textract', where the project's source says 'custom'" in str(failed.value)
    assert not list(reviews.service.data_root.glob("reviews/runs/*/published"))


def test_a_review_that_lacks_people_or_data_fails_in_its_first_task(reviews: Reviews) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    reviews.service.add_team("empty")
    reviews.write(review={"team": "empty", "second_team": "none", "template": "no-such"})
    with pytest.raises(AirflowFailException) as failed:
        reviews.run(lambda *_: pytest.fail("asked"))
    said = str(failed.value)
    assert "4 things are missing" in said
    for text in ("nobody is in the work team 'empty'", "there is no work team 'none'", "no template 'no-such'"):
        assert text in said
    assert "source.predictions" in said
