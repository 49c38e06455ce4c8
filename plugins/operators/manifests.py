"""Operators for the data that goes into a run: build the manifest, check it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowSkipException

from operators.base import ProjectOperator
from operators.lineage import Lineage
from operators.project_dags import night_of
from operators.reports import ReportLink, show_report
from trueground.errors import InputError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from trueground.run import Run


class BuildManifestOperator(ProjectOperator):
    """Write the manifest of what this run labels: the project's data, of its night, less what earlier runs labeled.

    The watermark is the label set that the last run published; it is kept in the state of the labels' asset.

    Args:
        labels: the asset that the project's runs publish; ``None`` where a project has one run only.
        relabel_all: label everything again, also what earlier runs labeled. Templated; "True" means yes.
    """

    template_fields = (*ProjectOperator.template_fields, "relabel_all")

    def __init__(self, *, labels: Asset | None = None, relabel_all: bool | str = False, **kwargs: Any) -> None:
        super().__init__(inlets=[labels] if labels else [], **kwargs)
        self.labels = labels
        self.relabel_all = relabel_all

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Build the manifest; skip the run where nothing is new."""
        from trueground.manifests import build_manifest, object_key, read_manifest, write_manifest

        self.check_preconditions(run)
        published = None
        if self.labels is not None and str(self.relabel_all) != "True":
            published = context["asset_state_store"][self.labels].get("labels")
        done = {object_key(line) for line in read_manifest(run.storage, published)} if published else set()
        night = night_of(context, run.project)
        run.write_json({"night": night}, "night.json")
        out, data = run.uri("input.manifest"), run.project.data.of_night(night)
        if data.prefix is not None:
            count = build_manifest(
                run.storage,
                data.prefix,
                out,
                media=run.task_type.media,
                skip=done,
                column=data.column,
                note=self.log.info,
            )
        else:
            lines = (line for line in read_manifest(run.storage, data.manifest) if object_key(line) not in done)
            count = write_manifest(run.storage, out, lines)
        self.log.info("%d objects to label, %d labeled by earlier runs", count, len(done))
        if count == 0:
            raise AirflowSkipException("nothing new to label")
        return {"manifest": out, "objects": count, "labeled_earlier": len(done)}

    def lineage(self, run: Run, result: dict[str, Any]) -> Lineage:
        """From the project's data to the run's manifest."""
        data = run.project.data.of_night(str(run.night))
        return Lineage([data.prefix or str(data.manifest)], {result["manifest"]: result["objects"]})


class CheckManifestOperator(ProjectOperator):
    """Check the manifest and every object it names, before any person is asked anything.

    What is wrong is written as a page beside the manifest, and the task fails naming it.
    """

    operator_extra_links = (ReportLink(),)

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Check the run's manifest."""
        from trueground.manifests import check_manifest
        from trueground.quality.expectations import check_input
        from trueground.reports import render_checks_page

        report = check_manifest(
            run.storage,
            run.uri("input.manifest"),
            source_key=run.task_type.source_key,
            media=run.task_type.media,
            label_attribute=run.project.label_attribute,
        )
        checks = check_input(report)
        page = run.uri("checks", "input.html")
        run.storage.write_text(page, render_checks_page(f"Input of {run.project.name}", checks, report))
        show_report(context, page, run.project.connection)
        if not checks.passed:
            first = report.problems[0] if report.problems else next(r for r in checks.results if not r.passed)
            raise InputError(
                f"the input has problems; all of them are on {page}. The first: {first}",
                hint="Open this task's Report, correct the data, and clear this task.",
            )
        self.log.info("%d objects checked, page: %s", report.objects, page)
        return {"objects": report.objects, "page": page}
