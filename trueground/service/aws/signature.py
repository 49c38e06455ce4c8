"""Signature Version 4, checked: botocore's own canonical form of a request against the key in the store."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from trueground.service.aws.errors import AwsError
from trueground.service.engine.once import Once, Repeated, Unfinished

SERVICE = "sagemaker"
CLOCK = timedelta(minutes=15)
_TIME = "%Y%m%dT%H%M%SZ"
_WRONG = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True)
class SignedRequest:
    """What the signature covers. ``headers`` by lower-case name, repeated ones joined with commas."""

    method: str
    path: str
    """As it was sent, still percent-encoded, with the prefix the service is mounted below."""
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that was found to be right."""

    key_id: str
    value: str
    expires_at: datetime
    call: str
    """What AWS's clients name each call by, the same in all its attempts; not signed, so it proves nothing."""


def verify(request: SignedRequest, secret_of: Callable[[str], str | None], now: datetime) -> Signature:
    """The signature of a request that is signed rightly.

    Args:
        request: the request as it came.
        secret_of: the secret of an access key id, ``None`` for one that is not in use.
        now: the time, with its zone.

    Raises:
        AwsError: it is not signed, or not rightly.
    """
    fields = _authorization(request.headers)
    key_id, date, region, service, end = _scope(fields["Credential"])
    time = _time(request.headers)
    if service != SERVICE or end != "aws4_request":
        raise _invalid(f"Credential should be scoped to correct service: '{SERVICE}'.")
    if date != time[:8]:
        raise _invalid(f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date: {date}")
    signed_at = _check_clock(time, now)
    signed = fields["SignedHeaders"].split(";")
    _check_signed(request.headers, signed)
    _check_body_hash(request)
    if "x-amz-security-token" in request.headers:
        raise _unknown_key()
    secret = secret_of(key_id)
    if secret is None:
        raise _unknown_key()
    expected = _signature(request, signed, Credentials(key_id, secret), region, time)
    if not hmac.compare_digest(expected.encode(), fields["Signature"].encode()):
        raise _invalid(_WRONG)
    return Signature(key_id, fields["Signature"], signed_at + CLOCK, request.headers.get("amz-sdk-invocation-id", ""))


def once(signature: Signature, guard: Once, act: Callable[[], Any]) -> Any:
    """Let a signature change something once.

    AWS's clients sign each attempt anew, but two within one second alike. So a retry that comes at once is told what
    the first try was told, another call is asked to come again in the next second, and what comes later is refused.

    Raises:
        AwsError: what ``act`` raised, or that the signature was used before.
    """
    try:
        return guard.do(signature.value, signature.expires_at, signature.call, act)
    except Unfinished:
        raise AwsError(
            "ThrottlingException", "An equal request came in this second; send it again in the next."
        ) from None
    except Repeated:
        raise _invalid("Signature already used: this very request was sent before. Sign each request anew.") from None


class _Verifier(SigV4Auth):
    """botocore's signer, but over exactly the headers that the client signed."""

    def headers_to_sign(self, request: Any) -> Any:
        headers = super().headers_to_sign(request)
        for name, value in request.headers.items():
            if name.lower() not in headers:
                headers[name.lower()] = value
        return headers

    def payload(self, request: Any) -> str:
        return hashlib.sha256(request.data).hexdigest()


def _signature(request: SignedRequest, signed: list[str], credentials: Any, region: str, time: str) -> str:
    query = f"?{request.query}" if request.query else ""
    copy = AWSRequest(
        method=request.method,
        url=f"http://{request.headers['host']}{request.path}{query}",
        data=request.body,
        headers={name: request.headers[name] for name in signed},
    )
    copy.context["timestamp"] = time
    verifier = _Verifier(credentials, SERVICE, region)
    text = verifier.string_to_sign(copy, verifier.canonical_request(copy))
    return str(verifier.signature(text, copy))


def _authorization(headers: dict[str, str]) -> dict[str, str]:
    header = headers.get("authorization")
    if not header:
        raise AwsError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
    scheme, _, rest = header.partition(" ")
    if scheme != "AWS4-HMAC-SHA256":
        raise AwsError("IncompleteSignatureException", "Unsupported signing algorithm: use AWS4-HMAC-SHA256", 400)
    fields = dict(re.findall(r"(Credential|SignedHeaders|Signature)=([^,\s]+)", rest))
    missing = [name for name in ("Credential", "Signature", "SignedHeaders") if name not in fields]
    if missing:
        text = " ".join(f"Authorization header requires '{name}' parameter." for name in missing)
        raise AwsError("IncompleteSignatureException", text, 400)
    return fields


def _scope(credential: str) -> tuple[str, str, str, str, str]:
    parts = credential.split("/")
    if len(parts) != 5:
        raise AwsError(
            "IncompleteSignatureException",
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term",
            400,
        )
    return parts[0], parts[1], parts[2], parts[3], parts[4]


def _time(headers: dict[str, str]) -> str:
    time = headers.get("x-amz-date")
    if time is None:
        raise AwsError(
            "IncompleteSignatureException", "Authorization header requires existence of the 'X-Amz-Date' header.", 400
        )
    return time


def _check_clock(time: str, now: datetime) -> datetime:
    try:
        signed_at = datetime.strptime(time, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise AwsError(
            "IncompleteSignatureException", "Date must be in ISO-8601 'basic format': YYYYMMDD'T'HHMMSS'Z'", 400
        ) from None
    oldest, newest = now - CLOCK, now + CLOCK
    if signed_at < oldest:
        raise _invalid(
            f"Signature expired: {time} is now earlier than {oldest.strftime(_TIME)} ({now.strftime(_TIME)} - 15 min.)"
        )
    if signed_at > newest:
        raise _invalid(
            f"Signature not yet current: {time} is still later than {newest.strftime(_TIME)} "
            f"({now.strftime(_TIME)} + 15 min.)"
        )
    return signed_at


def _check_signed(headers: dict[str, str], signed: list[str]) -> None:
    # An x-amz- header that is not signed could be changed on the way, the name of the operation among them.
    for name in ("host", *sorted(name for name in headers if name.startswith("x-amz-"))):
        if name not in signed:
            raise _invalid(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")
    missing = [name for name in signed if name not in headers]
    if missing:
        raise _invalid(f"The signed header '{missing[0]}' is not in the request.")


def _check_body_hash(request: SignedRequest) -> None:
    given = request.headers.get("x-amz-content-sha256")
    if given is not None and not hmac.compare_digest(given.encode(), hashlib.sha256(request.body).hexdigest().encode()):
        raise _invalid("The provided 'x-amz-content-sha256' header does not match what was computed.")


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidSignatureException", message, 403)


def _unknown_key() -> AwsError:
    return AwsError("UnrecognizedClientException", "The security token included in the request is invalid.", 403)
