"""A review that is stopped early keeps what people did, and asks nobody anything new."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.plugins.conftest import first_event
from tests.plugins.test_reviews import Reviews, context, lines_of, reviews
from trueground.service.engine import answering, leasing

__all__ = ["reviews"]


class Night:
    """A run of the review, task by task."""

    def __init__(self, reviews: Reviews) -> None:
        from operators.predictions import ChoosePredictionsToReviewOperator, TakePredictionsOperator

        self.reviews = reviews
        self.how: dict[str, Any] = {"project": "moods.yaml", "run_name": "night"}
        TakePredictionsOperator(task_id="predict", **self.how).execute(context())
        ChoosePredictionsToReviewOperator(task_id="choose", **self.how).execute(context())

    def ask(self, step: Any) -> tuple[str, Any]:
        """Show and ask; gives the flow definition and the task that starts the loops."""
        from operators.human_loops import StartHumanLoopsOperator
        from operators.reviews import AskReviewersOperator, ShowPredictionsOperator

        shown = ShowPredictionsOperator(task_id="show", review_step=step, **self.how).execute(context())
        flow = AskReviewersOperator(task_id="ask", review_step=step, **self.how).execute(context())["flow_definition"]
        start = StartHumanLoopsOperator(
            task_id="start", flow_definition=flow, file=shown["file"], name="moods", run_name="night", step=step
        )
        return flow, start

    def work(self, flow: str, team: str, say: Any, most: int) -> None:
        """One person answers so many tasks."""
        db, worker = self.reviews.service.db, self.reviews.workers[team][0]
        db.version += 1
        for _ in range(most):
            lease = leasing.next_assignment(db, worker, flow.rpartition("/")[2])
            assert lease is not None
            answering.submit_answer(db, lease.id, worker, {"label": {"label": say}}, 2.0)

    def collect(self, step: Any, started: dict[str, Any]) -> dict[str, int]:
        """Wait until all loops are over, and gather."""
        from airflow.sdk.exceptions import TaskDeferred
        from operators.human_review import HumanReviewSensor
        from operators.reviews import CollectReviewsOperator

        sensor = HumanReviewSensor(task_id="wait", human_loops=started, poll_interval=0.1)
        with pytest.raises(TaskDeferred) as deferred:
            sensor.execute(context())
        event = asyncio.run(asyncio.wait_for(first_event(deferred.value.trigger), 60))
        collect = CollectReviewsOperator(
            task_id="collect", review_step=step, started=sensor.resume(context(), event), **self.how
        )
        counts: dict[str, int] = collect.execute(context())
        return counts

    def merge(self) -> dict[str, Any]:
        """Publish."""
        from airflow.sdk import Asset
        from operators.reviews import MergeReviewsOperator

        merge = MergeReviewsOperator(task_id="merge", reviews=Asset("moods-reviews"), **self.how)
        published: dict[str, Any] = merge.execute(context())
        return published


def stop(**how: str) -> dict[str, int]:
    from operators.stop_reviews import StopReviewsOperator

    operator = StopReviewsOperator(task_id="stop", **{"name": "moods", "run_name": "night", **how})
    found: dict[str, int] = operator.execute(context())
    return found


def test_what_was_answered_counts_also_of_an_object_that_more_people_were_to_see(reviews: Reviews) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    reviews.write(review={"team": "annotators", "reviewers_per_object": 2, "second_team": "seconds"})
    reviews.predict(*((f"text {number}", "good", 0.1) for number in range(5)))
    night = Night(reviews)
    flow, start = night.ask("review")
    started = start.execute(context())
    night.work(flow, "annotators", "bad", 2)
    assert stop() == {"stopped": 5, "over": 0, "not_started": 0}
    assert night.collect("review", started) == {"loops": 5, "unanswered": 3}
    assert stop() == {"stopped": 0, "over": 5, "not_started": 0}, "safe to repeat"
    with pytest.raises(AirflowSkipException, match="nothing is to be reviewed"):
        night.ask("second")
    published = night.merge()
    assert (published["reviewed"], published["changed"], published["unanswered"]) == (5, 2, 3)
    rows = lines_of(published["reviews"])
    assert (
        sorted((row["outcome"], row["final"]) for row in rows)
        == [("corrected", "bad")] * 2 + [("unanswered", None)] * 3
    )
    _, start = night.ask("review")
    assert start.execute(context()) == started, "a step that is cleared shows and asks what it did before"
    assert night.merge() == published


def test_what_was_not_started_is_not_started_any_more(reviews: Reviews) -> None:
    reviews.write()
    reviews.predict(*((f"text {number}", "good", 0.1) for number in range(4)))
    night = Night(reviews)
    _, start = night.ask("review")
    assert stop() == {"stopped": 0, "over": 0, "not_started": 4}
    assert start.execute(context())["loops"] == 0
    assert night.merge()["unanswered"] == 4


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ({"run_name": ""}, "run: moods has many runs"),
        ({"run_name": "none"}, "run: moods has no run 'none'"),
        ({"name": "nobody"}, "name: no form of the name 'nobody' made reviews"),
    ],
)
def test_a_run_that_there_is_not_is_refused_by_its_field(reviews: Reviews, how: dict[str, str], problem: str) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    reviews.write()
    with pytest.raises(AirflowFailException, match=problem):
        stop(**how)
