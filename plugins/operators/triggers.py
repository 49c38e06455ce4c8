"""Triggers: what waits for people while no worker is held. One trigger a labeling job, or a set of human loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.triggers.base import BaseTrigger, TriggerEvent
from botocore.exceptions import BotoCoreError, ClientError

from operators.connections import HumanLoopHook, LabelingServiceHook
from operators.shared_clients import shared_client
from trueground.review.loops import OVER, PAGE, loop_of  # labeling jobs end in the same ways

MOST_LOOKS = 50.0
"""Looks a second of all triggers with the same client: where very many wait, each is looked at a little later."""
LONGEST_PAUSE = 60.0
"""Seconds between attempts, at the most, while the service cannot be reached."""


class PollingTrigger(BaseTrigger):
    """Ask an AWS API again and again until it says that the work is over.

    A service that is down, restarting or throttling is asked again later: people's work outlives it.

    Args:
        connection: the Airflow connection of the labeling service.
        poll_interval: seconds between two looks.
    """

    hook_class: type[AwsBaseHook]

    def __init__(self, *, connection: str, poll_interval: float, **fields: Any) -> None:
        super().__init__()
        self.connection = connection
        self.poll_interval = poll_interval
        self.fields = fields

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and what its constructor takes."""
        kind = type(self)
        return (
            f"{kind.__module__}.{kind.__qualname__}",
            {"connection": self.connection, "poll_interval": self.poll_interval, **self.fields},
        )

    async def look(self, client: Any) -> dict[str, Any] | None:
        """Ask once. Returns the event's payload once the work is over, else ``None``."""
        raise NotImplementedError

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event, once the work is over or cannot be found."""
        pause = self.poll_interval
        while True:
            try:
                async with shared_client(self.hook_class, self.connection) as shared:
                    while True:
                        result = await self.look(shared.client)
                        pause = self.poll_interval
                        if result is not None:
                            yield TriggerEvent(result)
                            return
                        await asyncio.sleep(max(pause, shared.users / MOST_LOOKS))
            except ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                if status < 500 and status != 429 and error.response["Error"]["Code"] != "ThrottlingException":
                    yield TriggerEvent({"error": str(error)})
                    return
                self.log.warning("the labeling service answered: %s", error)
            except (BotoCoreError, OSError) as error:
                self.log.warning("cannot reach the labeling service, will ask again: %s", error)
            pause = min(pause * 1.5, LONGEST_PAUSE)
            await asyncio.sleep(pause)


class LabelingJobTrigger(PollingTrigger):
    """Fires when a labeling job is over.

    Args:
        job_name: the labeling job.
    """

    hook_class = LabelingServiceHook

    def __init__(self, *, job_name: str, connection: str, poll_interval: float = 3.0) -> None:
        super().__init__(connection=connection, poll_interval=poll_interval, job_name=job_name)
        self.job_name = job_name
        self._seen: dict[str, int] | None = None

    async def look(self, client: Any) -> dict[str, Any] | None:
        """Describe the job, and log how far it is whenever that changed."""
        job = await client.describe_labeling_job(LabelingJobName=self.job_name)
        counters = job["LabelCounters"]
        if counters != self._seen:
            self._seen = counters
            self.log.info("%s: %s, %s", self.job_name, job["LabelingJobStatus"], counters)
        if job["LabelingJobStatus"] not in OVER:
            return None
        return {"job_name": self.job_name, "status": job["LabelingJobStatus"]}


class DescribedWorkTrigger(PollingTrigger):
    """Fires when some work on SageMaker is over, whatever its kind.

    Args:
        operation: the client's method that describes the work.
        request: its arguments.
        status: the field of its answer that says how far the work is.
        over: the statuses of work that goes no further.
    """

    hook_class = LabelingServiceHook

    def __init__(
        self,
        *,
        operation: str,
        request: dict[str, str],
        status: str,
        over: list[str],
        connection: str,
        poll_interval: float = 30.0,
    ) -> None:
        super().__init__(
            connection=connection,
            poll_interval=poll_interval,
            operation=operation,
            request=request,
            status=status,
            over=over,
        )
        self.operation = operation
        self.request = request
        self.status = status
        self.over = over

    async def look(self, client: Any) -> dict[str, Any] | None:
        """Describe the work."""
        found = await getattr(client, self.operation)(**self.request)
        return {"request": self.request} if found[self.status] in self.over else None


class HumanLoopsTrigger(PollingTrigger):
    """Fires when all of a set of human loops are over.

    Args:
        human_loops: their names.
    """

    hook_class = HumanLoopHook

    def __init__(self, *, human_loops: list[str], connection: str, poll_interval: float = 3.0) -> None:
        super().__init__(connection=connection, poll_interval=poll_interval, human_loops=human_loops)
        self.human_loops = human_loops
        self._over: dict[str, str] = {}

    async def look(self, client: Any) -> dict[str, Any] | None:
        """Describe the loops that were not over at the last look."""
        for name in self.human_loops:
            if name in self._over:
                continue
            loop = await client.describe_human_loop(HumanLoopName=name)
            if loop["HumanLoopStatus"] not in OVER:
                return None
            self._over[name] = loop["HumanLoopStatus"]
        return {"human_loops": self._over}


class StartedLoopsTrigger(PollingTrigger):
    """Fires when all human loops of a step of a DAG run are over, however many they are.

    While a loop that was not over at the last look is still open, that is all it asks for. Else it reads the flow
    definition's list, from the oldest that was not over, up to the first that is not over now. So the memory is that of
    a page.

    Args:
        flow_definition: its ARN.
        prefix: how the names of the loops begin.
        created_after: they were started after this time (ISO).
        last: the name of one of them that is likely to end late.
    """

    hook_class = HumanLoopHook

    def __init__(
        self,
        *,
        flow_definition: str,
        prefix: str,
        created_after: str,
        last: str | None = None,
        connection: str,
        poll_interval: float = 3.0,
    ) -> None:
        super().__init__(
            connection=connection,
            poll_interval=poll_interval,
            flow_definition=flow_definition,
            prefix=prefix,
            created_after=created_after,
            last=last,
        )
        self.prefix = prefix
        self._from = datetime.fromisoformat(created_after)
        self._open = last
        self._wanted = {"FlowDefinitionArn": flow_definition, "SortOrder": "Ascending", "MaxResults": PAGE}

    async def look(self, client: Any) -> dict[str, Any] | None:
        """Go on from the oldest loop that was open."""
        if self._open is not None and await self._is_open(client, self._open):
            return None
        token: dict[str, str] = {}
        while True:
            page = await client.list_human_loops(**self._wanted, CreationTimeAfter=self._from, **token)
            for loop in map(loop_of, page["HumanLoopSummaries"]):
                if loop.status not in OVER and loop.name.startswith(self.prefix):
                    # Times may come shortened to the second, and may count as after themselves or not.
                    self._from = max(self._from, loop.created_at - timedelta(seconds=1))
                    self._open = loop.name
                    return None
            if not page.get("NextToken"):
                return {"prefix": self.prefix}
            token = {"NextToken": page["NextToken"]}

    async def _is_open(self, client: Any, name: str) -> bool:
        try:
            loop = await client.describe_human_loop(HumanLoopName=name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            # Somebody has deleted it.
            return False
        return loop["HumanLoopStatus"] not in OVER
