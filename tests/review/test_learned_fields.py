"""What the reviews of a document project teach: from the files of its runs to what the next run reads."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from demo.documents import checks, review_project
from demo.invoices import write_invoices
from demo.reviewers import review_form
from trueground.documents.field_model import FieldModel, TooFewReviews
from trueground.errors import InputError
from trueground.models.data import in_test_split
from trueground.models.registry import ModelRecord, Registry
from trueground.models.retrain import promote
from trueground.review import learned_fields
from trueground.review.choose import choose_reviews
from trueground.review.learned_fields import compared, learn_fields, model_of, reviewed_fields
from trueground.review.predict import read_documents
from trueground.review.project import ReviewRun, load_review_project
from trueground.review.steps import write_loops
from trueground.storage import Storage


@dataclass
class Runs:
    """Runs of a project of invoices, reviewed by somebody who makes no mistake."""

    folder: Path
    truth: Path
    read: bytes | None = None
    """What the reader gave of the pages, so that not every run has to recognise them."""

    def write(self, **unsure: float) -> None:
        content = review_project("pages", "out", "annotators", checks(5 if unsure else 100, **unsure))
        (self.folder / "project.yaml").write_text(yaml.safe_dump(content))

    def run(self, name: str) -> ReviewRun:
        """As its first tasks leave it: documents read, and chosen from."""
        root = str(self.folder / "data")
        run = ReviewRun(
            load_review_project(self.folder / "project.yaml", data_root=root), name, Storage(data_root=root)
        )
        source: Any = run.project.source
        if self.read is not None and not run.storage.exists(run.uri("read.jsonl")):
            run.storage.write_bytes(run.uri("read.jsonl"), self.read)
        read_documents(run, source)
        choose_reviews(run.storage, run.uri("predictions.jsonl"), run.project.parsed_conditions(), run.folder)
        return run

    def review(self, run: ReviewRun) -> None:
        """People look at what was chosen."""
        write_loops(run, "review")
        known = json.loads(self.truth.read_text())
        run.write_lines(
            (
                {"id": line["id"], "loop": "l", "output": "o", "answers": [self.answer(line["content"], known)]}
                for line in run.read_lines("loops", "review.jsonl")
            ),
            "reviews",
            "review.jsonl",
        )

    def answer(self, content: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        said = review_form(content, known, 1.0, random.Random(0))
        return {"worker": "w", "submitted_at": "2026-01-01T00:00:00Z", "seconds": 2.0, "content": said}


def promoted(run: ReviewRun) -> ModelRecord:
    """What the run taught, in use."""
    record = learn_fields(run)
    assert record.better, record.reason
    promote(run)
    return record


def invoices(folder: Path, count: int) -> Runs:
    write_invoices(folder / "data" / "pages", folder / "truth.json", count, seed=7)
    found = Runs(folder, folder / "truth.json")
    found.write()
    return found


@pytest.fixture(scope="module")
def read_once(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    found = invoices(tmp_path_factory.mktemp("invoices"), 4)
    run = found.run("reading")
    found.read = run.storage.read_bytes(run.uri("read.jsonl"))
    return found


@pytest.fixture
def runs(tmp_path: Path, read_once: Runs, monkeypatch: pytest.MonkeyPatch) -> Runs:
    (tmp_path / "data").mkdir()
    assert read_once.read is not None
    names = [json.loads(line)["id"] for line in read_once.read.splitlines()]
    # Which documents are test documents follows from their names, and these from where the tests run.
    one = next(share for share in np.linspace(0, 1, 10_001) if sum(in_test_split(name, share) for name in names))
    monkeypatch.setattr(learned_fields, "TEST_SHARE", one)
    found = Runs(tmp_path, read_once.truth, read_once.read)
    found.write()
    return found


def test_the_next_run_reads_with_what_the_reviews_of_the_ones_before_taught(runs: Runs) -> None:
    first = runs.run("first")
    assert model_of(first) is None
    runs.review(first)
    learned = promoted(first)
    assert (learned.trained_on or 0) + (learned.tested_on or 0) == len(list(reviewed_fields(first))) > 30
    second = runs.run("second")
    model = FieldModel.from_bytes(second.storage.read_bytes(learned.model))
    as_read, predicted = (list(second.read_lines(name)) for name in ("read.jsonl", "predictions.jsonl"))
    assert as_read == list(first.read_lines("read.jsonl"))
    assert [line["prediction"] for line in predicted] == [model.apply(line["prediction"]) for line in as_read]


def test_a_run_that_is_repeated_reads_with_the_model_it_began_with(runs: Runs) -> None:
    first = runs.run("first")
    before = list(first.read_lines("predictions.jsonl"))
    runs.review(first)
    promoted(first)
    promoted(first)
    assert len(Registry(first.storage, first.project.output).records()) == 1
    assert list(runs.run("first").read_lines("predictions.jsonl")) == before


@pytest.mark.parametrize(
    ("before", "after"), [({"WordBlockConfidenceLessThan": 97}, {}), ({}, {"WordBlockConfidenceLessThan": 97})]
)
def test_what_people_were_shown_is_learned_from_however_the_conditions_change(
    runs: Runs, before: dict[str, float], after: dict[str, float]
) -> None:
    runs.write(**before)
    first = runs.run("first")
    runs.review(first)
    learned = list(reviewed_fields(first))
    assert (0 < len(learned) < 30) if before else len(learned) > 30
    runs.write(**after)
    root = str(runs.folder / "data")
    again = ReviewRun(load_review_project(runs.folder / "project.yaml", data_root=root), "first", first.storage)
    assert list(reviewed_fields(again)) == learned


def test_a_model_is_tested_on_documents_that_no_model_learns_from_and_one_that_is_worse_is_not_used(runs: Runs) -> None:
    first = runs.run("first")
    runs.review(first)
    record = promoted(first)
    tested = [field for document, field in reviewed_fields(first) if in_test_split(document, learned_fields.TEST_SHARE)]
    assert record.tested_on == len(tested) > 0 and record.champion is None
    assert record.lower is not None and record.accuracy is not None and record.upper is not None
    assert record.lower <= record.accuracy <= record.upper
    (version,) = record.data
    assert version.uri == first.uri("reviews", "review.jsonl")
    card = first.storage.read_text(record.card)
    assert f"**{record.accuracy:.1%}**" in card and "The first model." in card

    registry = Registry(first.storage, first.project.output)
    champion, comparison, better = compared(registry, "second", tested, np.zeros(len(tested), dtype=bool))
    assert (champion, comparison.champion_accuracy, better) == ("first", record.accuracy, record.accuracy == 0)
    assert compared(registry, "second", tested, np.ones(len(tested), dtype=bool))[2]
    assert not compared(registry, "second", [], np.ones(0, dtype=bool))[2], "nothing says that it is as good"
    first.storage.write_bytes(record.model, b"broken")
    assert compared(registry, "second", tested, np.zeros(len(tested), dtype=bool))[2], "nobody could use the other one"


def test_a_run_after_a_rollback_reads_with_the_earlier_model(runs: Runs) -> None:
    first = runs.run("first")
    runs.review(first)
    earlier = promoted(first)
    second = runs.run("second")
    runs.review(second)
    later = promoted(second)
    assert later.champion == earlier.name and len(later.data) == 2
    Registry(first.storage, first.project.output).roll_back(by="somebody", reason="to be sure")
    third = runs.run("third")
    assert third.read_json("fields-model.json") == {"model": earlier.model}
    model = FieldModel.from_bytes(first.storage.read_bytes(earlier.model))
    assert [line["prediction"] for line in third.read_lines("predictions.jsonl")] == [
        model.apply(line["prediction"]) for line in third.read_lines("read.jsonl")
    ]


def test_too_few_reviews_leave_the_model_that_was(runs: Runs) -> None:
    with pytest.raises(TooFewReviews, match="too few to learn from"):
        learn_fields(runs.run("first"))
    assert model_of(runs.run("second")) is None


def test_a_model_of_another_version_is_refused_by_name(runs: Runs) -> None:
    first = runs.run("first")
    runs.review(first)
    first.storage.write_bytes(promoted(first).model, b"something else")
    with pytest.raises(InputError, match="not a model file"):
        runs.run("second")


def test_a_page_that_is_no_image_is_set_aside_and_the_others_are_read(tmp_path: Path) -> None:
    runs = invoices(tmp_path, 2)
    (runs.folder / "data" / "pages" / "invoice-0000.jpg").write_bytes(b"%PDF-1.7")
    run = runs.run("first")
    (aside,) = run.read_lines("set-aside.jsonl")
    assert "an image of the format PDF, which browsers do not show" in aside["failure-reason"]
    assert len(list(run.read_lines("to-review.jsonl"))) == 1
