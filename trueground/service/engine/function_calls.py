"""Calls of functions of the requester's own: in this process, or of an AWS Lambda function."""

from __future__ import annotations

import copy
import json
import threading
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from trueground import strict_json
from trueground.errors import InputError, TruegroundError
from trueground.functions import load_function
from trueground.service.engine.functions import OwnFunction
from trueground.service.engine.threads import in_thread
from trueground.service.settings import ServiceSettings

VERSION = "2018-10-16"
REASON_CHARACTERS = 1024
MOST_RUNNING = 32
"""Calls in this process at the same time, with those whose time limit is over and that still run."""
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before a Lambda function is asked once more that was too busy, or could not be reached."""


class FunctionFailed(TruegroundError):
    """A function raised, took too long, or returned something else than its contract says. For the failure reason."""


class FunctionCalls:
    """Calls functions; threads may share it."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._running = threading.BoundedSemaphore(MOST_RUNNING)
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def call(self, function: OwnFunction, event: dict[str, Any], seconds: float) -> Any:
        """What a function returns for an event. Raises :class:`FunctionFailed` after ``seconds`` at the latest."""
        if function.local is not None:
            return self._call_here(function.local, event, seconds)
        return self._call_lambda(function, event, seconds)

    def _call_here(self, name: str, event: dict[str, Any], seconds: float) -> Any:
        try:
            function = load_function(name)
        except InputError as error:
            raise FunctionFailed(str(error)) from None
        if not self._running.acquire(timeout=seconds):
            raise FunctionFailed(f"the function {name!r} was not called: too many calls hang beyond their time limit")

        def call() -> Any:
            try:
                # A copy, as over a wire: what the function does to its event changes nothing here.
                return function(copy.deepcopy(event))
            finally:
                self._running.release()

        outcome = in_thread(f"function-{name}", call)
        try:
            return _as_json(name, outcome.result(seconds))
        except FunctionFailed:
            raise
        except BaseException as error:
            if isinstance(error, TimeoutError) and not outcome.done():
                raise FunctionFailed(f"the function {name!r} took longer than {seconds:g} s") from None
            raise FunctionFailed(f"the function {name!r} failed: {type(error).__name__}: {error}") from error

    def _call_lambda(self, function: OwnFunction, event: dict[str, Any], seconds: float) -> Any:
        end = time.monotonic() + seconds
        payload = json.dumps(event).encode()
        for pause in (*_PAUSES, None):
            try:
                answer = self._client(function.region, seconds).invoke(FunctionName=function.function, Payload=payload)
                text = answer["Payload"].read()
            except (ClientError, BotoCoreError, OSError) as error:
                if pause is None or not _passes(error) or time.monotonic() + pause >= end:
                    raise FunctionFailed(f"{function.function} failed: {error}") from error
                time.sleep(pause)
                continue
            if answer.get("FunctionError"):
                raise FunctionFailed(f"{function.function} failed: {_lambda_error(text)}")
            try:
                # Lambda's own runtime for Python writes NaN, which neither a store nor a manifest may hold.
                return strict_json.loads(text)
            except (ValueError, RecursionError) as error:
                raise FunctionFailed(f"{function.function} returned no JSON: {error}") from None

    def _client(self, region: str, seconds: float) -> Any:
        # Not at the top: it takes long, and most services call no Lambda function.
        import boto3
        from botocore.config import Config

        key = f"{region} {seconds}"
        with self._lock:
            if key not in self._clients:
                # Retried here and not by boto3, which would do so after a time-out and call the function twice.
                config = Config(connect_timeout=10, read_timeout=seconds, retries={"total_max_attempts": 1})
                self._clients[key] = boto3.session.Session().client(
                    "lambda", region_name=region, endpoint_url=self._settings.lambda_endpoint, config=config
                )
            return self._clients[key]


def reason_of(error: BaseException) -> str:
    """Why an object failed, in a form that any store keeps: functions may say anything."""
    told = str(error) if isinstance(error, TruegroundError) else f"{type(error).__name__}: {error}"
    return storable(told)[:REASON_CHARACTERS]


def storable(text: str) -> str:
    """The text with a ``?`` for what no store keeps: null characters, and halves of characters beyond 16 bits."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def _as_json(name: str, value: Any) -> Any:
    """The value as it would come back over a wire, so that only JSON goes into the store."""
    try:
        return strict_json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise FunctionFailed(f"the function {name!r} returned something that is not JSON: {error}") from None


def _passes(error: Exception) -> bool:
    """Whether it may go better in a moment."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status == 429 or status >= 500
    from botocore.exceptions import ConnectionError as NotConnected
    from botocore.exceptions import ReadTimeoutError

    return isinstance(error, (NotConnected, OSError)) and not isinstance(error, ReadTimeoutError)


def _lambda_error(text: bytes) -> str:
    """What Lambda says of a function that raised: its error's type and message."""
    try:
        told = json.loads(text)
        return f"{told.get('errorType', 'error')}: {told['errorMessage']}"
    except (ValueError, KeyError, AttributeError, TypeError):
        return text.decode("utf-8", "replace")[:500]
