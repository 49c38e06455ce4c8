"""What the operators of a project share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, BaseOperator
from airflow.sdk.exceptions import AirflowNotFoundException

from operators.connections import PROJECTS_FOLDER, TEMPLATES_FOLDER, LabelingServiceHook, data_root, storage_of
from operators.failures import failing
from operators.lineage import Lineage, openlineage
from trueground.errors import InputError
from trueground.project import load_project
from trueground.project_form import project_of

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from trueground.project import Project
    from trueground.review.project import ReviewProject, ReviewRun
    from trueground.run import Run, RunFolder


class ProjectOperator(BaseOperator):
    """A step of a project's pipeline. Subclasses write :meth:`step`.

    Args:
        project: the file name of the project in ``include/projects/``, or the URI of one that a form made.
        run_name: the run whose folder the step works in; the DAG run's id by default.
        connection: what reaches a project that is a URI.
    """

    template_fields: Sequence[str] = ("project", "run_name", "connection")

    def __init__(
        self, *, project: str, run_name: str = "{{ run_id }}", connection: str = "trueground", **kwargs: Any
    ) -> None:
        # Every step returns a mapping; its parts are outputs that later tasks name.
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.project = project
        self.run_name = run_name
        self.connection = connection
        self._done: tuple[Any, Any] | None = None

    def execute(self, context: Context) -> Any:
        """Run the step; bad input fails the task at once; it is tried again where a server did not work."""
        with failing(self.log):
            run = self.open_run()
            return self.done(run, self.step(run, context))

    def done(self, run: Any, result: Any) -> Any:
        """Remember how a step ended, for who asks what it read and wrote; gives its result."""
        self._done = run, result
        return result

    def lineage(self, run: Any, result: Any) -> Lineage:
        """What a step that returned this read and wrote; nothing that anybody needs to know, by default."""
        return Lineage()

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> OperatorLineage:
        """For Airflow's OpenLineage provider, once the task has succeeded."""
        return openlineage(self.lineage(*self._done) if self._done else Lineage())

    def step(self, run: Run, context: Context) -> Any:
        """What the operator does; returns a mapping of what later tasks need to know."""
        raise NotImplementedError

    def read_project(self) -> Project:
        """The project as its file says now."""
        if (content := self.kept_content()) is not None:
            return project_of(content, data_root=data_root())
        return load_project(PROJECTS_FOLDER / self.project, data_root=data_root())

    def kept_content(self) -> dict[str, Any] | None:
        """What a form made, where the project is a URI."""
        if "://" not in self.project:
            return None
        content: dict[str, Any] = json.loads(storage_of(self.connection).read_text(self.project))
        return content

    def check_preconditions(self, run: Any) -> None:
        """Refuse a run that lacks what it needs, before anybody is asked. Raises :class:`InputError`."""
        refuse_incomplete(run, None if "://" in self.project else str(PROJECTS_FOLDER / self.project))

    def open_run(self) -> Run:
        """The run's folder, reached with the project's connection."""
        from trueground.run import Run

        project = self.read_project()
        return Run(project, self.run_name, storage_of(project.connection))


class ReviewProjectOperator(ProjectOperator):
    """A step of a review project's pipeline."""

    def step(self, run: ReviewRun, context: Context) -> Any:
        """What the operator does; returns a mapping of what later tasks need to know."""
        raise NotImplementedError

    def read_project(self) -> ReviewProject:
        """The project as its file says now."""
        from trueground.project_form import review_project_of
        from trueground.review.project import load_review_project

        if (content := self.kept_content()) is not None:
            return review_project_of(content, data_root=data_root())
        return load_review_project(PROJECTS_FOLDER / self.project, data_root=data_root())

    def open_run(self) -> ReviewRun:
        """The run's folder, reached with the project's connection."""
        from trueground.review.project import ReviewRun

        project = self.read_project()
        return ReviewRun(project, self.run_name, storage_of(project.connection))


def refuse_incomplete(run: RunFolder, file: str | None = None) -> None:
    """Refuse a run that lacks what it needs, before anybody is asked; mark its output as one.

    Args:
        run: the run, of either kind of project.
        file: the project's file, for the error.

    Raises:
        InputError: naming all that is missing.
    """
    from trueground.outputs import mark_output
    from trueground.preconditions import missing, together
    from trueground.work_teams import counting

    project = run.project
    try:
        BaseHook.get_connection(project.connection)
    except AirflowNotFoundException:
        raise InputError(
            f"Airflow has no connection {project.connection!r}",
            file=file,
            field="connection",
            hint="Make it under Admin, Connections, or name another.",
        ) from None
    members = counting(LabelingServiceHook(aws_conn_id=project.connection).conn)
    problems = missing(project, run.storage, members=members, templates=TEMPLATES_FOLDER, projects=PROJECTS_FOLDER)
    if problems:
        raise together(problems, file=file)
    mark_output(run.storage, project.output, project.name)
