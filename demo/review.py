"""`make demo-review`: read invoices, have people review what was read unsurely, and learn from them.

Airflow runs the DAG `review_invoices` once for each batch of generated invoices. They are read by OCR, activation
conditions say which fields people see, and simulated reviewers, HTTP clients of the portal, correct them. Of the first
batch they see every field. From all reviews so far a model of fields is trained, which mends the next batch and says
how likely each of its fields is right; people then see those that are unlikely. Only the reviewers and the last lines
of the demo know what is printed on the invoices.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from demo.airflow import ROOT, LocalAirflow
from demo.documents import Document, asked_fields, checks, documents, review_project
from demo.invoices import write_invoices
from demo.people import Person, make_accounts
from demo.processes import run_program
from demo.progress import follow, trigger
from demo.reviewers import review_form
from trueground import simulation
from trueground.documents.values import plain
from trueground.review.conditions import parse_conditions
from trueground.review.project import load_review_project
from trueground.review.textract import form_fields
from trueground.service.settings import ServiceSettings
from trueground.storage import Storage

DAG = "review_invoices"
TEAM = "document-reviewers"
PEOPLE = [
    Person("rosa", "Rosa", TEAM, 0.995),
    Person("sami", "Sami", TEAM, 0.99),
    Person("tove", "Tove", TEAM, 0.98),
]
SAMPLE = 5.0
"""Percent of the documents that people see whole once there is a model: nothing else shows its sure mistakes."""
LEAST_CHANCE = 97.0
"""A field that is right with less chance than this by the model, of 100, is reviewed."""
LEAST_WORD = 99.0
"""What the model is compared with: reviewing the fields with a word that the reader was less sure of, of 100."""


def main() -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo.review", description="read invoices and learn from reviews")
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument("--invoices", type=int, default=40, help="invoices of a batch")
    parser.add_argument("--seed", type=int, default=7, help="decides what they say and how they are worn")
    parser.add_argument("--folder", type=Path, default=ROOT, help="where data/, .airflow/ and .trueground/ are")
    parser.add_argument("--port", type=int, default=8080, help="the first port to try")
    options = parser.parse_args()
    return run_program(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    name = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    home, data = options.folder / ".trueground" / "review", options.folder / "data"
    count = options.batches * options.invoices
    print(f"Preparing: {count} invoices with noise, stamps and crooked scans, Airflow's database …", flush=True)
    demo = ReviewDemo(data, Path("invoices") / name, home / "projects" / "invoices.yaml")
    truth_file = home / f"{name}-truth.json"
    for batch in range(options.batches):
        first = batch * options.invoices
        write_invoices(demo.pages(batch), truth_file, options.invoices, seed=options.seed, start=first)
    truth = json.loads(truth_file.read_text("utf-8"))
    demo.write_project(0)
    projects = {"TRUEGROUND_PROJECTS": str(demo.project_file.parent)}
    airflow = LocalAirflow(options.folder / ".airflow" / "review", home, data, options.port, projects)
    with airflow.running(), reviewers(airflow, truth):
        print(f"Airflow:  {airflow.url}   user {airflow.user}   password {airflow.password}")
        print(f"Portal:   {airflow.portal}/\n", flush=True)
        batches = [demo.run(airflow, batch) for batch in range(options.batches)]
    tell_results(batches, truth)
    print(f"\n  Pages, reviews, tables and models: {demo.folder}")
    return 0


class ReviewDemo:
    """A review project and its batches.

    Args:
        data: the data root.
        place: the folder of this demo's files, from the data root.
        project_file: the project's YAML.
    """

    def __init__(self, data: Path, place: Path, project_file: Path) -> None:
        self.data, self.place, self.project_file = data, place, project_file

    @property
    def folder(self) -> Path:
        """Where this demo's files are."""
        return self.data / self.place

    def pages(self, batch: int) -> Path:
        """The folder of a batch's invoices."""
        return self.folder / f"batch-{batch + 1}"

    def write_project(self, batch: int) -> None:
        """Write the project for a batch. Nothing is known before the first reviews: there people see everything."""
        conditions = checks(SAMPLE, KeyValueBlockConfidenceLessThan=LEAST_CHANCE) if batch else checks(100)
        pages, output = str(self.place / self.pages(batch).name), str(self.place / "reviews")
        self.project_file.parent.mkdir(parents=True, exist_ok=True)
        self.project_file.write_text(yaml.safe_dump(review_project(pages, output, TEAM, conditions)))

    def run(self, airflow: LocalAirflow, batch: int) -> list[Document]:
        """Run the DAG on a batch, and read what came of it."""
        self.write_project(batch)
        print(f"Batch {batch + 1}", flush=True)
        run = trigger(airflow, DAG, {})
        follow(airflow, DAG, run)
        project = load_review_project(self.project_file, data_root=str(self.data))
        return list(documents(project, run, Storage(data_root=str(self.data))))


