"""The labeling service and Label Studio side by side: annotations per CPU second of the server, and waiting times.

Sixteen annotators get a task, answer it, and get the next one. CPU time is user and system time of all the server's
processes, and with PostgreSQL also that of a PostgreSQL server of the benchmark's own; the annotators are another
process. CPU time is what to compare: seconds by the clock also tell how busy the machine was with something else.

    python -m benchmarks.service [--quick] [--skip-label-studio] [--store sqlite|postgresql] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.service_label_studio import LabelStudioServer, label_studio
from benchmarks.service_processes import PostgreSQL, Unavailable, cpu_seconds, load, postgresql, tidy_when_stopped
from benchmarks.service_trueground import TruegroundServer, trueground

PEOPLE = 16
OBJECTS = 2000
RATE = 200.0
"""Requests a second, in the open loop of our service."""
OURS, THEIRS = "trueground", "label-studio"
FAULTS = ("over_assigned", "same_worker_twice", "failed")
"""What must not happen on our side."""
_SYSTEMS = {TruegroundServer: OURS, LabelStudioServer: THEIRS}

Server = TruegroundServer | LabelStudioServer


@dataclass(frozen=True)
class Lengths:
    """How long is measured."""

    repeats: int
    objects: int
    seconds: float
    """Of a closed loop of Label Studio, and of every open loop."""


LONG = Lengths(repeats=3, objects=OBJECTS, seconds=60)
QUICK = Lengths(repeats=1, objects=400, seconds=10)


def measure(
    server: Server,
    database: PostgreSQL | None,
    job: str,
    *,
    workers: int,
    seconds: float,
    rate: float | None = None,
    ends: bool = True,
) -> dict[str, Any]:
    """Have the annotators work on a job; gives a row of the table. ``ends``: the time suffices for all of the job."""
    system = _SYSTEMS[type(server)]
    plan = {
        "system": system, "addresses": server.addresses, "people": server.people, "job": job,
        "workers": workers, "seconds": seconds, "rate": rate,
    }  # fmt: skip
    found = load(plan, server.pids, [database.pid] if database else [])
    both = found["server_cpu"] + found["database_cpu"]
    after = 0.0
    if isinstance(server, TruegroundServer) and rate is None and ends:
        after = _finishing_cpu(server, database, job)
    row = {
        "system": system,
        "store": "postgresql" if database else "sqlite",
        "processes": len(server.pids),
        "workers": workers,
        "rate": rate,
        "answers": found["answers"],
        "per_cpu_second": found["answers"] / found["server_cpu"],
        "per_cpu_second_with_database": found["answers"] / both,
        "per_cpu_second_to_the_end": found["answers"] / (both + after),
        "per_second": found["answers"] / found["seconds"],
        **{f"{step}_{part}_ms": 1000 * quantile(found[step], part) for step in ("next", "submit") for part in (50, 99)},
        "over_assigned": found["over_assigned"],
        "same_worker_twice": found["same_worker_twice"],
        "failed": found["failed"],
        "objects": found["objects"],
        "busy_others": os.getloadavg()[0],
    }
    # One by one, for those who wait, and for those who stop waiting.
    print(line(row), flush=True)
    if found["failure"]:
        print(f"  failed requests: {found['failed']}, the first: {found['failure']}", flush=True)
    return row


def _finishing_cpu(server: TruegroundServer, database: PostgreSQL | None, job: str) -> float:
    """CPU seconds of what our service does when nobody waits any more: the answers' files, labels and the manifest.

    Label Studio has nothing like it but an export, which is not measured.
    """
    pids = [*server.pids, *([database.pid] if database else [])]
    before = cpu_seconds(pids)
    server.wait_for_the_end(job)
    return cpu_seconds(pids) - before


def quantile(values: list[float], percent: int) -> float:
    """Of measured times; 0 where there are none."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)] if values else 0.0


def measure_ours(folder: Path, database: PostgreSQL | None, lengths: Lengths) -> list[dict[str, Any]]:
    """Everything that is measured of our service on one store."""
    rows = []
    url = database.create("trueground") if database else None
    with trueground(folder / "one", PEOPLE, url) as server:
        for workers in [1] * lengths.repeats + [2]:
            job = server.create_job(lengths.objects, workers)
            rows.append(measure(server, database, job, workers=workers, seconds=600))
        job = server.create_job(int(RATE * lengths.seconds), 1)
        rows.append(measure(server, database, job, workers=1, seconds=lengths.seconds, rate=RATE))
    if database:
        with trueground(folder / "three", PEOPLE, database.create("several"), processes=3) as server:
            job = server.create_job(lengths.objects, 2)
            rows.append(measure(server, database, job, workers=2, seconds=600))
    return rows


