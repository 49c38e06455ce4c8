"""`make demo-review`, with few invoices: real OCR, a real Airflow, reviewers over HTTP, the model."""

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
from trueground.models.registry import Registry
from trueground.storage import Storage, file_uri

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.airflow
def test_the_dag_of_a_document_project_has_people_correct_what_was_read_and_learns_from_them(tmp_path: Path) -> None:
    options = ["--folder", str(tmp_path), "--batches", "1", "--invoices", "6", "--port", "26080"]
    done = subprocess.run(
        [sys.executable, "-m", "demo.review", *options], cwd=ROOT, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"review_invoices +merge +objects 6, reviewed 6", done.stdout)
    fields, read, final = re.findall(r"batch 1 +(\d+) +([\d.]+)% +([\d.]+)%", done.stdout)[0]
    assert fields == "60" and float(read) < float(final) >= 95
    (output,) = (tmp_path / "data" / "invoices").glob("*/reviews")
    record = Registry(Storage(), file_uri(output)).current()
    assert record is not None and record.trainer == "fields"
    assert (record.trained_on or 0) + (record.tested_on or 0) > 40
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
