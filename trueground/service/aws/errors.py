"""Errors as AWS answers them."""

from __future__ import annotations

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


def aws_error(error: Exception, *, not_found: str = "ResourceNotFound") -> AwsError | None:
    """The AWS error that an error of ours means, ``None`` for one that nobody foresaw."""
    if isinstance(error, AwsError):
        return error
    codes: dict[type[Exception], str] = {
        engine.NotFound: not_found,
        engine.InUse: "ResourceInUse",
        engine.LimitExceeded: "ResourceLimitExceeded",
        engine.Invalid: "ValidationException",
        InputError: "ValidationException",
    }
    for kind, code in codes.items():
        if isinstance(error, kind):
            return AwsError(code, str(error))
    return None
