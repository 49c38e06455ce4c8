"""A sensor for any DAG: wait for people's work that was started elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from operators.labeling_job import LabelingJobLink
from operators.triggers import HumanLoopsTrigger, LabelingJobTrigger, StartedLoopsTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context


class HumanReviewSensor(BaseOperator):
    """Wait for a labeling job, or for all of a set of human loops, without holding a worker.

    Give one of the two. The work may have been started by a script, a notebook, another DAG or the AWS console.

    Args:
        labeling_job: the name of a labeling job. Templated.
        human_loops: the names of human loops, or what :class:`~operators.human_loops.StartHumanLoopsOperator`
            returned, of all its mapped tasks where it was mapped. Templated.
        connection: the Airflow connection of the labeling service. Templated.
        poll_interval: seconds between two looks.
        accept: the statuses that count as success; any other fails the task. How each of started loops ended is for
            who reads the reviews to judge: the task succeeds once all are over.

    Returns:
        For a labeling job ``{"job_name", "status"}``; for human loops ``{"human_loops": {name: status}}``; for started
        loops what was given, with the number of all.

    Raises:
        AirflowFailException: the work ended in another status, or there is no such job or loop.
    """

    template_fields: Sequence[str] = ("labeling_job", "human_loops", "connection")
    operator_extra_links = (LabelingJobLink(),)

    def __init__(
        self,
        *,
        labeling_job: str | None = None,
        human_loops: Any = None,
        connection: str = "trueground",
        poll_interval: float = 5.0,
        accept: Sequence[str] = ("Completed", "Stopped"),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (labeling_job is None) == (human_loops is None):
            raise ValueError("HumanReviewSensor waits for labeling_job or human_loops: give one of the two")
        self.labeling_job = labeling_job
        self.human_loops = human_loops
        self.connection = connection
        self.poll_interval = poll_interval
        self.accept = accept

    def execute(self, context: Context) -> Any:
        """Hand the wait to the triggerer."""
        if self.labeling_job is not None:
            trigger: Any = LabelingJobTrigger(
                job_name=self.labeling_job, connection=self.connection, poll_interval=self.poll_interval
            )
        else:
            loops = [self.human_loops] if isinstance(self.human_loops, Mapping) else list(self.human_loops)
            if not loops:
                return {"human_loops": {}}
            how: dict[str, Any] = {"connection": self.connection, "poll_interval": self.poll_interval}
            if isinstance(loops[0], Mapping):
                found = self._started(loops)
                how |= {name: found[name] for name in ("flow_definition", "prefix", "created_after", "last")}
                trigger = StartedLoopsTrigger(**how)
            else:
                trigger = HumanLoopsTrigger(human_loops=loops, **how)
        self.defer(trigger=trigger, method_name="resume")

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Judge how the work ended."""
        if "error" in event:
            raise AirflowFailException(event["error"])
        if "prefix" in event:
            given = [self.human_loops] if isinstance(self.human_loops, Mapping) else list(self.human_loops)
            return self._started(given)
        statuses = event.get("human_loops") or {event["job_name"]: event["status"]}
        wrong = {name: status for name, status in statuses.items() if status not in self.accept}
        if wrong:
            raise AirflowFailException(f"ended otherwise than {' or '.join(self.accept)}: {wrong}")
        return event

    def _started(self, shards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the shards of one step have in common, with the number of all their loops."""
        found = dict(shards[0], loops=sum(shard["loops"] for shard in shards))
        if any(shard["prefix"] != found["prefix"] for shard in shards):
            raise AirflowFailException("human_loops: the loops of one step of a run can be waited for, not of several")
        return found