@contextmanager
def reviewers(airflow: LocalAirflow, truth: Mapping[str, Any]) -> Iterator[None]:
    """People at work inside the block."""
    password, stop = secrets.token_urlsafe(12), threading.Event()
    db = airflow.open_store()
    try:
        make_accounts(db, ServiceSettings(home=airflow.trueground_home), PEOPLE, password)
    finally:
        db.close()
    workers = [
        simulation.SimulatedWorker(
            airflow.portal, person.username, password, truth, person.accuracy, 0.05, seed=7, respond=review_form
        )
        for person in PEOPLE
    ]
    thread = threading.Thread(target=simulation.run, args=(workers,), kwargs={"stop": stop, "say": lambda _: None})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def tell_results(batches: Sequence[Sequence[Document]], truth: Mapping[str, Mapping[str, str]]) -> None:
    """Print how right the fields are, which only the demo can know."""
    print(f"\n  {'':10}{'fields':>8}{'right as read':>16}{'right in the end':>18}{'seen by people':>16}")
    for number, batch in enumerate(batches, 1):
        total = sum(len(truth[document.name]) for document in batch)
        read = sum(_right(document.as_read, truth[document.name]) for document in batch)
        final = sum(_right(document.final, truth[document.name]) for document in batch)
        seen = sum(document.asked for document in batch)
        print(f"  batch {number:<4}{total:8}{read / total:16.1%}{final / total:18.1%}{seen / total:16.1%}")
    later = [document for batch in batches[1:] for document in batch]
    if later:
        total = sum(len(truth[document.name]) for document in later)
        seen, right = _without_model(later, truth)
        print(
            f"\n  Without the model, by the reader's confidence alone (reviewed below {LEAST_WORD:.0f}), people would\n"
            f"  have seen {seen / total:.1%} of the later batches' fields; {right / total:.1%} would be right at best."
        )


def _without_model(batch: Sequence[Document], truth: Mapping[str, Mapping[str, str]]) -> tuple[int, int]:
    """By the reader's confidences alone, how many fields people would have seen, and how many would be right if each
    review were right.
    """
    by_words = {"Conditions": [{"Or": checks(SAMPLE, WordBlockConfidenceLessThan=LEAST_WORD)}]}
    conditions, seen, right = parse_conditions(by_words, service="textract"), 0, 0
    for document in batch:
        decision = conditions.evaluate(document.line)
        seen += asked_fields(decision)
        unseen = {plain(field.key): field.value for field in form_fields(document.line["prediction"])
                  if field not in decision.selected}  # fmt: skip
        # What people saw, or were asked for because it was missing, would be right.
        right += sum(unseen.get(plain(key), value) == value for key, value in truth[document.name].items())
    return seen, right


def _right(fields: Sequence[Sequence[str]], truth: Mapping[str, str]) -> int:
    found = {plain(key): value for key, value in fields}
    return sum(found.get(plain(key)) == value for key, value in truth.items())


if __name__ == "__main__":
    sys.exit(main())
