"""Ten thousand human loops of one DAG run: started, waited for, collected and merged; as many stopped early; and a
thousand runs that wait.

The service and, on request, a PostgreSQL server run beside it. What is printed is seconds by the clock, CPU seconds of
each process, and the peak of memory; the machine's load stands beside them.

    python -m benchmarks.human_loops [--quick] [--loops 10000] [--runs 1000] [--store sqlite|postgresql] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import configparser
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.service_processes import ROOT, PostgreSQL, cpu_seconds, postgresql, tidy_when_stopped
from benchmarks.service_trueground import TEAM, TruegroundServer, trueground
from trueground.review.choose import choose_reviews
from trueground.review.loops import STARTERS, loop_prefix, start_loops
from trueground.review.merge import merge_reviews
from trueground.review.project import ReviewProject, ReviewRun
from trueground.review.steps import collect_reviews, loops_output, write_loops
from trueground.review.stop import note_flow, stop_reviews
from trueground.storage import Storage, file_uri

TEMPLATE = (ROOT / "include/templates/prediction/template.liquid.html").read_text()
ACCOUNT = "us-east-1:000000000000"
WARM_UP, WATCHED = 30.0, 60.0
"""Seconds before, and for which, the waiting runs are measured."""
POLL = 5.0
"""Seconds between two looks of a trigger: the default of HumanReviewSensor."""


class Meter:
    """What parts of the work cost."""

    def __init__(self, server: TruegroundServer, database: PostgreSQL | None) -> None:
        self._pids = [*server.pids, *([database.pid] if database else [])]
        self.rows: list[dict[str, Any]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure what is done in the block."""
        clock, own, theirs = time.perf_counter(), time.process_time(), cpu_seconds(self._pids)
        yield
        row = {
            "part": name,
            "seconds": time.perf_counter() - clock,
            "own_cpu": time.process_time() - own,
            "server_cpu": cpu_seconds(self._pids) - theirs,
            "own_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "load": os.getloadavg()[0],
        }
        self.rows.append(row)
        print(
            f"{name:34}  {row['seconds']:7.1f} s  CPU here {row['own_cpu']:6.1f} s, of the service "
            f"{row['server_cpu']:6.1f} s  peak here {row['own_peak_mb']:5.0f} MB  load {row['load']:.1f}",
            flush=True,
        )


def prepare(server: TruegroundServer, loops: int) -> tuple[ReviewRun, str]:
    """A review project with as many unsure predictions, and its flow definition."""
    project = ReviewProject.model_validate(
        {
            "kind": "review-predictions",
            "name": "texts",
            "source": {"kind": "file", "predictions": file_uri(server.folder / "data/predictions.jsonl")},
            "labels": ("good", "bad"),
            "output": file_uri(server.folder / "data/reviews"),
            "review": {"team": TEAM},
        }
    )
    run = ReviewRun(project, "night", Storage(data_root=str(server.folder / "data")))
    predict(run, loops)
    client = server.client()
    ui = client.create_human_task_ui(HumanTaskUiName="texts", UiTemplate={"Content": TEMPLATE})["HumanTaskUiArn"]
    flow = client.create_flow_definition(
        FlowDefinitionName="texts",
        HumanLoopConfig={
            "WorkteamArn": f"arn:aws:sagemaker:{ACCOUNT}:workteam/private-crowd/{TEAM}",
            "HumanTaskUiArn": ui, "TaskTitle": "Texts", "TaskDescription": "Texts", "TaskCount": 1,
        },
        OutputConfig={"S3OutputPath": loops_output(project)},
        RoleArn="arn:aws:iam::000000000000:role/reviews",
    )["FlowDefinitionArn"]  # fmt: skip
    return run, flow


def predict(run: ReviewRun, loops: int) -> None:
    """Write the run's predictions."""
    prediction = {"label": "good", "confidence": 0.5}
    lines = (
        {"id": f"text {n}", "source": f"A short text, number {n}.", "service": "custom", "prediction": prediction}
        for n in range(loops)
    )
    run.write_lines(lines, "predictions.jsonl")


def answer_all(server: TruegroundServer, flow: str) -> None:
    """Answer every loop, by the service's own library."""
    from trueground.service.engine import accounts, answering, leasing
    from trueground.service.store.database import Database

    with closing(Database(server.database)) as db:
        worker = accounts.get_worker(db, server.people[0][0]).id
        while lease := leasing.next_assignment(db, worker, flow.rpartition("/")[2]):
            answering.submit_answer(db, lease.id, worker, {"label": {"label": "bad"}}, 1.0)


