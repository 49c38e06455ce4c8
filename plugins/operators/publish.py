"""Operators at the end of a run: check the labels, publish them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias
from airflow.sdk.exceptions import AirflowSkipException

from operators.base import ProjectOperator
from operators.lineage import Lineage
from operators.project_dags import project_asset
from operators.reports import ReportLink, show_report
from trueground.errors import InputError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from trueground.run import Run


class CheckLabelsOperator(ProjectOperator):
    """Check the labels before anyone relies on them; what is wrong is written as a page, and the task fails."""

    operator_extra_links = (ReportLink(),)

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Write the final labels and check them."""
        from trueground.publish import check_final_labels

        if not run.objects():
            raise AirflowSkipException("nothing new was labeled")
        checks, page = check_final_labels(run)
        show_report(context, page, run.project.connection)
        if not checks.passed:
            failed = [result.name for result in checks.results if not result.passed]
            raise InputError(
                f"the labels do not pass {', '.join(failed)}; see {page}", hint="This task's Report says what to do."
            )
        return {"page": page}


class PublishLabelsOperator(ProjectOperator):
    """Publish the label set: manifest, table, certificate, report; and tell everyone who waits for it.

    The asset event's ``extra`` carries the URIs, the counts and the certificate.

    Args:
        labels: the asset of the project's labels; an alias where the project is known only as it runs, which starts
            a label set of its own.
        nights: the same, partitioned by night.
        folder: where in the run's folder. Templated; a run that is published again takes another one.
    """

    template_fields = (*ProjectOperator.template_fields, "folder")
    operator_extra_links = (ReportLink(),)

    def __init__(
        self, *, labels: Asset | AssetAlias, nights: Asset | None = None, folder: str = "published", **kwargs: Any
    ) -> None:
        super().__init__(outlets=[labels, nights] if nights else [labels], **kwargs)
        self.labels = labels
        self.nights = nights
        self.folder = folder

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Publish, then move the watermark."""
        from trueground.publish import publish

        if isinstance(self.labels, AssetAlias):
            published = publish(run, None, self.folder)
            show_report(context, published["report"], run.project.connection)
            context["outlet_events"][self.labels].add(project_asset(run.project, "labels"), extra=published)
            return published
        state = context["asset_state_store"][self.labels]
        relabel_all = str(context["params"].get("relabel_all")) == "True"
        published = publish(run, None if relabel_all else state.get("labels"), self.folder)
        show_report(context, published["report"], run.project.connection)
        context["outlet_events"][self.labels].extra = published
        if self.nights is not None and published["night"] is not None:
            # Who waits for any labels is not started by events of a partition, so these are another asset's.
            event = context["outlet_events"][self.nights]
            event.extra = published
            event.add_partitions(published["night"])
        state.set("labels", published["labels"])
        self.log.info("published: %s", published)
        return published

    def lineage(self, run: Run, result: dict[str, Any]) -> Lineage:
        """From the run's manifest to the label set."""
        written = {result["labels"]: result["all_objects"], result["run_labels"]: result["objects"]}
        return Lineage([run.uri("input.manifest")], {**written, result["table"]: result["objects"]})
