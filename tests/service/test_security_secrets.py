"""Secrets are in no log and no file of the store, whatever is logged."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.service.running import RunningService, _running_service, postgresql_database
from trueground.service.settings import ServiceSettings
from trueground.service.store.tables import workteams

OIDC = {
    "Issuer": "https://login.example",
    "AuthorizationEndpoint": "https://login.example/authorize",
    "TokenEndpoint": "https://login.example/token",
    "UserInfoEndpoint": "https://login.example/userinfo",
    "LogoutEndpoint": "https://login.example/logout",
    "JwksUri": "https://login.example/jwks",
}


def use(service: RunningService, make_request: Callable[..., dict[str, Any]]) -> dict[str, str]:
    """Do a bit of everything; returns the secrets that were in it."""
    found = {
        "password": secrets.token_hex(12),
        "wrong password": secrets.token_hex(12),
        "client secret": secrets.token_hex(12),
        "access key": service.credentials["aws_secret_access_key"],
        "secret key": (service.settings.home / "secret.key").read_text().strip(),
    }
    service.add_worker("ada", password=found["password"])
    client = service.client()
    client.create_labeling_job(**make_request("animals"))
    # As if the job's team were of no workforce, so that another one can be created.
    with service.db.write() as connection:
        connection.execute(workteams.update().values(workforce=None))
    client.create_workforce(
        WorkforceName="w2", OidcConfig={"ClientId": "c", "ClientSecret": found["client secret"], **OIDC}
    )
    described = client.describe_workforce(WorkforceName="w2")
    assert found["client secret"] not in str(described)
    with pytest.raises(ClientError):
        client.describe_labeling_job(LabelingJobName="none")
    with pytest.raises(ClientError):
        service.client(aws_secret_access_key=found["wrong password"]).list_labeling_jobs()
    with httpx.Client(base_url=service.url) as ada:
        for password in (found["wrong password"], found["password"]):
            answer = ada.post("/api/session", json={"username": "ada", "password": password})
        found["session"] = ada.cookies["trueground_session"]
        ada.headers["X-CSRF-Token"] = answer.json()["csrfToken"]
        task = ada.post("/api/work/next", json={}).json()["assignment"]
        found["frame link"] = task["frameUrl"].rpartition("/")[2]
        ada.get(task["frameUrl"])
        ada.post(f"/api/assignments/{task['id']}/answer", json={"answerContent": {"a": "b"}, "secondsActive": 1})
        # A fault of the service's own, so that a traceback is logged as well.
        service.db.close()
    return found


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_no_secret_is_in_the_log_or_in_the_store(
    kind: str,
    settings: ServiceSettings,
    job_request: Callable[..., dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # The service's loggers and its libraries' alike, in the process that serves; clients of the test log elsewhere.
    caplog.set_level(logging.DEBUG)
    for name in ("botocore", "boto3", "httpx", "httpcore", "urllib3", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        if kind == "sqlite":
            with _running_service(settings) as service:
                found = use(service, job_request)
            stored = b"".join(
                path.read_bytes() for path in settings.home.rglob("*") if path.name.startswith("store.db")
            ).decode("latin-1")
        else:
            with postgresql_database() as url:
                object.__setattr__(settings, "store_url", url)
                with _running_service(settings) as service:
                    found = use(service, job_request)
                    stored = dump(service)
    finally:
        for name in ("botocore", "boto3", "httpx", "httpcore", "urllib3", "asyncio"):
            logging.getLogger(name).setLevel(logging.NOTSET)
    output = capfd.readouterr()
    logged = caplog.text + output.out + output.err
    assert "CreateLabelingJob" in logged and "ada" in stored
    for what, secret in found.items():
        assert secret not in logged, f"{what} is in the log"
        assert secret not in stored, f"{what} is in the store"


def dump(service: RunningService) -> str:
    """All rows of all tables."""
    with closing(service.db), service.db.read() as connection:
        tables = (
            connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").scalars().all()
        )
        return "".join(str(connection.exec_driver_sql(f'SELECT * FROM "{table}"').all()) for table in tables)


def test_no_repr_tells_a_secret(settings: ServiceSettings) -> None:
    with _running_service(settings) as service:
        secret = (settings.home / "secret.key").read_text().strip()
        hidden = ServiceSettings(
            store_url="postgresql://u:hidden-word@h/db",
            s3_options={"secret": "hidden-word"},
            smtp="smtp://u:hidden-word@h",
            notice_webhook="https://h/hidden-word",
        )
        assert service.credentials["aws_secret_access_key"] not in repr(service)
        assert secret not in repr(service) and "hidden-word" not in repr(hidden)


def test_files_with_secrets_are_for_their_owner_alone(settings: ServiceSettings) -> None:
    with _running_service(settings):
        assert settings.home.stat().st_mode & 0o777 == 0o700
        for name in ("secret.key", "credentials"):
            assert (settings.home / name).stat().st_mode & 0o777 == 0o600, name
