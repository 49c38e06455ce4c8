"""Signatures of webhooks, as the Standard Webhooks specification has them, so that its libraries can check them.

The header ``webhook-signature`` holds ``v1,`` and the base64 of HMAC-SHA256 over the id, the time
and the body, with a full stop between them: ``<webhook-id>.<webhook-timestamp>.<body>``.
The key is what follows ``whsec_`` in the secret, decoded from base64.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import time
from collections.abc import Mapping

PREFIX = "whsec_"
TOLERANCE_SECONDS = 300
"""How far the sender's clock may be off; older deliveries are taken for replays."""


def new_secret() -> str:
    """A secret of 256 random bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(secret: str, message_id: str, body: bytes, at: float | None = None) -> dict[str, str]:
    """The three headers of a delivery. ``at``: its time, in seconds since 1970."""
    timestamp = str(int(time.time() if at is None else at))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{_mac(secret, message_id, timestamp, body)}",
    }


def is_signed(secret: str, headers: Mapping[str, str], body: bytes, at: float | None = None) -> bool:
    """Whether a delivery was signed with this secret, and just now."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        return False
    if abs((time.time() if at is None else at) - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    wanted = _mac(secret, message_id, timestamp, body).encode()
    # Several signatures may stand in the header, while a secret is being replaced.
    given = [one.partition(",") for one in headers.get("webhook-signature", "").split()]
    return any(version == "v1" and hmac.compare_digest(mac.encode(), wanted) for version, _, mac in given)


def _mac(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"a webhook's secret is {PREFIX} and base64") from None
    return base64.b64encode(hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")).decode()
