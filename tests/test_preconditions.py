"""What a project needs is checked before anybody is asked anything, all of it at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.digits import write_digits
from trueground.errors import InputError
from trueground.preconditions import missing, together
from trueground.review.project import load_any_project
from trueground.storage import Storage

ROOT = Path(__file__).resolve().parents[1]
PROJECTS, TEMPLATES = ROOT / "include" / "projects", ROOT / "include" / "templates"


def fields(problems: list[InputError]) -> list[str | None]:
    return [problem.field for problem in problems]


def check(file: Path, root: Path, members: Any = lambda team: 1, templates: Path = TEMPLATES) -> list[InputError]:
    project = load_any_project(file, data_root=str(root))
    return missing(project, Storage(data_root=root), members=members, templates=templates, projects=PROJECTS)


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    def members(team: str) -> int:
        if team == "reviewers":
            raise InputError("there is no work team 'reviewers'", hint="Make it.")
        return 0

    (tmp_path / "digits" / "images").mkdir(parents=True)
    problems = check(PROJECTS / "digits.yaml", tmp_path, members, tmp_path / "no-templates")
    assert fields(problems) == [
        "people.team", "verification.team", "task.template", "verification.enabled", "data.prefix",
    ]  # fmt: skip
    text = str(together(problems, file="digits.yaml"))
    assert text.startswith("digits.yaml: 5 things are missing:\n")
    assert "people.team: nobody is in the work team 'annotators'" in text
    assert "trueground team add annotators --worker NAME" in text


def test_nothing_is_missing_where_all_is_there_or_cannot_be_known(tmp_path: Path) -> None:
    write_digits(tmp_path / "digits" / "images", tmp_path / "truth.csv", limit=2)
    assert check(PROJECTS / "digits.yaml", tmp_path) == []
    assert check(PROJECTS / "digits.yaml", tmp_path, lambda team: None) == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"manifest": "none.manifest"}, ["data.manifest"]),
        ({"manifest": "{night}.manifest"}, []),
        ({"prefix": "nights/{night}"}, []),
        ({"prefix": "empty"}, ["data.prefix"]),
        ({"prefix": "none"}, ["data.prefix"]),
    ],
)
def test_data_must_be_there_unless_it_comes_with_the_night(tmp_path: Path, data: dict[str, str], expected: Any) -> None:
    (tmp_path / "empty").mkdir()
    content = yaml.safe_load((PROJECTS / "digits.yaml").read_text()) | {"data": data}
    content["people"]["gold"] = {"manifest": "gold.manifest"}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(content))
    assert fields(check(tmp_path / "p.yaml", tmp_path)) == [*expected, "people.gold.manifest"]


def test_a_review_project_needs_its_predictions_its_model_and_its_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = check(PROJECTS / "digit-reviews.yaml", tmp_path)
    assert fields(problems) == ["source.prefix", "source.project"]
    assert "Run label_digits first" in str(problems[1])
    content = yaml.safe_load((PROJECTS / "digit-reviews.yaml").read_text())
    content["source"] = {"kind": "file", "predictions": "none.jsonl"}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(content))
    assert fields(check(tmp_path / "p.yaml", tmp_path)) == ["source.predictions"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    problems = check(PROJECTS / "invoices.yaml", tmp_path)
    assert fields(problems) == ["source.prefix", "source.kind"]
    assert "make documents" in str(problems[1])


def test_load_any_project_reads_both_kinds() -> None:
    assert load_any_project(PROJECTS / "digits.yaml").name == "digits"
    assert load_any_project(PROJECTS / "invoices.yaml").name == "invoices"
