"""What a project makes is never what a project labels."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from trueground.errors import InputError
from trueground.manifests import build_manifest
from trueground.outputs import MARK, mark_output, overlap
from trueground.project import load_projects
from trueground.project_form import content_of, project_of
from trueground.review.project import load_review_projects
from trueground.storage import Storage, file_uri

ROOT = Path(__file__).resolve().parents[1]
DIGITS = yaml.safe_load((ROOT / "include/projects/digits.yaml").read_text())
INVOICES = yaml.safe_load((ROOT / "include/projects/invoices.yaml").read_text())


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("file:///d/comments", "file:///d/comments/labels", True),
        ("file:///d/comments/", "file:///d/comments", True),
        ("file:///d/comments/2026/new", "file:///d/comments", True),
        ("file:///d/comments", "file:///d/comments-labels", False),
        ("file:///d/a/../b", "file:///d/b/c", True),
        ("file:///d/with%20space", "file:///d/with%20space/out", True),
        ("file:///d/incoming/{night}", "file:///d/incoming/labels", False),
        ("file:///d/incoming/%7Bnight%7D", "file:///d/incoming/2026-01-31", True),
        ("file:///d/incoming/{night}/new", "file:///d/incoming", True),
        ("file:///d/x-{night}", "file:///d/x-2026-01-31/out", True),
        ("s3://b/comments/", "s3://b/comments/labels", True),
        ("s3://b", "s3://b/labels", True),
        ("s3://b/comments", "s3://c/comments", False),
        ("s3://d/x", "file:///d/x", False),
    ],
)
def test_two_folders_overlap_where_one_lies_in_the_other(first: str, second: str, expected: bool) -> None:
    assert overlap(first, second) is expected
    assert overlap(second, first) is expected


@pytest.mark.parametrize(
    ("prefix", "output"),
    [("comments/", "comments/labels"), ("made/in", "made"), ("in/{night}", "in/2026-01-31/labels"), ("same", "same")],
)
def test_a_project_cannot_label_its_own_output(tmp_path: Path, prefix: str, output: str) -> None:
    (tmp_path / "one.yaml").write_text(yaml.safe_dump({**DIGITS, "data": {"prefix": prefix}, "output": output}))
    good, mistakes = load_projects(tmp_path, data_root=str(tmp_path))
    assert not good
    mistake = mistakes["one.yaml"]
    assert mistake.field == "data.prefix" and mistake.line is not None
    assert "labels would be labeled" in mistake.problem


def test_a_project_cannot_label_the_output_of_another_of_any_kind(tmp_path: Path) -> None:
    labels = {**DIGITS, "name": "labels", "data": {"prefix": "reviews/published"}, "output": "labels/out"}
    reviews = {**INVOICES, "name": "reviews", "output": "reviews"}
    reviews["source"] = {"kind": "documents", "prefix": "labels/out/jobs"}
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(labels))
    (tmp_path / "reviews.yaml").write_text(yaml.safe_dump(reviews))
    good, mistakes = load_projects(tmp_path, data_root=str(tmp_path))
    assert not good and "the output of reviews.yaml" in mistakes["labels.yaml"].problem
    good_reviews, of_reviews = load_review_projects(tmp_path, data_root=str(tmp_path))
    assert not good_reviews and "the output of labels.yaml" in of_reviews["reviews.yaml"].problem
    # A manifest that another project published is a way to build on its labels.
    labels["data"] = {"manifest": "reviews/runs/1/published/labels.manifest"}
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(labels))
    assert set(load_projects(tmp_path, data_root=str(tmp_path))[0]) == {"labels.yaml"}


def test_a_form_cannot_label_what_it_makes(tmp_path: Path) -> None:
    task = {key: DIGITS["task"][key] for key in ("title", "description")}
    values = {"name": "comments", "data.prefix": "comments/", "label_attribute": "label", "people.team": "annotators"}
    values |= {f"task.{key}": text for key, text in task.items()} | {"task.labels": ["a", "b"]}
    values |= {"task.type": "text-classification", "task.instructions.short": "s", "task.instructions.full": "f"}
    with pytest.raises(InputError, match="labels would be labeled") as caught:
        project_of(content_of(values), data_root=str(tmp_path))
    assert caught.value.field == "data.prefix"


@pytest.mark.parametrize("media", ["image", "text"])
def test_a_folder_that_holds_an_output_or_lies_in_one_is_refused(tmp_path: Path, media: str) -> None:
    storage, data = Storage(), tmp_path / "data"
    (data / "a" / "runs").mkdir(parents=True)
    for folder in (data, data / "a", data / "a" / "runs"):
        (folder / ("x.png" if media == "image" else "x.txt")).write_text("hello")
    out = file_uri(tmp_path / "out.manifest")
    assert build_manifest(storage, file_uri(data), out, media=media)  # type: ignore[arg-type]
    mark_output(storage, file_uri(data / "a"), "other")
    with pytest.raises(InputError, match=re.escape("it holds the output of a project")):
        build_manifest(storage, file_uri(data), out, media=media)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=re.escape("it lies in the output of a project")):
        build_manifest(storage, file_uri(data / "a" / "runs"), out, media=media)  # type: ignore[arg-type]
    before = (data / "a" / MARK).stat().st_mtime_ns
    mark_output(storage, file_uri(data / "a"), "other")
    assert (data / "a" / MARK).stat().st_mtime_ns == before
