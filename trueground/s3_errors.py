"""What goes wrong with S3, as one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trueground.errors import AccessError, InputError, TruegroundError, UnavailableError

CREDENTIALS_REJECTED = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
OTHER_REGION = {"301", "307", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}
BUSY = {"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException"}
SET_CREDENTIALS = (
    "Set the keys in the Airflow connection, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
)


@contextmanager
def s3_errors(uri: str) -> Iterator[None]:
    """Turn what s3fs and botocore raise into one line about this URI.

    Raises:
        FileNotFoundError: there is no such object in the bucket.
        AccessError: the bucket, the credentials or the rights are not good; trying again does not help.
        UnavailableError: S3 cannot be reached or does not answer as it should, after all tries.
    """
    try:
        yield
    except TruegroundError:
        raise
    except Exception as error:
        found = _explained(error, uri)
        if found is None:
            raise
        raise found from error


def _explained(error: Exception, uri: str) -> Exception | None:
    """Our error for one of S3; ``None`` where it is nothing that S3 did."""
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError
    from fsspec.exceptions import FSTimeoutError

    response = _response(error)
    if response is not None:
        return _answered(response, error, uri)
    if isinstance(error, FileNotFoundError):
        return _no_file(uri)
    cause = _cause(error, boto.BotoCoreError) or error
    if isinstance(cause, (boto.NoCredentialsError, boto.PartialCredentialsError)):
        return AccessError("no AWS credentials were found", file=uri, hint=SET_CREDENTIALS)
    if isinstance(cause, (boto.ProfileNotFound, boto.CredentialRetrievalError, boto.TokenRetrievalError)):
        return AccessError(f"the AWS credentials cannot be read: {cause}", file=uri, hint=SET_CREDENTIALS)
    if isinstance(cause, boto.ParamValidationError):
        return AccessError(f"S3 does not take this: {_one_line(cause)}", file=uri, hint="Correct the URI.")
    # Before the next: some of them are both.
    if isinstance(cause, (boto.ReadTimeoutError, boto.ConnectTimeoutError, FSTimeoutError, TimeoutError)):
        return UnavailableError("S3 did not answer in time", file=uri, hint="Try again later.")
    if isinstance(cause, (boto.EndpointConnectionError, boto.ConnectionError, ConnectionError)):
        hint = "Check the network and the endpoint (AWS_ENDPOINT_URL_S3, or the Airflow connection)."
        return UnavailableError(f"S3 cannot be reached: {_one_line(cause)}", file=uri, hint=hint)
    if isinstance(cause, (boto.HTTPClientError, boto.IncompleteReadError, ResponseParserError)):
        return UnavailableError(f"the answer of S3 broke off: {_one_line(cause)}", file=uri, hint="Try again later.")
    if isinstance(cause, boto.BotoCoreError):
        return AccessError(f"S3 cannot be used: {_one_line(cause)}", file=uri, hint="Check the AWS configuration.")
    # aiohttp's and urllib3's own, raised while a body is read.
    if type(cause).__module__.partition(".")[0] in ("aiohttp", "urllib3", "asyncio"):
        problem = f"the answer of S3 broke off: {_one_line(cause)}"
        return UnavailableError(problem, file=uri, hint="Try again later.")
    return None


def _answered(response: dict[str, Any], error: Exception, uri: str) -> Exception:
    """Our error for an error that S3 answered."""
    code = str(response.get("Error", {}).get("Code", ""))
    message = str(response.get("Error", {}).get("Message", "")) or str(error)
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) or (code.isdigit() and code) or 0)
    bucket = uri.partition("://")[2].partition("/")[0]
    if code == "NoSuchBucket":
        hint = "Create the bucket, or correct its name."
        return AccessError(f"there is no bucket {bucket!r}", file=uri, hint=hint)
    if code == "InvalidBucketName":
        return bad_bucket_name(uri, bucket)
    if code in CREDENTIALS_REJECTED:
        return AccessError(f"S3 rejects the credentials: {message} ({code})", file=uri, hint=SET_CREDENTIALS)
    if code in OTHER_REGION:
        hint = "Set the bucket's region in the Airflow connection, or as AWS_DEFAULT_REGION."
        return AccessError(f"the bucket {bucket!r} is in another region", file=uri, hint=hint)
    if status >= 500 or status == 429 or code in BUSY:
        problem = f"S3 is not available: {status or code} {message}".rstrip()
        return UnavailableError(problem, file=uri, hint="Try again later.")
    if code in ("PreconditionFailed", "412"):
        return UnavailableError("the file was replaced while it was read", file=uri, hint="Try again.")
    if status == 403 or isinstance(error, PermissionError):
        hint = "Allow these credentials s3:ListBucket, s3:GetObject and, to write, s3:PutObject; or use other ones."
        return AccessError(f"access to S3 is denied: {message}", file=uri, hint=hint)
    if status == 404 or isinstance(error, FileNotFoundError):
        return _no_file(uri)
    return AccessError(f"S3 rejects the request: {message} ({code})", file=uri, hint="Check the URI and the region.")


def bad_bucket_name(uri: str, bucket: str) -> InputError:
    """The error for a name that no bucket can have."""
    hint = "A bucket's name has 3 to 63 lowercase letters, digits, dots and hyphens."
    return InputError(f"{bucket!r} is not a valid bucket name", file=uri, hint=hint)


def _no_file(uri: str) -> FileNotFoundError:
    return FileNotFoundError(2, "there is no such file", uri)


def _response(error: BaseException) -> dict[str, Any] | None:
    """What S3 answered: s3fs raises Python's errors and keeps botocore's as their cause."""
    from botocore.exceptions import ClientError

    cause = _cause(error, ClientError)
    return None if cause is None else dict(cause.response)  # type: ignore[attr-defined]


def _cause(error: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    while error is not None and not isinstance(error, kind):
        # Not its context: that may be an earlier error of the caller's, which is being handled.
        error = error.__cause__
    return error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
