"""`make demo-review`: read invoices, have people review what was read unsurely, and learn from them.

Batch after batch of generated invoices is read by OCR. Of the first batch people see every field. A model of fields,
trained anew on all reviews so far, then mends what was read and says which fields still need people, by A2I's
activation conditions. The reviewers are simulated, as HTTP clients of the portal. Only they and the last lines of the
demo know what is printed on the invoices.
"""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo.airflow import ROOT
from demo.documents import Document, asked, conditions, fields_of
from demo.invoices import write_invoices
from demo.people import Person, make_accounts
from demo.processes import StartError, interrupt
from demo.reviewers import review_form
from demo.service import LocalService
from trueground import simulation
from trueground.documents import read_document
from trueground.documents.field_model import FieldModel
from trueground.documents.values import plain
from trueground.errors import InputError
from trueground.manifests.write import encoded
from trueground.review.conditions import Conditions
from trueground.review.forms import ReviewedField, final_fields, form_input, reviewed_fields
from trueground.review.loops import content_name, list_loops, loop_name, loop_prefix, start_loops
from trueground.review.textract import form_fields
from trueground.storage import Storage, file_uri

TEAM = "document-reviewers"
PEOPLE = [
    Person("rosa", "Rosa", TEAM, 0.995),
    Person("sami", "Sami", TEAM, 0.99),
    Person("tove", "Tove", TEAM, 0.98),
]
TEMPLATE = ROOT / "include/templates/textract-analyze-document/template.liquid.html"
SAMPLE = 5.0
"""Percent of the documents that people see whole once there is a model: nothing else shows its sure mistakes."""
LEAST_CHANCE = 97.0
"""A field that is right with less chance than this by the model, of 100, is reviewed."""
LEAST_WORD = 99.0
"""What the model is compared with: reviewing the fields with a word that the reader was less sure of, of 100."""
WAIT_LIMIT = 300.0
"""Seconds for the reviews of a batch."""


def main() -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo.review", description="read invoices and learn from reviews")
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument("--invoices", type=int, default=40, help="invoices of a batch")
    parser.add_argument("--seed", type=int, default=7, help="decides what they say and how they are worn")
    parser.add_argument("--folder", type=Path, default=ROOT, help="where data/ and .trueground/ are")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupt)
    run = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    service = LocalService(options.folder / ".trueground" / "review", options.folder / "data")
    folder, truth_file = options.folder / "data" / "invoices" / run, service.settings.home / f"{run}-truth.json"
    count = options.batches * options.invoices
    print(f"Preparing: {count} invoices with noise, stamps and crooked scans, and the labeling service …", flush=True)
    try:
        write_invoices(folder / "pages", truth_file, count, seed=options.seed)
        truth = json.loads(truth_file.read_text("utf-8"))
        with service.running(), reviewers(service, truth):
            print(f"Portal: {service.url}/\n", flush=True)
            batches = list(ReviewLoop(service, folder).batches(options.batches, options.invoices))
        tell_results(batches, truth)
        print(f"\n  Pages, reviews, final fields and models: {folder}")
    except (StartError, TimeoutError, InputError) as error:
        print(f"\nfailed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped.", file=sys.stderr)
        return 130
    return 0


