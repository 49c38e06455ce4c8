"""Who is signed in to Airflow, for the portal that Airflow's api-server mounts.

Airflow does not guard mounted apps; what it offers for it is not a promised interface, so all of it stands here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from starlette.requests import Request

    from trueground.service.security import Identity


def user_of(request: Request) -> Any | None:
    """The user of the browser's Airflow session; ``None`` without one. To be called where no event loop runs."""
    from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
    from airflow.api_fastapi.core_api.security import resolve_user_from_token
    from fastapi import HTTPException

    token = request.cookies.get(COOKIE_NAME_JWT_TOKEN)
    if not token:
        return None
    try:
        # The portal asks from a worker thread.
        return asyncio.run(resolve_user_from_token(token))
    except HTTPException:
        return None


def sign_in_url(request: Request) -> str:
    """Where to sign in to Airflow and come back to this request."""
    from airflow.api_fastapi.app import get_auth_manager

    return f"{get_auth_manager().get_url_login()}?next={quote(str(request.url), safe='')}"


def identity_of(request: Request) -> Identity | None:
    """A manager of the portal, where the browser's Airflow session may edit DAGs; an admin, where it may also edit
    connections; ``None`` for anyone else.
    """
    from airflow.api_fastapi.app import get_auth_manager

    from trueground.service.security import Identity

    user = user_of(request)
    if user is None:
        return None
    manager = get_auth_manager()
    if not manager.is_authorized_dag(method="PUT", user=user):
        return None
    # Whoever may change connections can put any access key into one, and so act for the service as they like.
    admin = manager.is_authorized_connection(method="PUT", user=user)
    return Identity(
        kind="admin" if admin else "manager",
        username=str(user.get_id()),
        name=user.get_name(),
        worker_id=None,
        source="airflow",
    )
