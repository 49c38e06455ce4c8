"""Operators for labeling jobs: create one and wait until people are done; stop one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.exceptions import AirflowFailException

from operators.base import ProjectOperator
from operators.connections import TEMPLATES_FOLDER, LabelingServiceHook, log_warnings
from operators.reports import portal_url
from operators.triggers import OVER, LabelingJobTrigger
from trueground.errors import InputError
from trueground.work_teams import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from trueground.jobs import Kind
    from trueground.run import Run

TAG = "trueground:"
"""Prefix of the job tags by which the portal finds what an Airflow task waits for."""


class LabelingJobLink(BaseOperatorLink):
    """Leads from the task in Airflow to its labeling job in the portal."""

    name = "Labeling job"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """The portal's page about what this task waits for."""
        where = {"dag": ti_key.dag_id, "run": ti_key.run_id, "task": ti_key.task_id, "map": ti_key.map_index}
        return portal_url("/airflow/task", **where)


class LabelingJobOperator(ProjectOperator):
    """Have people label, verify or adjust: create the labeling job, then wait without holding a worker.

    The job's name follows from project, run and step, so a task that is retried or cleared finds the job it already
    made and waits for that one, instead of paying people twice. A job that was stopped is taken as it is: what people
    did until then counts. A job that failed is replaced.

    Args:
        kind: ``label``, ``verify`` or ``adjust``.
        step: names the job in its run, such as ``round-1``. Templated, as ``job_step``.
        manifest: the URI of the objects. Templated.
        poll_interval: seconds between two looks at the job.

    Returns:
        ``job_name``, ``status``, ``output`` (the job's own output folder) and the label counters.
    """

    template_fields: Sequence[str] = (*ProjectOperator.template_fields, "job_step", "manifest")
    operator_extra_links = (LabelingJobLink(),)

    def __init__(self, *, kind: Kind, step: str, manifest: str, poll_interval: float = 3.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.job_step = step
        self.manifest = manifest
        self.poll_interval = poll_interval

    def step(self, run: Run, context: Context) -> Any:
        """Create or adopt the job and wait for it."""
        connection = run.project.connection
        job_name = self._create_or_adopt(run, LabelingServiceHook(aws_conn_id=connection), context)
        context["task_state_store"].set("labeling_job", job_name)
        self.defer(
            trigger=LabelingJobTrigger(job_name=job_name, connection=connection, poll_interval=self.poll_interval),
            method_name="resume",
        )

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Take up the job's result once the trigger has fired."""
        if "error" in event:
            raise RuntimeError(f"waiting for the labeling job failed: {event['error']}")
        client = LabelingServiceHook(aws_conn_id=self.read_project().connection).conn
        job = client.describe_labeling_job(LabelingJobName=event["job_name"])
        status, counters = job["LabelingJobStatus"], job["LabelCounters"]
        self.log.info("%s is %s: %s", job["LabelingJobName"], status, counters)
        if status == "Failed":
            raise AirflowFailException(
                f"{job['LabelingJobName']} failed: {job.get('FailureReason', 'no reason given')}"
            )
        return {
            "job_name": job["LabelingJobName"],
            "status": status,
            "output": f"{job['OutputConfig']['S3OutputPath'].rstrip('/')}/{job['LabelingJobName']}",
            "counters": counters,
        }

    def _create_or_adopt(self, run: Run, hook: LabelingServiceHook, context: Context) -> str:
        from trueground.jobs import prepare_job, same_work, work_of

        team = work_of(run, self.kind).team
        ti = context["ti"]
        request = prepare_job(
            run,
            self.kind,
            self.job_step,
            manifest=self.manifest,
            team_arn=team_arn(hook.conn, team),
            role_arn=hook.labeling_role,
            region=hook.region_name or "us-east-1",
            templates=TEMPLATES_FOLDER,
            tags={
                f"{TAG}project": run.project.name,
                f"{TAG}dag": ti.dag_id,
                f"{TAG}run": ti.run_id,
                f"{TAG}task": ti.task_id,
                f"{TAG}map": str(ti.map_index),
            },
            elements=hook.elements,
            warn=self.log.warning,
        )
        first_name = request["LabelingJobName"]
        for attempt in range(1, 100):
            name = first_name if attempt == 1 else f"{first_name[:60]}-{attempt}"
            job = _describe(hook.conn, name)
            if job is None:
                created = hook.conn.create_labeling_job(**{**request, "LabelingJobName": name})
                self.log.info("created labeling job %s", name)
                log_warnings(self.log, created)
                return name
            if not same_work(request, job):
                raise InputError(
                    f"a labeling job named {name} exists, with other input: {job['InputConfig']}",
                    hint="Give the project another name, or start a new run.",
                )
            if job["LabelingJobStatus"] != "Failed":
                self.log.info("labeling job %s exists (%s): adopted", name, job["LabelingJobStatus"])
                return name
        raise AirflowFailException(f"{first_name} failed 99 times")


class StopLabelingJobOperator(BaseOperator):
    """Stop a labeling job early and keep what people did.

    Args:
        job_name: the labeling job. Templated.
        connection: the Airflow connection of the labeling service. Templated.
    """

    template_fields: Sequence[str] = ("job_name", "connection")

    def __init__(self, *, job_name: str, connection: str = "trueground", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_name = job_name
        self.connection = connection

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask the service to stop; a job that is over already stays as it is."""
        client = LabelingServiceHook(aws_conn_id=self.connection).conn
        job = _describe(client, self.job_name)
        if job is None:
            raise AirflowFailException(f"there is no labeling job named {self.job_name!r}")
        if job["LabelingJobStatus"] not in (*OVER, "Stopping"):
            client.stop_labeling_job(LabelingJobName=self.job_name)
        return {"job_name": self.job_name, "status_before": job["LabelingJobStatus"]}


def _describe(client: Any, job_name: str) -> dict[str, Any] | None:
    """The job, ``None`` where there is none of this name."""
    from botocore.exceptions import ClientError

    try:
        return dict(client.describe_labeling_job(LabelingJobName=job_name))
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFound":
            return None
        raise


def team_arn(client: Any, team: str) -> str:
    """The ARN of a work team by its name; an ARN is taken as it is. Raises :class:`InputError` for no team."""
    if team.startswith("arn:"):
        return team
    arn: str = describe(client, team)["Workteam"]["WorkteamArn"]
    return arn
