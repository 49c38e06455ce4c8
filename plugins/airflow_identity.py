"""Who is signed in to Airflow, for the portal that Airflow's api-server mounts.

Airflow does not guard mounted apps; what it offers for it is not a promised interface, so all of it stands here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request

    from trueground.service.identity import Identity


def identity_of(request: Request) -> Identity | None:
    """The portal's manager, where the browser's Airflow session may edit DAGs; ``None`` for anyone else."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN

    from trueground.service.identity import Identity

    token = request.cookies.get(COOKIE_NAME_JWT_TOKEN)
    if not token:
        return None
    manager = get_auth_manager()
    try:
        user = manager.deserialize_user(manager._get_token_validator().validated_claims(token))
    except Exception:
        # Whatever is wrong with a token, its bearer is nobody.
        return None
    if not manager.is_authorized_dag(method="PUT", user=user):
        return None
    return Identity(kind="manager", username=str(user.get_id()), name=user.get_name(), worker_id=None, source="airflow")
