"""What the labeling service is told from outside: folders, store, region, limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from trueground.errors import InputError
from trueground.storage import Storage


@dataclass(frozen=True)
class ServiceSettings:
    """Settings of one labeling service.

    Args:
        home: folder of what belongs to this installation: the embedded store, ``secret.key``, ``credentials``.
        store_url: SQLAlchemy URL of the store; ``None`` is SQLite in ``<home>/store.db``.
        data_root: the folder that ``file://`` URIs in requests and manifests must stay inside.
        region, account: the two that ARNs carry.
        s3_options: keyword arguments of :class:`s3fs.S3FileSystem`.
        body_limit: the largest request body taken, in bytes.
        stop_grace: how long a job that is being stopped waits for the tasks people hold, in seconds.
        pre_function_seconds, post_function_seconds: how long one call of a pre- or post-annotation function of the
            requester's own may take.
        lambda_endpoint: where Lambda functions are called; ``None`` is what boto3 finds in its environment, else AWS.
        messages_endpoint: where SNS and SQS are called, for streaming jobs; ``None`` as for Lambda functions.
        trusted_proxies: ranges (CIDR) of the proxies whose ``X-Forwarded-For`` tells where a request comes from.
        smtp: ``smtp://user:password@host:port`` (``smtps://`` for TLS from the start) that letters go out by.
        mail_from: the address that letters come from.
        notice_webhook: a URL that gets a JSON POST for each notice of new work.
        poll_interval: how often the background thread looks into the store when nothing wakes it, in seconds.
        public_url: the portal's address as people reach it, for links that others open.
        airflow_url: the address of Airflow's pages, for links back to the run that a job belongs to; ``None``: Airflow
            is where the portal is mounted, if it is.
        mturk_endpoint: the address of Mechanical Turk's API; ``None``: there is no public workforce.
    """

    home: Path = Path(".trueground")
    store_url: str | None = field(default=None, repr=False)
    data_root: Path = Path("data")
    region: str = "us-east-1"
    account: str = "000000000000"
    s3_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    body_limit: int = 4 * 1024 * 1024
    stop_grace: float = 10.0
    poll_interval: float = 0.5
    pre_function_seconds: float = 60.0
    post_function_seconds: float = 900.0
    lambda_endpoint: str | None = None
    messages_endpoint: str | None = None
    public_url: str | None = None
    airflow_url: str | None = None
    mturk_endpoint: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    smtp: str | None = field(default=None, repr=False)
    mail_from: str | None = None
    notice_webhook: str | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls, **overrides: Any) -> ServiceSettings:
        """Settings from ``TRUEGROUND_HOME``, ``TRUEGROUND_STORE``, ``TRUEGROUND_DATA_ROOT``, ``TRUEGROUND_REGION``,
        ``TRUEGROUND_TRUSTED_PROXIES`` (ranges, separated by commas), ``TRUEGROUND_SMTP``,
        ``TRUEGROUND_MAIL_FROM``, ``TRUEGROUND_NOTICE_WEBHOOK``,
        ``TRUEGROUND_PUBLIC_URL``, ``TRUEGROUND_AIRFLOW_URL``, ``TRUEGROUND_MTURK_ENDPOINT``.

        ``overrides`` that are not ``None`` win over the environment.
        """
        found: dict[str, Any] = {}
        if value := os.environ.get("TRUEGROUND_HOME"):
            found["home"] = value
        if value := os.environ.get("TRUEGROUND_STORE"):
            found["store_url"] = value
        if value := os.environ.get("TRUEGROUND_DATA_ROOT"):
            found["data_root"] = value
        if value := os.environ.get("TRUEGROUND_REGION"):
            found["region"] = value
        if value := os.environ.get("TRUEGROUND_PUBLIC_URL"):
            found["public_url"] = value.rstrip("/")
        if value := os.environ.get("TRUEGROUND_AIRFLOW_URL"):
            found["airflow_url"] = value.rstrip("/")
        if value := os.environ.get("TRUEGROUND_MTURK_ENDPOINT"):
            found["mturk_endpoint"] = value
        found |= _people_settings()
        found |= {key: value for key, value in overrides.items() if value is not None}
        home = Path(found.get("home", cls.home)).expanduser().absolute()
        root = str(found.get("data_root", cls.data_root))
        if root.startswith("s3://"):
            # Projects may live on S3 altogether; local paths are then confined to a folder that holds nothing else.
            root = str(home / "data")
        found["home"], found["data_root"] = home, Path(root.removeprefix("file://")).expanduser().absolute()
        return cls(**found)

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of the store."""
        return self.store_url or f"sqlite:///{self.home / 'store.db'}"

    @property
    def credentials_file(self) -> Path:
        """The AWS credentials file written at first start."""
        return self.home / "credentials"

    def arn(self, resource: str) -> str:
        """An ARN of this installation: ``arn("labeling-job/x")``."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{resource}"

    def storage(self) -> Storage:
        """The files this service may read and write."""
        return Storage(self.data_root, self.s3_options)


def _people_settings() -> dict[str, Any]:
    """What the environment says of addresses and letters. Raises :class:`InputError`."""
    names = {"smtp": "SMTP", "mail_from": "MAIL_FROM", "notice_webhook": "NOTICE_WEBHOOK"}
    found: dict[str, Any] = {
        setting: value for setting, name in names.items() if (value := os.environ.get(f"TRUEGROUND_{name}"))
    }
    if ranges := os.environ.get("TRUEGROUND_TRUSTED_PROXIES"):
        proxies = tuple(part.strip() for part in ranges.split(",") if part.strip())
        try:
            for proxy in proxies:
                ip_network(proxy, strict=False)
        except ValueError as error:
            raise InputError(str(error), field="TRUEGROUND_TRUSTED_PROXIES", hint="Use 10.0.0.0/8,192.0.2.7") from None
        found["trusted_proxies"] = proxies
    if "smtp" in found and not (found.get("mail_from") and os.environ.get("TRUEGROUND_PUBLIC_URL")):
        raise InputError(
            "letters need an address they come from and the address of the portal",
            field="TRUEGROUND_SMTP",
            hint="Set TRUEGROUND_MAIL_FROM and TRUEGROUND_PUBLIC_URL too.",
        )
    return found
