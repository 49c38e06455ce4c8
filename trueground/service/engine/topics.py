"""Topics of SNS: what the service sends to them, and how it reaches them."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from trueground.service.engine.aws_client import aws_client
from trueground.service.settings import ServiceSettings

log = logging.getLogger(__name__)

MESSAGE_BYTES = 256 * 1024
_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]{1,256}")


class Unreachable(OSError):
    """SNS or SQS cannot be reached or refuses; it may do so later."""


def is_standard_topic(arn: str) -> bool:
    """Whether it is the ARN of a topic, and not of the FIFO kind."""
    return _ARN.fullmatch(arn) is not None and not arn.endswith(".fifo")


def topic_client(settings: ServiceSettings, service: str, topic: str) -> Any:
    """A client of SNS or SQS in the region of a topic."""
    return aws_client(service, topic.split(":")[3], settings.messages_endpoint)


class Topics:
    """Sends to topics. Its clients are kept: to make one costs more than many messages."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._clients: dict[str, Any] = {}

    def publish(self, topic: str, messages: Sequence[str], *, subject: str | None = None) -> None:
        """Send messages to a topic, in order; one that no topic takes is left out, and the log says so.

        ``subject`` is that of letters. Raises :class:`Unreachable`.
        """
        more = {} if subject is None else {"Subject": subject}
        try:
            # Jobs in other threads may share it.
            client = self._clients.get(topic) or topic_client(self._settings, "sns", topic)
            self._clients[topic] = client
            for message in messages:
                if len(message.encode("utf-8", "replace")) > MESSAGE_BYTES:
                    # Refused each time, it would hold up all that come after it. It stands in the output all the same.
                    log.error("%s takes no message of more than %d bytes: %.200s…", topic, MESSAGE_BYTES, message)
                    continue
                client.publish(TopicArn=topic, Message=message, **more)
        except (ClientError, BotoCoreError) as error:
            # Its credentials may have been wrong; the next one finds them anew.
            self._clients.pop(topic, None)
            raise Unreachable(f"{topic} does not take what is sent to it: {error}") from error
