"""Errors as AWS answers them."""

from __future__ import annotations

from typing import Any

from trueground.errors import InputError, TruegroundError
from trueground.service.engine import errors as engine


class AwsError(TruegroundError):
    """What a client sees as ``error.response["Error"]``.

    Args:
        code: AWS's name of the error (``__type``).
        message: for the person who reads it.
        status: HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
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
        model: botocore's model of the service, whose error shapes say the status.
        not_found: the name for what is not there.
    """
    if isinstance(error, AwsError):
        return error
    if isinstance(error, engine.NotFound):
        return AwsError(not_found, str(error), status_of(model, not_found))
    for kind, names in _NAMES.items():
        if isinstance(error, kind):
            code = next((name for name in names if name in model.shape_names), "ValidationException")
            return AwsError(code, str(error), status_of(model, code))
    return None


def status_of(model: Any, code: str) -> int:
    """The status of an error: 400, unless its shape says another."""
    if code not in model.shape_names:
        return 400
    status: int = model.shape_for(code).metadata.get("error", {}).get("httpStatusCode", 400)
    return status
