"""Clients of services of AWS that are not ours: Mechanical Turk, SNS, SQS."""

from __future__ import annotations

from typing import Any


def aws_client(service: Any, region: str, endpoint: str | None) -> Any:
    """A boto3 client with the credentials of the service's environment, for calls that are quick and may be repeated.

    ``endpoint``: where it is; ``None`` is what boto3 finds in its environment, else AWS.
    """
    # Not at the top: it takes long, and most installations call nothing of AWS.
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})
    # Threads may not share the default session that boto3.client() would use.
    return boto3.session.Session().client(service, region_name=region, endpoint_url=endpoint, config=config)
