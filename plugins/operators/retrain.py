"""Operators that retrain a project's model: note what is new, train and compare, promote; and roll back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from operators.base import ProjectOperator
from operators.connections import LabelingServiceHook
from operators.failures import failing
from operators.lineage import Lineage
from operators.reports import ReportLink, show_report
from operators.triggers import DescribedWorkTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from trueground.models.registry import ModelRecord, Switch
    from trueground.run import Run


class NoteEventsOperator(ProjectOperator):
    """Note what the label asset and the review assets told since the last time.

    All events since then are read, not only those that started the DAG run: none is lost while the DAG is paused.

    Args:
        labels: the asset of the project's labels.
        reviews: the assets of reviews.

    Returns:
        For each event that cannot be read what is wrong with it.
    """

    def __init__(self, *, labels: Asset, reviews: Sequence[Asset], **kwargs: Any) -> None:
        super().__init__(inlets=[labels, *reviews], multiple_outputs=False, **kwargs)
        self.labels = labels
        self.assets = [labels, *reviews]

    def step(self, run: Run, context: Context) -> list[str]:
        """Note the good events, name the bad ones."""
        from trueground.models.sources import Event, note_events, read_sources

        read = read_sources(run).read
        events = []
        for asset in self.assets:
            since = context["inlet_events"][asset]
            if asset.name in read:
                since = since.after(read[asset.name])
            events += [Event(asset.name, event.timestamp.isoformat(), event.extra) for event in since]
        refused = note_events(run, events, labels_asset=self.labels.name)
        for problem in refused:
            self.log.error("%s", problem)
        return refused


class RefuseEventOperator(BaseOperator):
    """Fail with what is wrong with one asset event, for people to see. Mapped over the refused ones.

    Args:
        problem: what is wrong. Templated.
    """

    template_fields: Sequence[str] = ("problem",)

    def __init__(self, *, problem: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.problem = problem

    def execute(self, context: Context) -> None:
        """Trying again cannot mend it."""
        raise AirflowFailException(self.problem)


class RetrainModelOperator(ProjectOperator):
    """Train a challenger on all labels and reviews, compare it with the current model, register it.

    Skips itself where there is nothing that the newest model has not seen. What SageMaker trains is waited for without
    holding a worker; a repeated task finds what it started.
    """

    operator_extra_links = (ReportLink(),)

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Train, or take the model that an earlier try registered."""
        from trueground.models import retrain, sources

        registered = retrain.registry_of(run).find(retrain.model_name(run))
        if registered is not None:
            return self.told(registered, context, run)
        if not sources.is_news(run):
            raise AirflowSkipException("there are no labels and reviews that the newest model was not trained on")
        retrain.prepare(run)
        return self.train(run, context)

    def train(self, run: Run, context: Context) -> dict[str, Any]:
        """Train where this task runs, or have SageMaker train."""
        from trueground.models.retrain import model_folder, register
        from trueground.models.sagemaker import training_work
        from trueground.models.trainers import PREDICTIONS, train_in_process
        from trueground.storage import join

        folder, trainer = model_folder(run), run.project.retrain.trainer
        work = training_work(run, folder)
        if work is None:
            return self.told(register(run, train_in_process(run, folder), join(folder, PREDICTIONS)), context, run)
        request = work.start(LabelingServiceHook(aws_conn_id=trainer.connection).conn)
        self.log.info("waiting for %s", request)
        trigger = DescribedWorkTrigger(
            operation=work.describe,
            request=request,
            status=work.status,
            over=list(work.over),
            connection=trainer.connection,
            poll_interval=trainer.poll_interval,
        )
        self.defer(trigger=trigger, method_name="resume")

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Register what SageMaker trained, once the trigger has fired."""
        if "error" in event:
            raise RuntimeError(f"waiting for the training failed: {event['error']}")
        run = self.open_run()
        with failing(self.log):
            return self.done(run, self.told(self.take(run, event["request"]), context, run))

    def take(self, run: Run, request: dict[str, str]) -> ModelRecord:
        """The model of work that is over. Fails the task where that did not succeed."""
        from trueground.models.retrain import model_folder, register
        from trueground.models.sagemaker import take_predictions, training_work

        folder = model_folder(run)
        work = training_work(run, folder)
        if work is None:
            raise AirflowFailException("the project's trainer was changed while SageMaker was training: run it again")
        client = LabelingServiceHook(aws_conn_id=run.project.retrain.trainer.connection).conn
        found = getattr(client, work.describe)(**request)
        if found[work.status] != work.succeeded:
            why = found.get("FailureReason", "no reason given")
            raise AirflowFailException(f"{request} is {found[work.status]}: {why}")
        archive = work.archive(found)
        return register(run, archive, take_predictions(run, archive, folder))

    def lineage(self, run: Run, result: dict[str, Any]) -> Lineage:
        """From the label sets to the model."""
        from trueground.models.retrain import registry_of

        record = registry_of(run).record(result["name"])
        return Lineage([data.uri for data in record.data], {record.model: None})

    def told(self, record: ModelRecord, context: Context, run: Run) -> dict[str, Any]:
        """What later tasks and people need to know."""
        show_report(context, record.card, run.project.connection)
        keys = {"name", "model", "card", "trained_on", "tested_on", "accuracy", "champion_accuracy", "better", "reason"}
        facts: dict[str, Any] = record.model_dump(include=keys)
        self.log.info("%s", facts)
        return facts


class _SwitchOperator(ProjectOperator):
    """Base of those that change which model is current.

    Args:
        model: the asset of the project's model; its event's ``extra`` says which model is current now.
    """

    def __init__(self, *, model: Asset, **kwargs: Any) -> None:
        super().__init__(outlets=[model], **kwargs)
        self.model = model

    def tell(self, run: Run, context: Context, record: ModelRecord, switch: Switch) -> dict[str, Any]:
        """Tell everyone who waits for the model."""
        from trueground.models.retrain import model_extra

        extra = model_extra(run, record, switch)
        context["outlet_events"][self.model].extra = extra
        self.log.info("%s is the current model: %s", record.name, switch.reason)
        return extra


class PromoteModelOperator(_SwitchOperator):
    """Make the run's model the current one.

    Args:
        by_rule: only if it is better by the rule; else somebody has approved it.
    """

    def __init__(self, *, by_rule: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.by_rule = by_rule

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Switch the pointer; skips itself where the rule says no."""
        from trueground.models.retrain import model_name, promote, registry_of

        record = registry_of(run).record(model_name(run))
        if self.by_rule and not record.better:
            raise AirflowSkipException(f"not promoted: {record.reason}")
        return self.tell(run, context, *promote(run, reason=None if self.by_rule else f"approved; {record.reason}"))


class RollBackModelOperator(_SwitchOperator):
    """Make an earlier model the current one again.

    Args:
        to: its name; the one before the current by default. Templated.
        reason: why, for the history. Templated.
    """

    template_fields: Sequence[str] = (*ProjectOperator.template_fields, "to", "reason")

    def __init__(self, *, to: str = "", reason: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.to = to
        self.reason = reason

    def step(self, run: Run, context: Context) -> dict[str, Any]:
        """Switch the pointer back."""
        from trueground.models.retrain import registry_of

        registry = registry_of(run)
        switch = registry.roll_back(self.to.strip() or None, by=run.name, reason=self.reason or "rolled back")
        return self.tell(run, context, registry.record(switch.model), switch)
