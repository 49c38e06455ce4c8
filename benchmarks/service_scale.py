"""A labeling job over a million objects: how long until the first task, the next task's time, and the output.

The job is created over boto3 while the service runs. Then the service is stopped, the answers are written straight into
the store, and the service is started again to finish the job.

    python -m benchmarks.service_scale [--objects N] [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.service import PEOPLE, measure, quantile
from benchmarks.service_processes import PeakMemory, cpu_seconds, load, memory, tidy_when_stopped
from benchmarks.service_trueground import TruegroundServer, trueground, write_inputs

OBJECTS = 1_000_000
QUICK = 20_000
FEW = 1_000
FILES = 50_000
"""Objects whose answer files are still to be written at the end. A service that runs writes them while people work."""
ROUNDS = 5
TASKS = 100
"""Next tasks that one annotator asks for in each round, in the small job and in the large one by turns."""
# Every object without an assignment gets one, answered by one of the people in turn.
ANSWER = """
INSERT INTO assignments (id, job_id, position, worker_id, state, leased_at, expires_at)
SELECT o.job_id || '-bench' || o.position, o.job_id, o.position, w.id, 'submitted', :then, :then
FROM data_objects AS o
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM workers) AS w ON w.number = o.position % :people
WHERE o.job_id = :job AND o.state IN ('waiting', 'started')
  AND NOT EXISTS (SELECT 1 FROM assignments AS a WHERE a.job_id = o.job_id AND a.position = o.position);
UPDATE assignments SET state = 'submitted' WHERE job_id = :job;
INSERT INTO answers (assignment_id, revision, job_id, position, worker_id, content, seconds, accepted_at, submitted_at)
SELECT id, 0, job_id, position, worker_id,
  CASE position % 3 WHEN 0 THEN '{"category": {"label": "bad"}}' ELSE '{"category": {"label": "good"}}' END,
  1.0, :then, :then
FROM assignments AS a WHERE job_id = :job AND NOT EXISTS (SELECT 1 FROM answers AS g WHERE g.assignment_id = a.id);
UPDATE data_objects SET state = CASE WHEN position < :files THEN 'answered' ELSE 'written' END, answers = 1, free = 0
WHERE job_id = :job AND state IN ('waiting', 'started')
"""


def create(server: TruegroundServer, objects: int) -> tuple[str, dict[str, Any]]:
    """Create the job; gives its name, and what it took until somebody had the first task."""
    job = f"texts-{objects}"
    request = write_inputs(server.folder, job, objects, 1)
    idle, start = memory(server.pids[0]), time.perf_counter()
    with PeakMemory(server.pids[0]) as peak:
        server.client().create_labeling_job(**request)
        created = time.perf_counter() - start
        found = next_tasks(server, job, 1)
    return job, {
        "objects": objects,
        "created_seconds": created,
        "first_task_ms": 1000 * found[0],
        "idle_mb": idle / 1e6,
        "above_idle_mb": (peak.bytes - idle) / 1e6,
    }


def next_tasks(server: TruegroundServer, job: str, tasks: int) -> list[float]:
    """Seconds of each next task of one person, who answers what they get."""
    plan = {
        "system": "trueground", "addresses": server.addresses, "people": server.people[:1], "job": job,
        "workers": 1, "seconds": tasks / 50, "rate": 100.0,
    }  # fmt: skip
    times: list[float] = load(plan, server.pids, [])["next"]
    return times


def compare_next(server: TruegroundServer, jobs: dict[int, str]) -> dict[str, Any]:
    """Next task's time in jobs of different sizes, by turns, so that other load on the machine meets both."""
    times: dict[int, list[float]] = {objects: [] for objects in jobs}
    for _ in range(ROUNDS):
        for objects, job in jobs.items():
            times[objects] += next_tasks(server, job, TASKS)
    found: dict[str, Any] = {}
    for objects, seconds in times.items():
        found[f"next_50_ms_at_{objects}"] = 1000 * quantile(seconds, 50)
        found[f"next_99_ms_at_{objects}"] = 1000 * quantile(seconds, 99)
    return found


