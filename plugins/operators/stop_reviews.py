"""Stop the reviews of a run early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from operators.connections import PROJECTS_FOLDER, data_root, storage_of
from operators.failures import failing
from operators.human_loops import loops_client
from trueground.errors import InputError
from trueground.project_form import kept_review_run
from trueground.review.project import ReviewRun, load_review_projects

if TYPE_CHECKING:
    from airflow.sdk import Context


class StopReviewsOperator(BaseOperator):
    """Stop what people are still asked in a run of a review, and keep what they did; the run goes on with that.

    Args:
        name: the review project's name, or the name that was given in the form. Templated.
        run_name: the run; empty for a review by form, which has one only. Templated.
        connection: the Airflow connection of the labeling service of a review by form. Templated.

    Returns:
        How many human loops were ``stopped``, were ``over`` before, and how many objects were ``not_started``.
    """

    template_fields: Sequence[str] = ("name", "run_name", "connection")

    def __init__(self, *, name: str, run_name: str = "", connection: str = "trueground", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.run_name = run_name
        self.connection = connection

    def execute(self, context: Context) -> dict[str, int]:
        """Stop them; a run whose loops are all over stays as it is."""
        from trueground.review.stop import stop_reviews

        with failing(self.log):
            run = self._run()
            if not run.storage.exists(run.uri("to-review.jsonl")):
                raise InputError(
                    f"{run.project.name} has no run {run.name!r} in which anything was chosen for review", field="run"
                )
        stopped = stop_reviews(run, loops_client(run.project.connection))
        self.log.info("%s", stopped)
        return stopped

    def _run(self) -> ReviewRun:
        projects = load_review_projects(PROJECTS_FOLDER, data_root=data_root())[0].values()
        project = next((project for project in projects if project.name == self.name), None)
        if project is None:
            return kept_review_run(self.name, storage_of(self.connection), data_root=data_root())
        if not self.run_name:
            raise InputError(f"{self.name} has many runs: say which one", field="run")
        return ReviewRun(project, self.run_name, storage_of(project.connection))
