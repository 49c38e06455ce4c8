"""Links from the portal back to the pages of Airflow."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from fastapi import Request

from trueground.service.engine.origins import Origin
from trueground.service.portal.session import prefix_of, service_of


@dataclass(frozen=True, slots=True)
class RunLink:
    """A run of a DAG, and where its page is; ``None`` where Airflow's address is not known."""

    dag: str
    run: str
    url: str | None


def run_link(request: Request, origin: Origin | None) -> RunLink | None:
    """The run that work belongs to; ``None`` for work that Airflow did not start."""
    if origin is None:
        return None
    base = airflow_base(request)
    path = f"/dags/{quote(origin.dag, safe='')}/runs/{quote(origin.run, safe='')}"
    return RunLink(origin.dag, origin.run, None if base is None else f"{base}{path}")


def airflow_base(request: Request) -> str | None:
    """What the paths of Airflow's pages begin with: its address, or where the portal is mounted in it."""
    configured = service_of(request).settings.airflow_url
    if configured is not None:
        return configured
    mounted_at: str | None = getattr(request.app.state, "mounted_at", None)
    return None if mounted_at is None else prefix_of(request).removesuffix(mounted_at)
