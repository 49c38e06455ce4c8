"""Errors as AWS answers them."""

from __future__ import annotations

from typing import Any

from trueground.errors import InputError, TruegroundError, UnavailableError
from trueground.service.engine import errors as engine


class AwsError(TruegroundError):
    """What a client sees as ``error.response["Error"]``.

    Args:
        code: AWS's name of the error (``__type``).
        message: for the person who reads it.
        status: HTTP status; ``None``: the one that the service's model has for the code.
    """

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        self.code = code
        self.message = message
        self.status = status
        super().__init__(message)


# The first name that the service's model knows; what none of them is, is told as a request that is not valid.
_NAMES: dict[type[Exception], tuple[str, ...]] = {
    engine.InUse: ("ResourceInUse",),
    engine.Conflict: ("ConflictException",),
    engine.LimitExceeded: ("ResourceLimitExceeded", "ServiceQuotaExceededException"),
    engine.Invalid: (),
    InputError: (),
}


def aws_error(error: Exception, model: Any, *, not_found: str) -> AwsError | None:
    """The AWS error that an error of ours means, ``None`` for one that nobody foresaw.

    Args:
        error: what was raised.
        model: botocore's model of the service, which has its errors.
        not_found: the name for what is not there.
    """
    if isinstance(error, AwsError):
        return error
    if isinstance(error, UnavailableError):
        # AWS's clients try again what ends with this status.
        return AwsError("ServiceUnavailable", str(error), 503)
    if isinstance(error, engine.NotFound):
        return AwsError(not_found, str(error))
    for kind, names in _NAMES.items():
        if isinstance(error, kind):
            code = next((name for name in names if name in model.shape_names), "ValidationException")
            return AwsError(code, str(error))
    return None


def status_of(error: AwsError, model: Any) -> int:
    """The HTTP status of an error: its own, else its shape's in botocore's ``model`` of the service, else 400."""
    if error.status is not None:
        return error.status
    if error.code not in model.shape_names:
        return 400
    status: int = model.shape_for(error.code).metadata.get("error", {}).get("httpStatusCode", 400)
    return status
