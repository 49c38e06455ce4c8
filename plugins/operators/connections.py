"""From an Airflow connection to the labeling service and to the files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

from trueground.errors import AccessError
from trueground.storage import Storage

if TYPE_CHECKING:
    from logging import Logger

    from trueground.crowd_elements import CrowdElement

HERE = Path(__file__).resolve().parents[2]
PROJECTS_FOLDER = Path(os.environ.get("TRUEGROUND_PROJECTS") or HERE / "include" / "projects")
TEMPLATES_FOLDER = HERE / "include" / "templates"

LOCAL_ROLE = "arn:aws:iam::000000000000:role/trueground"
"""The role named in requests where the connection names none; Trueground's own service has no use for it."""


class LabelingServiceHook(AwsBaseHook):
    """The ``sagemaker`` client of a connection: Ground Truth on AWS, or Trueground's service at its ``endpoint_url``.

    The connection's extra may hold ``labeling_role_arn``, the role that Ground Truth works under.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["client_type"] = "sagemaker"
        super().__init__(*args, **kwargs)

    @property
    def labeling_role(self) -> str:
        """The ``RoleArn`` of labeling jobs."""
        role: str = self.conn_config.extra_config.get("labeling_role_arn", LOCAL_ROLE)
        return role

    @property
    def elements(self) -> Mapping[str, CrowdElement]:
        """The ``crowd-*`` elements that templates may use there."""
        from trueground.crowd_elements import ELEMENTS, ONLY_ON_AWS

        return ELEMENTS | ONLY_ON_AWS if ".amazonaws.com" in self.conn.meta.endpoint_url else ELEMENTS


class HumanLoopHook(AwsBaseHook):
    """The ``sagemaker-a2i-runtime`` client of a connection: Amazon A2I, or Trueground's service."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["client_type"] = "sagemaker-a2i-runtime"
        super().__init__(*args, **kwargs)


def log_warnings(log: Logger, response: Mapping[str, Any]) -> None:
    """Write what a labeling service warned of when it created something to the task's log. AWS warns of nothing."""
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    for text in json.loads(headers.get("x-trueground-warnings", "[]")):
        # The template was checked before it was sent.
        if not text.startswith("Template, "):
            log.warning("%s", text)


def data_root() -> str:
    """Where projects' relative paths start: a folder on this machine, or an ``s3://`` prefix."""
    return os.environ.get("TRUEGROUND_DATA_ROOT") or str(HERE / "data")


def storage_of(connection: str) -> Storage:
    """Files as the connection may see them: S3 with its keys and endpoint, local paths inside a local data root."""
    root = data_root()

    def s3_options() -> dict[str, Any]:
        hook = AwsBaseHook(aws_conn_id=connection, client_type="s3")
        found = hook.get_session().get_credentials()
        if found is None:
            problem = f"the Airflow connection {connection!r} has no AWS credentials"
            raise AccessError(problem, hint="Write the access key and the secret key as its login and password.")
        keys = found.get_frozen_credentials()
        return {
            "key": keys.access_key,
            "secret": keys.secret_key,
            "token": keys.token,
            "endpoint_url": hook.conn_config.get_service_endpoint_url(service_name="s3"),
            "client_kwargs": {"region_name": hook.region_name},
        }

    return Storage(None if root.startswith("s3://") else root, s3_options)
