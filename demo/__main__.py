"""`python -m demo`: label the digits end to end and say how it went; `python -m demo up`: start, and stay up."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from demo.airflow import ROOT, LocalAirflow
from demo.digits import read_truth
from demo.people import SimulatedPeople
from demo.processes import StartError, own_terminal, run_program
from demo.progress import follow, result_of, trigger, wait_for_run
from demo.samples import DATA, TRUTH, make_teams, write_samples


def main() -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("run", "up"), default="run")
    parser.add_argument("--port", type=int, default=8080, help="the first port to try")
    options = parser.parse_args()
    if options.command == "run":
        return run_program(lambda: _run("run", options.port))
    with own_terminal():
        # Ctrl-C is how `make up` ends.
        return run_program(lambda: _run("up", options.port), stopped=0)


def _run(command: str, port: int) -> int:
    print("Preparing: 1,797 digits as pictures, Airflow's database, the labeling service's store …", flush=True)
    count = write_samples()
    airflow = LocalAirflow(ROOT / ".airflow", ROOT / ".trueground", DATA, port)
    make_teams(airflow)
    with airflow.running():
        print(f"Airflow:  {airflow.url}   user {airflow.user}   password {airflow.password}")
        print(f"Portal:   {airflow.portal}/   API for boto3 and the AWS CLI: {airflow.aws_endpoint}\n", flush=True)
        return stay_up(airflow) if command == "up" else label_digits(airflow, count)


def stay_up(airflow: LocalAirflow) -> int:
    """Wait until somebody presses Ctrl-C."""
    home = os.path.relpath(airflow.trueground_home)
    print("To label by hand: open Labeling in Airflow, press “Work as a worker”, then trigger label_digits.")
    print("Others sign in to the portal with an account of their own:")
    print(f"  TRUEGROUND_HOME={home} .venv/bin/trueground worker add ana --team annotators")
    print("Ctrl-C stops everything.", flush=True)
    while all(process.poll() is None for process in airflow.processes.values()):
        time.sleep(1)
    dead = [name for name, process in airflow.processes.items() if process.poll() is not None]
    raise StartError(f"{', '.join(dead)} ended; the log: {airflow.log_file(dead[0])}")


def label_digits(airflow: LocalAirflow, count: int) -> int:
    """One run of the labeling pipeline and the retraining it starts, with simulated people."""
    people = SimulatedPeople(airflow, TRUTH)
    people.start()
    try:
        since = datetime.now(UTC).isoformat()
        run = trigger(airflow, "label_digits", {"relabel_all": True})
        follow(airflow, "label_digits", run)
        published = result_of(airflow, "label_digits", run, "publish")
        retraining = wait_for_run(airflow, "retrain_digits", since)
        follow(airflow, "retrain_digits", retraining)
    finally:
        people.stop()
    return tell_results(published, read_truth(TRUTH), count)


def tell_results(published: dict[str, Any], truth: dict[str, str], count: int) -> int:
    """Print where the results are and how right they are, which only the demo can know."""
    lines = [json.loads(line) for line in _path(published["run_labels"]).read_text("utf-8").split("\n") if line]
    right = {True: [0, 0], False: [0, 0]}
    for line in lines:
        human = line["digit-metadata"]["human-annotated"] == "yes"
        right[human][1] += 1
        right[human][0] += line["digit-metadata"]["class-name"] == truth[line["source-ref"].rsplit("/", 1)[-1]]
    certificate = published["certificate"]
    bounds = {bound["name"]: bound["accuracy_bound"] for bound in certificate["strata"]}
    every = [sum(pair) for pair in zip(*right.values(), strict=True)]
    print("\nResults")
    for title, key in (
        ("manifest", "run_labels"),
        ("table", "table"),
        ("report", "report"),
        ("certificate", "certificate_uri"),
    ):
        print(f"  {title:12} {_path(published[key])}")
    print(
        f"\n  {count} digits; people saw {published['seen_by_people']} of them ({published['human_share']:.1%}) "
        f"and gave {published['answers']} answers.\n"
    )
    print(f"  {'labels':16}{'count':>7}{'right':>9}{'certified: at least':>22}")
    for name, (good, total), bound in (
        ("by people", right[True], bounds.get("human")),
        ("by machine", right[False], bounds.get("machine")),
        ("all", every, certificate["accuracy_bound"]),
    ):
        if total:
            print(
                f"  {name:16}{total:7}{good / total:9.2%}{bound:22.2%}"
                if bound is not None
                else f"  {name:16}{total:7}"
            )
    return 0


def _path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))


if __name__ == "__main__":
    sys.exit(main())
