"""How a task fails for people: at once, where trying again cannot help, and with what to do before the traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from trueground.errors import InputError, UnavailableError


@contextmanager
def failing(log: Any) -> Iterator[None]:
    """Inside the block, an :class:`InputError` fails the task without a retry; one line in the log says what to do.

    So does a request that the labeling service rejects as it is. Where a server did not work, the task is tried again.
    """
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationException":
            raise
        log.error("%s", error.response["Error"]["Message"])
        raise AirflowFailException(str(error)) from None
    except InputError as error:
        log.error("%s", shortly(error))
        # Where it was raised helps nobody who can mend the input.
        raise AirflowFailException(str(error)) from None
    except UnavailableError as error:
        log.error("%s", error)
        raise AirflowException(str(error)) from None


def shortly(error: InputError) -> str:
    """An error with what to do first, then what is wrong and where."""
    if not error.hint:
        return str(error)
    problem = InputError(error.problem, file=error.file, line=error.line, field=error.field)
    return f"{error.hint} ({str(problem).removesuffix('.')})"
