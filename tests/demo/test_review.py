"""`make demo-review`, with few invoices: real OCR, the real service, reviewers over HTTP, the model."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from demo.invoices import invoice
from demo.reviewers import review_form
from trueground.documents.field_model import FieldModel

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_reviews_make_documents_right_and_the_model_saves_most_of_them(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "demo.review", "--folder", str(tmp_path), "--batches", "2", "--invoices", "6"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"batch (\d) +(\d+) +([\d.]+)% +([\d.]+)% +([\d.]+)%", done.stdout)
    assert [(number, fields) for number, fields, *_ in rows] == [("1", "60"), ("2", "60")]
    (read, final, seen), (read_later, final_later, seen_later) = (tuple(map(float, row[2:])) for row in rows)
    assert read < final >= 95 and read_later <= final_later >= 95
    assert seen_later < 0.7 * seen
    (run,) = (tmp_path / "data" / "invoices").iterdir()
    assert FieldModel.from_bytes((run / "models" / "batch-1.skops").read_bytes()).trained_on > 40
    assert len((run / "batch-1.jsonl").read_text().splitlines()) == 6
    left = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in left if str(tmp_path) in command]


def test_the_same_seed_gives_the_same_invoice_and_wear_makes_it_worse_only() -> None:
    image, fields = invoice("5")
    assert invoice("5") == (image, fields)
    clean, same = invoice("5", wear=0)
    assert same == fields and clean != image
    assert len(fields) == 10


def test_a_simulated_reviewer_corrects_what_is_misread_and_adds_what_is_missing() -> None:
    blocks = [
        {"id": "k", "text": "Dote:", "relationships": [{"type": "VALUE", "ids": ["v"]}]},
        {"id": "v", "text": "2O24", "relationships": []},
        {"id": "k2", "text": "Quantity", "relationships": [{"type": "VALUE", "ids": ["v2"]}]},
        {"id": "v2", "text": "7", "relationships": []},
    ]
    keys = [{"importantFormKey": "Total:", "importantFormKeyAliases": []}]
    task = {
        "source-ref": "file:///data/1.jpg",
        "selectedAiServiceResponse": {"blocks": blocks},
        "humanLoopContext": {"importantFormKeys": keys},
    }
    answer = review_form(task, {"1.jpg": {"Date": "2024", "Total": "9.50"}}, 1.0, random.Random(0))
    (said,) = answer.values()
    assert [block["text"] for block in said["blocks"]] == ["Date:", "2024", "Total:", "9.50"]
    assert [block["id"] for block in said["blocks"]][:2] == ["k", "v"]
    json.dumps(answer)