async def wait(waiting: Sequence[dict[str, Any]]) -> None:
    """Wait for human loops, one trigger for each step of a run."""

    async def one(started: dict[str, Any]) -> None:
        async for event in started_loops_trigger(started).run():
            if "error" in event.payload:
                raise RuntimeError(event.payload["error"])

    await asyncio.gather(*map(one, waiting))


async def watch_without_end(waiting: Sequence[dict[str, Any]], meter: Meter) -> None:
    """Wait for what does not end; measured once each trigger has found what it waits for."""
    everybody = asyncio.create_task(wait(waiting))
    await asyncio.sleep(WARM_UP)
    with meter.part(f"{len(waiting)} runs wait"):
        await asyncio.wait([everybody], timeout=WATCHED)
    everybody.cancel()
    with suppress(asyncio.CancelledError):
        await everybody


def started_loops_trigger(started: dict[str, Any]) -> Any:
    """The trigger that HumanReviewSensor defers to."""
    from operators.triggers import StartedLoopsTrigger

    return StartedLoopsTrigger(connection="trueground", poll_interval=POLL, **started)


def start_one(client: Any, flow: str, number: int) -> dict[str, Any]:
    """A run with one human loop that nobody answers."""
    after = datetime.now(UTC) - timedelta(hours=1)
    prefix = loop_prefix("texts", f"night {number}")
    begun = start_loops(client, flow, [{"id": "one", "content": {"source": "A text."}}], prefix=prefix)
    return {"flow_definition": flow, "prefix": prefix, "created_after": after.isoformat(), "last": begun.last}


def connect(server: TruegroundServer) -> None:
    """The Airflow connection ``trueground``, as triggers find it."""
    keys = configparser.ConfigParser()
    keys.read(server.folder / "home/credentials")
    endpoint = {"endpoint_url": server.addresses[0]}
    extra = {"region_name": "us-east-1", "service_config": {"sagemaker": endpoint, "sagemaker-a2i-runtime": endpoint}}
    os.environ["AIRFLOW_CONN_TRUEGROUND"] = json.dumps(
        {
            "conn_type": "aws",
            "login": keys["trueground"]["aws_access_key_id"],
            "password": keys["trueground"]["aws_secret_access_key"],
            "extra": extra,
        }
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth of it")
    parser.add_argument("--loops", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    options = parser.parse_args()
    if options.quick:
        options.loops, options.runs = options.loops // 20, options.runs // 20
    tidy_when_stopped()
    sys.path.insert(0, str(ROOT / "plugins"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trueground-bench-")))
        database = stack.enter_context(postgresql(folder)) if options.store == "postgresql" else None
        server = stack.enter_context(
            trueground(folder / "one", 16, database.create("trueground") if database else None)
        )
        connect(server)
        run, flow = prepare(server, options.loops)
        meter = Meter(server, database)
        with meter.part("choose and write what people see"):
            choose_reviews(run.storage, run.uri("predictions.jsonl"), run.project.parsed_conditions(), run.folder)
            write_loops(run, "review")
        client = server.client("sagemaker-a2i-runtime", connections=STARTERS)
        prefix, after = loop_prefix("texts", run.name), datetime.now(UTC) - timedelta(hours=1)
        with meter.part(f"start {options.loops} human loops"):
            begun = start_loops(client, flow, run.read_lines("loops", "review.jsonl"), prefix=prefix)
        started = {
            "flow_definition": flow, "prefix": prefix, "created_after": after.isoformat(), "last": begun.last,
        }  # fmt: skip
        with meter.part("people answer all"):
            answer_all(server, flow)
        with meter.part("wait with one trigger"):
            asyncio.run(wait([started]))
        with meter.part("collect"):
            collect_reviews(run, "review", client, started)
        with meter.part("merge"):
            merge_reviews(run)
        other = ReviewRun(run.project, "another night", run.storage)
        predict(other, options.loops)
        choose_reviews(run.storage, other.uri("predictions.jsonl"), run.project.parsed_conditions(), other.folder)
        write_loops(other, "review")
        note_flow(other, "review", flow)
        start_loops(client, flow, other.read_lines("loops", "review.jsonl"), prefix=loop_prefix("texts", other.name))
        with meter.part("stop as many, early"):
            print(stop_reviews(other, client))
        waiting = [start_one(client, flow, number) for number in range(options.runs)]
        asyncio.run(watch_without_end(waiting, meter))
        share = meter.rows[-1]["own_cpu"] / meter.rows[-1]["seconds"]
        print(f"{options.runs} waiting runs: {100 * share:.0f} % of a core")
        if options.json:
            options.json.write_text(json.dumps(meter.rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
