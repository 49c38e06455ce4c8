"""What Trueground adds to Airflow: the portal, its place in the navigation, and the tab that shows a task's work.

The scheduler, the dag-processor and every task import this file too, so it loads the service only where it is served.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow.plugins_manager import AirflowPlugin
from operators.labeling_job import LabelingJobLink
from operators.reports import PORTAL_PREFIX, ReportLink


class _ServedOnDemand:
    """The list of FastAPI apps, made when the api-server asks for it."""

    def __init__(self) -> None:
        self._apps: list[dict[str, Any]] = []

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if not self._apps:
            import airflow_assets
            import airflow_reports
            from airflow_identity import identity_of

            from trueground.service.app import create_app
            from trueground.service.settings import ServiceSettings

            app = create_app(ServiceSettings.from_environment(), external_identity=identity_of)
            # The portal's pages link back to Airflow's, whatever is before both in the address.
            app.state.mounted_at = PORTAL_PREFIX
            airflow_assets.install(app)
            airflow_reports.install(app)
            self._apps.append({"app": app, "url_prefix": PORTAL_PREFIX, "name": "Trueground"})
        return iter(self._apps)

    def __bool__(self) -> bool:
        return True


class TruegroundPlugin(AirflowPlugin):
    """The labeling service and portal, mounted in Airflow's api-server."""

    name = "trueground"
    fastapi_apps = _ServedOnDemand()
    external_views = [
        {
            "name": "Labeling",
            "href": f"{PORTAL_PREFIX}/",
            "destination": "nav",
            "url_route": "labeling",
            "nav_top_level": True,
        },
        {
            "name": "Labeling job",
            "href": f"{PORTAL_PREFIX}/airflow/task?dag={{DAG_ID}}&run={{RUN_ID}}&task={{TASK_ID}}&map={{MAP_INDEX}}",
            "destination": "task_instance",
            "url_route": "labeling-job",
        },
    ]
    operator_extra_links = [LabelingJobLink(), ReportLink()]
