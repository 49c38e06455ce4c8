from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trueground.reports.tables import SCHEMA, labels_table, write_parquet
from trueground.storage import Storage, file_uri


def test_a_row_says_what_the_manifest_line_says() -> None:
    line = {
        "source-ref": "s3://bucket/a.png",
        "digit": 3,
        "digit-metadata": {
            "class-name": "3",
            "confidence": 0.97,
            "type": "groundtruth/image-classification",
            "job-name": "labeling-job/digits-labels",
            "human-annotated": "no",
            "creation-date": "2026-11-23T00:07:01.000002",
            "adjustment-status": "unadjusted",
        },
    }
    table = labels_table([line], "digit")
    assert table.schema == SCHEMA
    assert table.to_pylist() == [
        {
            "object": "s3://bucket/a.png",
            "source_ref": "s3://bucket/a.png",
            "source": None,
            "label": "3",
            "confidence": 0.97,
            "human": False,
            "adjusted": False,
            "job_name": "labeling-job/digits-labels",
            "created": datetime(2026, 11, 23, 0, 7, 1, 2),
            "failure_reason": None,
        }
    ]


def test_an_object_without_a_label_keeps_its_row() -> None:
    (row,) = labels_table([{"source": "late again"}], "mood").to_pylist()
    assert row["source"] == "late again" and row["object"].startswith("text:")
    assert row["label"] is None and row["human"] is None and row["adjusted"] is None


def test_a_failed_object_says_why_and_has_no_label() -> None:
    line = {"source": "x", "mood": -1, "mood-metadata": {"failure-reason": "no answers", "human-annotated": "yes"}}
    (row,) = labels_table([line], "mood").to_pylist()
    assert row["failure_reason"] == "no answers" and row["label"] is None


def test_a_label_with_parts_is_json_and_as_sure_as_its_least_sure_part() -> None:
    boxes = {"image_size": [{"width": 5, "height": 4, "depth": 3}], "annotations": [{"class_id": 0, "left": 1}]}
    line = {
        "source-ref": "s3://b/a.png",
        "boxes": boxes,
        "boxes-metadata": {"objects": [{"confidence": 0.9}, {"confidence": 0.4}], "human-annotated": "yes"},
    }
    (row,) = labels_table([line], "boxes").to_pylist()
    assert json.loads(row["label"]) == boxes
    assert row["confidence"] == 0.4 and row["human"] is True


@pytest.mark.parametrize("sample", sorted((Path(__file__).parent / "samples").glob("*.jsonl")), ids=lambda p: p.stem)
def test_lines_as_aws_writes_them_become_rows(sample: Path) -> None:
    for text in sample.read_text().splitlines():
        line = json.loads(text)
        attribute = next(key.removesuffix("-metadata") for key in line if key.endswith("-metadata"))
        (row,) = labels_table([line], attribute).to_pylist()
        assert row["label"] is not None and row["human"] is True and row["confidence"] is not None


def test_no_lines_make_a_table_without_rows() -> None:
    assert labels_table([], "digit").num_rows == 0


def test_the_parquet_file_holds_the_table(tmp_path: Path) -> None:
    table = labels_table([{"source": "a", "mood": 0, "mood-metadata": {"class-name": "happy"}}], "mood")
    uri = file_uri(tmp_path / "labels.parquet")
    write_parquet(Storage(tmp_path), uri, table)
    assert pq.read_table(tmp_path / "labels.parquet").equals(table)


def test_a_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="disk is full"):
        write_parquet(Storage(tmp_path), file_uri(tmp_path / "labels.parquet"), pa.table({}))
    assert list(tmp_path.iterdir()) == []
