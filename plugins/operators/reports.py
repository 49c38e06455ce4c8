"""The page that a task writes: found from Airflow, shown by the portal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow.configuration import conf
from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

PORTAL_PREFIX = "/trueground"
"""Where the plugin mounts the portal in Airflow's api-server."""
REPORT = "report_page"
"""The XCom in which a task says where its page is: its URI, and the connection that reaches it."""


def portal_url(path: str, **query: Any) -> str:
    """The address of a page of the portal as it is mounted in Airflow."""
    base = conf.get("api", "base_url", fallback="/").rstrip("/")
    return f"{base}{PORTAL_PREFIX}{path}" + (f"?{urlencode(query)}" if query else "")


def report_url(dag_id: str, task_id: str, run_id: str | None = None, map_index: int = -1) -> str:
    """The address of a task's page; without a run, of the newest that there is."""
    run = {"run": run_id, "map": map_index} if run_id is not None else {}
    return portal_url("/airflow/report", dag=dag_id, task=task_id, **run)


def show_report(context: Context, uri: str, connection: str) -> None:
    """Say where the page is that the running task wrote. Also before the task fails: that is when people need it."""
    context["ti"].xcom_push(REPORT, {"uri": uri, "connection": connection})


class ReportLink(BaseOperatorLink):
    """From the task in Airflow to the page it wrote."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """The portal's address of the page."""
        return report_url(ti_key.dag_id, ti_key.task_id, ti_key.run_id, ti_key.map_index)
