"""Go on with a run that ended: label more of it, verify more of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from operators.connections import PROJECTS_FOLDER, data_root, storage_of
from operators.failures import failing
from trueground.errors import InputError
from trueground.project import load_project
from trueground.project_form import changed, kept_run, project_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from trueground.run import Run


class ContinueRunOperator(BaseOperator):
    """Keep the project with the changes that the form asks for, as the rest of this DAG run reads it.

    Args:
        project: the file name of the project; ``None``: a data set that was labeled by form, of the name in the form.
        connection: the Airflow connection that reaches the files. Templated.

    Returns:
        ``project``, the URI of the changed project; ``run_name``, the run that goes on; ``look``, which names what is
        done now in the run's folder; ``last_round``, the rounds that it had.
    """

    template_fields: Sequence[str] = ("connection",)

    def __init__(self, *, project: str | None, connection: str = "trueground", **kwargs: Any) -> None:
        super().__init__(multiple_outputs=True, **kwargs)
        self.project = project
        self.connection = connection

    def execute(self, context: Context) -> dict[str, Any]:
        """Repeated, it gives what it gave the first time."""
        from trueground.run import folder_name

        look = f"look-{folder_name(context['run_id'])}"
        with failing(self.log):
            run = self._run(context)
            begun = run.read_json("looks", f"{look}.json") or self._begin(run, context)
        run.write_json(begun, "looks", f"{look}.json")
        run.write_json(begun["project"], "looks", f"{look}.project.json")
        project = run.uri("looks", f"{look}.project.json")
        return {"project": project, "run_name": run.name, "look": look, "last_round": begun["last_round"]}

    def _run(self, context: Context) -> Run:
        from trueground.run import Run

        if self.project is None:
            name = context["params"]["name"]
            return kept_run(name, storage_of(self.connection), data_root=data_root())
        project = load_project(PROJECTS_FOLDER / self.project, data_root=data_root())
        return Run(project, context["params"]["run"], storage_of(project.connection))

    def _begin(self, run: Run, context: Context) -> dict[str, Any]:
        from trueground.autolabel.rounds import last_round

        field = "name" if self.project is None else "run"
        dag_id = f"label_{'dataset' if self.project is None else run.project.name.replace('-', '_')}"
        if context["ti"].get_dr_count(dag_id=dag_id, run_ids=[run.name], states=["queued", "running"]):
            # It may be asking people for just what would be asked for here.
            raise InputError(f"the run {run.name!r} is not over", field=field, hint="Wait for it, or stop its job.")
        last = last_round(run)
        if last == 0:
            raise InputError(f"no round of the run {run.name!r} ended", field=field, hint="Clear what failed in it.")
        if run.storage.exists(run.uri("rounds", str(last + 1), "input.manifest")):
            # A round that skipped itself left none: this one was begun, and its job may be open.
            raise InputError(
                f"round {last + 1} of the run {run.name!r} is not over",
                field=field,
                hint="Wait for it, stop its labeling job, or clear what failed in it.",
            )
        values = dict(context["params"])
        values["rounds.maximum"] = last + values["more_rounds"]
        content = changed(run.project.model_dump(mode="json"), {key: values[key] for key in values if "." in key})
        project = project_of(content, data_root=data_root())
        return {"project": project.model_dump(mode="json"), "last_round": last}