def measure_theirs(folder: Path, database: PostgreSQL | None, lengths: Lengths) -> list[dict[str, Any]]:
    """The same of Label Studio, as long as it takes; at a rate that it can bear."""
    rows = []
    with label_studio(folder, PEOPLE, database.create("label_studio") if database else None) as server:
        # Its processes load their code with the first requests.
        measure(server, database, server.create_job(100, 1), workers=1, seconds=min(10.0, lengths.seconds))
        for workers in (1, 2):
            job = server.create_job(lengths.objects, workers)
            rows.append(measure(server, database, job, workers=workers, seconds=lengths.seconds))
        bearable = rows[0]["per_second"]  # two requests an annotation: half of what it can do
        job = server.create_job(lengths.objects, 1)
        rows.append(measure(server, database, job, workers=1, seconds=lengths.seconds, rate=bearable))
    return rows


HEAD = (
    "system        store       processes  N  requests/s  answers  per CPU s  with the db  to the end  per s"
    "   next p50/p99 ms  submit p50/p99 ms  over-assigned  twice  failed"
)


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    rate = f"{row['rate']:.0f}" if row["rate"] else "closed"
    return (
        f"{row['system']:12}  {row['store']:10}  {row['processes']:9}  {row['workers']}  {rate:>10}"
        f"  {row['answers']:7}  {row['per_cpu_second']:9.1f}  {row['per_cpu_second_with_database']:11.1f}"
        f"  {row['per_cpu_second_to_the_end']:10.1f}"
        f"  {row['per_second']:5.0f}  {row['next_50_ms']:8.1f} / {row['next_99_ms']:5.1f}"
        f"  {row['submit_50_ms']:9.1f} / {row['submit_99_ms']:5.1f}"
        f"  {row['over_assigned']:4} of {row['objects']:<5}  {row['same_worker_twice']:5}  {row['failed']:6}"
    )


def ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours by theirs: annotations per CPU second with one worker an object, the median of the repeats."""
    found = []
    for store in ("sqlite", "postgresql"):
        for counted in ("per_cpu_second", "per_cpu_second_with_database"):
            sides = [
                [
                    row[counted] for row in rows
                    if (row["system"], row["store"], row["workers"], row["rate"]) == (system, store, 1, None)
                ]
                for system in (OURS, THEIRS)
            ]  # fmt: skip
            if all(sides) and (store, counted) != ("sqlite", "per_cpu_second_with_database"):
                ratio = statistics.median(sides[0]) / statistics.median(sides[1])
                found.append({"store": store, "counted": counted, "ratio": ratio})
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer objects, shorter")
    parser.add_argument("--skip-label-studio", action="store_true")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), help="only this one")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    options = parser.parse_args()
    tidy_when_stopped()
    lengths = QUICK if options.quick else LONG
    rows: list[dict[str, Any]] = []
    for store in [options.store] if options.store else ["sqlite", "postgresql"]:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trueground-bench-")))
            try:
                database = stack.enter_context(postgresql(folder)) if store == "postgresql" else None
                rows += measure_ours(folder, database, lengths)
                if not options.skip_label_studio:
                    rows += measure_theirs(folder, database, lengths)
            except Unavailable as missing:
                print(f"skipped on {store}: {missing}")
    print("\n".join(["", HEAD, *map(line, rows), ""]))
    for one in ratios(rows):
        what = "CPU of server and database" if one["counted"].endswith("database") else "CPU of the server"
        print(
            f"trueground / Label Studio on {one['store']}, {what}: {one['ratio']:.0f} times the annotations per second"
        )
    print(f"{os.cpu_count()} cores; load average at the end {os.getloadavg()[0]:.1f}: compare CPU time, not the clock")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "ratios": ratios(rows)}, indent=1) + "\n")
    wrong = [row for row in rows if row["system"] == OURS and any(row[fault] for fault in FAULTS)]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