@contextmanager
def reviewers(service: LocalService, truth: Mapping[str, Any]) -> Iterator[None]:
    """People at work inside the block."""
    password, stop = secrets.token_urlsafe(12), threading.Event()
    db = service.open_store()
    try:
        make_accounts(db, service.settings, PEOPLE, password)
    finally:
        db.close()
    workers = [
        simulation.SimulatedWorker(
            service.url, person.username, password, truth, person.accuracy, 0.05, seed=7, respond=review_form
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


class ReviewLoop:
    """Batches of documents: read, chosen from, reviewed, learned from.

    Args:
        service: where people review them.
        folder: where their pages are; takes what comes of them.
    """

    def __init__(self, service: LocalService, folder: Path) -> None:
        self.folder = folder
        self.storage = Storage(data_root=str(service.settings.data_root))
        self.loops = service.client("sagemaker-a2i-runtime")
        self.flow = make_flow_definition(service, folder)
        self.model: FieldModel | None = None
        self.reviewed: list[ReviewedField] = []

    def batches(self, count: int, size: int) -> Iterator[list[Document]]:
        """Each batch, once it is reviewed and learned from."""
        pages = sorted((self.folder / "pages").glob("*.jpg"))
        for number in range(1, count + 1):
            # Nothing is known before the first reviews, so there people see everything.
            how = conditions(SAMPLE, KeyValueBlockConfidenceLessThan=LEAST_CHANCE) if self.model else conditions(100)
            start = time.monotonic()
            batch = [self.read(page, how) for page in pages[(number - 1) * size : number * size]]
            print(f"batch {number}  read {len(batch)} invoices in {time.monotonic() - start:.0f} s", flush=True)
            start = time.monotonic()
            chosen = [document for document in batch if document.decision.needs_review]
            self.review(chosen, f"batch-{number}")
            fields = sum(asked(document.decision) for document in chosen)
            print(
                f"         people looked at {fields} fields of {len(chosen)} invoices in "
                f"{time.monotonic() - start:.0f} s",
                flush=True,
            )
            self.learn(self.folder / "models" / f"batch-{number}.skops")
            yield batch

    def read(self, page: Path, how: Conditions) -> Document:
        """A page as it was read, mended by the model where there is one."""
        response = read_document(page.read_bytes())
        prediction = self.model.apply(response) if self.model else response
        line = {"id": page.name, "service": "textract", "source-ref": file_uri(page), "prediction": prediction}
        return Document(response, line, how.evaluate(line), fields_of(prediction))

    def review(self, chosen: Sequence[Document], step: str) -> None:
        """Have people review documents, wait for them, and take over what they say."""
        prefix = loop_prefix("invoices", self.folder.name, step)
        inputs = [{"id": each.name, "content": form_input(each.line, each.decision)} for each in chosen]
        start_loops(self.loops, self.flow, inputs, prefix=prefix)
        self.wait_for(prefix)
        results = []
        for document in chosen:
            loop = self.loops.describe_human_loop(HumanLoopName=loop_name(prefix, document.name))
            answer = json.loads(self.storage.read_bytes(loop["HumanLoopOutput"]["OutputS3Uri"]))["humanAnswers"][0]
            selected, content = document.decision.selected, answer["answerContent"]
            document.final = final_fields(document.line, selected, content)
            # The model learns from what the reader gave, not from what an earlier model made of it.
            as_read = {field.block_ids[0]: field for field in form_fields(document.reader)}
            self.reviewed += reviewed_fields([as_read[field.block_ids[0]] for field in selected], content)
            results.append({"id": document.name, "worker": answer["workerId"], "fields": dict(document.final)})
        content = b"".join(encoded(result) + b"\n" for result in results)
        self.storage.write_bytes(file_uri(self.folder / f"{step}.jsonl"), content)

    def wait_for(self, prefix: str) -> None:
        """Wait until no loop of a prefix is in progress. Raises ``TimeoutError``."""
        deadline = time.monotonic() + WAIT_LIMIT
        while any(loop.status == "InProgress" for loop in list_loops(self.loops, self.flow, prefix=prefix)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"reviews are still open after {WAIT_LIMIT:.0f} s")
            time.sleep(0.5)

    def learn(self, file: Path) -> None:
        """Train the model anew on all reviews so far; with too few, the one before stays."""
        try:
            self.model = FieldModel().fit(self.reviewed)
        except InputError as error:
            print(f"         the model of fields was not trained: {error}", flush=True)
            return
        self.storage.write_bytes(file_uri(file), self.model.to_bytes())
        print(f"         trained the model of fields on {self.model.trained_on} reviewed fields", flush=True)


def make_flow_definition(service: LocalService, folder: Path) -> str:
    """The review page and who sees it; returns the flow definition's ARN."""
    client, template = service.client(), TEMPLATE.read_text("utf-8")
    name = content_name("invoices", [template, str(folder)])
    ui = client.create_human_task_ui(HumanTaskUiName=name, UiTemplate={"Content": template})["HumanTaskUiArn"]
    team = client.describe_workteam(WorkteamName=TEAM)["Workteam"]["WorkteamArn"]
    arn: str = client.create_flow_definition(
        FlowDefinitionName=name,
        HumanLoopConfig={
            "WorkteamArn": team,
            "HumanTaskUiArn": ui,
            "TaskTitle": "Check what was read from an invoice",
            "TaskDescription": "Correct the fields that do not match the page.",
            "TaskCount": 1,
        },
        OutputConfig={"S3OutputPath": file_uri(folder / "reviews")},
        RoleArn=f"arn:aws:iam::{service.settings.account}:role/labeling",
    )["FlowDefinitionArn"]
    return arn


def tell_results(batches: Sequence[Sequence[Document]], truth: Mapping[str, Mapping[str, str]]) -> None:
    """Print how right the fields are, which only the demo can know."""
    print(f"\n  {'':10}{'fields':>8}{'right as read':>16}{'right in the end':>18}{'seen by people':>16}")
    for number, batch in enumerate(batches, 1):
        total = sum(len(truth[document.name]) for document in batch)
        read = sum(_right(document.as_read, truth[document.name]) for document in batch)
        final = sum(_right(document.final, truth[document.name]) for document in batch)
        seen = sum(asked(document.decision) for document in batch)
        print(f"  batch {number:<4}{total:8}{read / total:16.1%}{final / total:18.1%}{seen / total:16.1%}")
    later = [document for batch in batches[1:] for document in batch]
    if later:
        total = sum(len(truth[document.name]) for document in later)
        seen, right = _without_model(later, truth)
        print(
            f"\n  Without the model, by the reader's confidence alone (reviewed below {LEAST_WORD:.0f}), people would\n"
            f"  have seen {seen / total:.1%} of the later batches' fields; {right / total:.1%} would be right at best."
        )


def _without_model(documents: Sequence[Document], truth: Mapping[str, Mapping[str, str]]) -> tuple[int, int]:
    """By the reader's confidences alone, how many fields people would have seen, and how many would be right if each
    review were right.
    """
    by_words, seen, right = conditions(SAMPLE, WordBlockConfidenceLessThan=LEAST_WORD), 0, 0
    for document in documents:
        decision = by_words.evaluate({**document.line, "prediction": document.reader})
        seen += asked(decision)
        unseen = {plain(field.key): field.value for field in form_fields(document.reader)
                  if field not in decision.selected}  # fmt: skip
        # What people saw, or were asked for because it was missing, would be right.
        right += sum(unseen.get(plain(key), value) == value for key, value in truth[document.name].items())
    return seen, right


def _right(fields: Sequence[tuple[str, str]], truth: Mapping[str, str]) -> int:
    found = {plain(key): value for key, value in fields}
    return sum(found.get(plain(key)) == value for key, value in truth.items())


if __name__ == "__main__":
    sys.exit(main())
