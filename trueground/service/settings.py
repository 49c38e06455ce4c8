"""What the labeling service is told from outside: folders, store, region, limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
        poll_interval: how often the background thread looks into the store when nothing wakes it, in seconds.
    """

    home: Path = Path(".trueground")
    store_url: str | None = None
    data_root: Path = Path("data")
    region: str = "us-east-1"
    account: str = "000000000000"
    s3_options: Mapping[str, Any] = field(default_factory=dict)
    body_limit: int = 4 * 1024 * 1024
    stop_grace: float = 10.0
    poll_interval: float = 0.5

    @classmethod
    def from_environment(cls, **overrides: Any) -> ServiceSettings:
        """Settings from ``TRUEGROUND_HOME``, ``TRUEGROUND_STORE``, ``TRUEGROUND_DATA_ROOT``, ``TRUEGROUND_REGION``.

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