def compare_cpu(server: TruegroundServer, jobs: dict[int, str]) -> dict[str, Any]:
    """CPU milliseconds of a task with its answer in jobs of different sizes, everybody working."""
    found: dict[str, Any] = {}
    for objects, job in jobs.items():
        row = measure(server, None, job, workers=1, seconds=3, ends=job == jobs[FEW])
        found[f"cpu_ms_an_answer_at_{objects}"] = 1000 / row["per_cpu_second"] if row["answers"] else None
    return found


def answer_all(database: str, job: str) -> int:
    """Answer what nobody has answered, straight in the store of a stopped service; returns their number."""
    with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as connection:
        # Only quick: what is measured comes later, in the service's own connections.
        connection.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -500000; PRAGMA temp_store = MEMORY")
        (number,) = connection.execute("SELECT id FROM labeling_jobs WHERE name = ?", (job,)).fetchone()
        values: dict[str, Any] = {
            "job": number,
            "people": PEOPLE,
            "files": FILES,
            "then": time.strftime("%Y-%m-%d %H:%M:%S.000000", time.gmtime()),
        }
        for statement in ANSWER.split(";"):
            connection.execute(statement, {name: value for name, value in values.items() if f":{name}" in statement})
        connection.commit()
        (count,) = connection.execute("SELECT count(*) FROM answers WHERE job_id = ?", (number,)).fetchone()
        return int(count)


def finish(server: TruegroundServer, job: str) -> dict[str, Any]:
    """Wait for the end of a job whose answers are all there."""
    client, output = server.client(), server.folder / "data/out" / job
    idle, start, before = memory(server.pids[0]), time.perf_counter(), cpu_seconds(server.pids)
    files_written, files_cpu = 0.0, 0.0
    with PeakMemory(server.pids[0]) as peak:
        while (status := client.describe_labeling_job(LabelingJobName=job)["LabelingJobStatus"]) == "InProgress":
            if not files_written and (output / "annotations/consolidated-annotation").exists():
                files_written, files_cpu = time.perf_counter() - start, cpu_seconds(server.pids) - before
            time.sleep(0.5)
    seconds = time.perf_counter() - start
    with (output / "manifests/output/output.manifest").open() as manifest:
        labels = sum('"category":' in line for line in manifest)
    return {
        "status": status,
        "labels": labels,
        "answer_files": min(FILES, labels),
        "answer_files_seconds": files_written,
        "answer_files_cpu_seconds": files_cpu,
        "labels_seconds": seconds - files_written,
        "labels_cpu_seconds": cpu_seconds(server.pids) - before - files_cpu,
        "output_above_idle_mb": (peak.bytes - idle) / 1e6,
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--objects", type=int, default=None)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} objects")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    options = parser.parse_args()
    tidy_when_stopped()
    objects = options.objects or (QUICK if options.quick else OBJECTS)
    folder = Path(tempfile.mkdtemp(prefix="trueground-scale-"))
    try:
        with trueground(folder, PEOPLE) as server:
            large, found = create(server, objects)
            print(f"created: {found}", flush=True)
            jobs = {FEW: server.create_job(FEW, 1), objects: large}
            found |= compare_next(server, jobs)
            found |= compare_cpu(server, jobs)
        answers = answer_all(server.database, large)
        with trueground(folder, PEOPLE) as server:
            found |= finish(server, large)
        for name, value in found.items():
            print(f"{name:32} {value if not isinstance(value, float) else round(value, 2)}")
        print(f"{os.cpu_count()} cores; load average at the end {os.getloadavg()[0]:.1f}")
        if options.json:
            options.json.write_text(json.dumps(found, indent=1) + "\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if found["labels"] == answers == objects else 1


if __name__ == "__main__":
    sys.exit(main())
