"""Reports of tasks, served by the portal that Airflow's api-server mounts, to whoever may see the task's DAG.

Airflow knows where a task's page is (an XCom) and who may see the DAG; the portal has a place to show it. A page may
hold what requesters wrote, so a browser gives it no scripts, no session and no network.
"""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

PATH = "/airflow/report"
HEADERS = {
    "Content-Security-Policy": "sandbox allow-popups; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
NONE_YET = "This task has written no report yet. It writes one when it ends, also when it fails."


def install(app: FastAPI) -> None:
    """Add the page to the service's app."""
    from fastapi import Request
    from fastapi.responses import HTMLResponse, RedirectResponse, Response
    from starlette.concurrency import run_in_threadpool

    async def report(request: Request, dag: str, task: str, run: str | None = None, map: int = -1) -> Response:
        user = await run_in_threadpool(user_of, request)
        if user is None:
            return RedirectResponse(sign_in_url(request), 303)
        if not await run_in_threadpool(may_see, user, dag):
            return _message(f"You may not see the DAG {dag}.", 403)
        found = await run_in_threadpool(page_of, dag, task, run, map)
        if found is None:
            return _message(NONE_YET, 404)
        try:
            return HTMLResponse(await run_in_threadpool(read_page, found), headers=HEADERS)
        except Exception as error:
            # Whatever the storage raises; its words are for whoever may see the DAG.
            return _message(f"The report {found['uri']} cannot be read: {error}", 502)

    from airflow_identity import sign_in_url, user_of

    # With annotations that are texts, FastAPI would look for them in this module.
    report.__annotations__ = {
        "request": Request, "dag": str, "task": str, "run": str | None, "map": int, "return": Response,
    }  # fmt: skip
    app.get(PATH)(report)


def may_see(user: Any, dag_id: str) -> bool:
    """Whether a user of Airflow may read what the tasks of a DAG returned."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails

    return bool(
        get_auth_manager().is_authorized_dag(
            method="GET", access_entity=DagAccessEntity.XCOM, details=DagDetails(id=dag_id), user=user
        )
    )


def page_of(dag_id: str, task_id: str, run_id: str | None, map_index: int) -> dict[str, str] | None:
    """Where a task's page is, and the connection that reaches it; of the newest run, where none is named."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from operators.reports import REPORT
    from sqlalchemy import select

    query = select(XComModel).where(XComModel.dag_id == dag_id, XComModel.task_id == task_id, XComModel.key == REPORT)
    if run_id is not None:
        query = query.where(XComModel.run_id == run_id, XComModel.map_index == map_index)
    with create_session() as session:
        row = session.scalars(query.order_by(XComModel.timestamp.desc()).limit(1)).first()
        value = None if row is None else XComModel.deserialize_value(row)
    while isinstance(value, str):
        value = json.loads(value)
    return value


def read_page(page: dict[str, str]) -> str:
    """A report as HTML; a model's card, which is Markdown, is made into a page."""
    from operators.connections import storage_of

    text = storage_of(page["connection"]).read_text(page["uri"])
    if not page["uri"].endswith(".md"):
        return text
    from trueground.reports import render_model_report

    return render_model_report("Model", text)


def _message(text: str, status: int) -> Any:
    from fastapi.responses import HTMLResponse

    style = "font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 15vh auto; padding: 0 20px"
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Report</title>'
        '<meta name="color-scheme" content="light dark"></head>'
        f'<body style="{style}"><p>{html.escape(text)}</p></body></html>'
    )
    return HTMLResponse(page, status, HEADERS)
