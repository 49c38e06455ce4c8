from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trueground.errors import InputError
from trueground.project import Project, load_project, load_projects
from trueground.storage import file_uri

DIGITS = Path(__file__).resolve().parents[1] / "include/projects/digits.yaml"
SMALL = """\
name: birds
task:
  type: image-classification
  labels: [wren, robin]
  title: Which bird?
  description: Say which bird it is.
  instructions: {short: Look., full: Look closely.}
label_attribute: bird
data: {prefix: birds/images}
output: birds/labels
people: {team: annotators}
"""
Load = Callable[..., Project]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a project of this text, its data root being a folder ``data``."""

    def run(text: str | bytes, data_root: str | None = None) -> Project:
        file = tmp_path / "p.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_project(file, data_root=data_root or str(tmp_path / "data"))

    return run


@pytest.fixture
def mistake(load: Load, tmp_path: Path) -> Callable[..., InputError]:
    """The mistake in a project of this text."""

    def run(text: str | bytes, **options: Any) -> InputError:
        with pytest.raises(InputError) as caught:
            load(text, **options)
        assert caught.value.file == str(tmp_path / "p.yaml")
        return caught.value

    return run


def changed(old: str, new: str) -> str:
    assert SMALL.count(old) == 1
    return SMALL.replace(old, new)


def test_the_demos_project_says_what_it_promises(tmp_path: Path) -> None:
    project = load_project(DIGITS, data_root=str(tmp_path))
    assert project.name == "digits" and project.task.labels == tuple("0123456789")
    assert (project.label_attribute, project.task.type) == ("digit", "image-classification")
    assert project.data.prefix == file_uri(tmp_path / "digits/images")
    assert project.output == file_uri(tmp_path / "digits/labels")
    assert (project.people.team, project.verification.team) == ("annotators", "reviewers")


def test_the_demos_project_shows_every_field_there_is() -> None:
    def names(model: Any) -> Any:
        return {
            name: names(info.annotation) if hasattr(info.annotation, "model_fields") else None
            for name, info in model.model_fields.items()
        }

    def shown(value: Any) -> Any:
        return {key: shown(item) for key, item in value.items()} if isinstance(value, dict) else None

    # The fields of which a project takes another, or the default, stand in comments.
    text = DIGITS.read_text()
    expected = names(Project)
    for name in ("manifest", "column", "paused", "timezone", "most_workers_per_object", "gold", "trainer"):
        assert f"# {name}:" in text, name
    del expected["data"]["manifest"], expected["data"]["column"], expected["task"]["template"]
    del expected["paused"], expected["timezone"]
    del expected["people"]["most_workers_per_object"], expected["people"]["gold"], expected["retrain"]["trainer"]
    assert shown(yaml.safe_load(text)) == expected


def test_what_is_left_out_has_a_default(load: Load) -> None:
    project = load(SMALL)
    assert (project.schedule, project.connection, project.people.workers_per_object) == (None, "trueground", 3)
    assert project.auto_label.enabled and project.verification.enabled and not project.approval.required


@pytest.mark.parametrize(
    ("text", "line", "field", "problem", "hint"),
    [
        (SMALL + "zzz: 1\n", 12, "zzz", "there is no such field", "Known here: name, description"),
        (SMALL + "shedule: null\n", 12, "shedule", "there is no such field", "Did you mean schedule?"),
        (SMALL + "workers_per_object: 2\n", 12, "workers_per_object", "no such field", "people.workers_per_object"),
        (changed("{team: annotators}", "\n  team: a\n  workers: 2"), 13, "people.workers", "no such field", "Known"),
        (changed("short: Look.", "shrt: Look."), 7, "task.instructions.shrt", "no such field", "mean short?"),
        (SMALL + "1: x\n", 12, "1", "there is no such field", "Known here"),
        (changed("name: birds", "name: My Birds"), 1, "name", "'My Birds' is no name: small letters", None),
        (changed("name: birds", "name: 7"), 1, "name", "7 is no text", "quotes"),
        (changed("name: birds\n", ""), None, "name", "the field is missing", None),
        (changed("  title: Which bird?\n", ""), 2, "task.title", "the field is missing", None),
        (changed("[wren, robin]", "[wren, 7]"), 4, "task.labels.1", "7 is no text", "quotes"),
        (changed("[wren, robin]", "[wren, no]"), 4, "task.labels.1", "False is no text", "quotes"),
        (changed("[wren, robin]", "[wren]"), 4, "task.labels", "at least 2 items", None),
        (changed("[wren, robin]", "[wren, robin, wren]"), 4, "task.labels", "'wren' stands there twice", None),
        (changed("robin", "x" * 257), 4, "task.labels.1", "at most 256 characters", None),
        (changed("robin", '""'), 4, "task.labels.1", "at least 1 character", None),
        (changed("image-classification", "image"), 3, "task.type", "known are image-classification, label", None),
        (changed("image-classification", "label-verification"), 3, "task.type", "judges them", "verification.enabled"),
        (changed("  title:", "  template: ../x\n  title:"), 5, "task.template", "the name of a folder", None),
        (changed("attribute: bird", "attribute: a_b"), 8, "label_attribute", "'a_b' cannot be", None),
        (changed("attribute: bird", "attribute: bird-ref"), 8, "label_attribute", "end in -ref", None),
        (changed("attribute: bird", "attribute: x-metadata"), 8, "label_attribute", "must not end in -metadata", None),
        (changed("attribute: bird", "attribute: source"), 8, "label_attribute", "the object itself", None),
        (changed("attribute: bird", "attribute: source-ref"), 8, "label_attribute", "the object itself", None),
        (changed("attribute: bird", "attribute: -a"), 8, "label_attribute", "letters and digits", None),
        (changed("attribute: bird", f"attribute: {'a' * 121}"), 8, "label_attribute", "more than 120", None),
        (changed("{prefix: birds/images}", "{}"), 9, "data", "one of prefix and manifest", None),
        (changed("{prefix: ", "{manifest: m, prefix: "), 9, "data", "one of prefix and manifest", None),
        (changed("birds/images", "../images"), 9, "data.prefix", "outside the data root", "Relative paths start at"),
        (changed("birds/images", "/images"), 9, "data.prefix", "outside the data root", "Relative paths start at"),
        (changed("birds/images", "file:///images"), 9, "data.prefix", "outside the data root", "Relative paths"),
        (changed("birds/images", "https://x.org/"), 9, "data.prefix", "no URI that can be read", "s3://, file://"),
        (changed("birds/images", "s3://"), 9, "data.prefix", "needs a bucket", None),
        (changed("birds/labels", "a/../../b"), 10, "output", "outside the data root", "Relative paths"),
        (changed("birds/labels", "s3://b/../c"), 10, "output", "'..' leads nowhere on S3", None),
        (changed("team: annotators", "team: reviewers"), None, "verification.team", "nobody judges", "another"),
        (changed("{team: annotators}", "{team: ''}"), 11, "people.team", "at least 1 character", None),
        (changed("{team:", "{workers_per_object: 10, team:"), 11, "people.workers_per_object", "10: ", None),
        (changed("{team:", "{workers_per_object: true, team:"), 11, "people.workers_per_object", "True: ", None),
        (changed("{team:", "{workers_per_object: '3', team:"), 11, "people.workers_per_object", "'3': ", None),
        (changed("{team:", "{task_time_limit: 28801, team:"), 11, "people.task_time_limit", "28800", None),
        (SMALL + "auto_label: {accuracy: 98}\n", 12, "auto_label.accuracy", "98: input should be less than 1", None),
        (SMALL + "auto_label: {accuracy: .nan}\n", 12, "auto_label.accuracy", "should be", None),
        (SMALL + "auto_label: {enabled: 1}\n", 12, "auto_label.enabled", "boolean", None),
        (SMALL + "rounds: {maximum: 0}\n", 12, "rounds.maximum", "greater than or equal to 1", None),
        (SMALL + "schedule: '@nightly'\n", 12, "schedule", "'@nightly' is no schedule", None),
        (SMALL + "schedule: 0 25 * * *\n", 12, "schedule", "is no schedule; use a cron expression", None),
        (SMALL + "schedule: daily\n", 12, "schedule", "is no schedule", None),
        (SMALL + "name: again\n", 12, "name", "it stands in line 1 already", None),
        (changed("robin]", "robin]\n  type: x"), 5, "task.type", "it stands in line 3 already", None),
        (SMALL + "task: [\n", None, None, "not YAML", None),
        (SMALL + "\tx: 1\n", 12, None, "not YAML: found character", None),
        (SMALL + "schedule: 2026-13-45\n", None, None, "not YAML: month must be", None),
        (SMALL + "--- \nname: second\n", 12, None, "not YAML", None),
        (SMALL + "x: \0\n", None, None, "not YAML", None),
        (SMALL + "x: &a [*a]\n", None, None, "an alias stands inside", None),
        (SMALL + "x: !!python/object/apply:os.getcwd []\n", 12, None, "not YAML: could not determine", None),
        (b"name: \xff\n", None, None, "not UTF-8", None),
        ("", 1, None, "a mapping of fields is needed", None),
        ("- birds\n", 1, None, "a mapping of fields is needed", None),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line_its_field_and_what_to_do(
    text: Any, line: int | None, field: str | None, problem: str, hint: str | None, mistake: Callable[..., InputError]
) -> None:
    found = mistake(text)
    assert field is None or found.field == field
    assert line is None or found.line == line, found
    assert problem in str(found) and "Value error" not in str(found)
    assert hint is None or (found.hint is not None and hint in found.hint), found


@pytest.mark.parametrize("schedule", ["@daily", "0 3 * * *", "*/15 8-17 * * mon-fri", None])
def test_schedules_of_airflow_are_taken(schedule: str | None, load: Load) -> None:
    assert load(SMALL + yaml.safe_dump({"schedule": schedule})).schedule == schedule


def test_the_label_attribute_may_be_as_long_as_aws_allows_where_nothing_is_verified(load: Load) -> None:
    text = changed("attribute: bird", f"attribute: {'a' * 127}")
    assert len(load(text + "verification: {enabled: false}\n").label_attribute) == 127


def test_one_team_may_do_all_where_nothing_is_verified(load: Load) -> None:
    project = load(changed("annotators", "reviewers") + "verification: {enabled: false}\n")
    assert project.people.team == project.verification.team


def test_the_same_mistake_is_refused_without_croniter(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "croniter", None)
    assert load(SMALL + "schedule: 0 3 * * mon-fri\n").schedule == "0 3 * * mon-fri"
    with pytest.raises(InputError, match="is no schedule"):
        load(SMALL + "schedule: 0 3 * * $\n")


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("birds/images", "{root}/birds/images"),
        ("birds/images/", "{root}/birds/images"),
        ("a b/50% #1?", "{root}/a%20b/50%25%20%231%3F"),
        ("./x/../y", "{root}/./x/../y"),
        ("s3://bucket/key #1/", "s3://bucket/key #1/"),
        ("{root}/x", "{root}/x"),
    ],
)
def test_paths_start_at_the_data_root_and_uris_stay_as_they_are(
    path: str, uri: str, load: Load, tmp_path: Path
) -> None:
    root = file_uri(tmp_path / "data")
    project = load(changed("prefix: birds/images", f"prefix: '{path.format(root=root)}'"))
    assert project.data.prefix == uri.format(root=root)


def test_an_absolute_path_may_lead_into_the_data_root(load: Load, tmp_path: Path) -> None:
    project = load(changed("output: birds/labels", f"output: {tmp_path}/data/x/"))
    assert project.output == file_uri(tmp_path / "data/x")


def test_the_data_root_may_be_on_s3_and_is_read_from_the_environment(
    load: Load, mistake: Callable[..., InputError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(SMALL, data_root="s3://b/root/").data.prefix == "s3://b/root/birds/images"
    assert "'..'" in str(mistake(changed("birds/images", "../x"), data_root="s3://b/root"))
    monkeypatch.setenv("TRUEGROUND_DATA_ROOT", str(tmp_path / "elsewhere"))
    (tmp_path / "p.yaml").write_text(SMALL)
    assert load_project(tmp_path / "p.yaml").output == file_uri(tmp_path / "elsewhere/birds/labels")


def test_good_projects_are_loaded_beside_broken_ones(tmp_path: Path) -> None:
    shutil.copy(DIGITS, tmp_path / "digits.yaml")
    (tmp_path / "birds.yml").write_text(SMALL)
    (tmp_path / "broken.yaml").write_text("name: [\n")
    (tmp_path / "copy.yaml").write_text(SMALL)
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / ".hidden.yaml").write_text("name: [\n")
    (tmp_path / "README.md").write_text("no project")
    good, mistakes = load_projects(tmp_path, data_root=str(tmp_path))
    assert {file: project.name for file, project in good.items()} == {"birds.yml": "birds", "digits.yaml": "digits"}
    assert mistakes.keys() == {"broken.yaml", "copy.yaml", "folder.yaml"}
    assert str(mistakes["copy.yaml"]).startswith(f"{tmp_path}/copy.yaml: name: birds.yml has the same name")


@pytest.mark.parametrize("name", ["dataset", "predictions"])
def test_the_name_of_a_forms_dag_is_taken(name: str, mistake: Callable[..., InputError]) -> None:
    error = mistake(SMALL.replace("name: birds", f"name: {name}"))
    assert error.field == "name" and "is taken" in error.problem


def test_a_project_cannot_be_changed_once_loaded(load: Load) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(SMALL).name = "other"  # type: ignore[misc]


RUNS = st.text(max_size=300)


@pytest.fixture(scope="module")
def digits() -> Project:
    return load_project(DIGITS, data_root="/data")


@pytest.fixture(scope="module")
def job_name_shape() -> Any:
    """What AWS says of a labeling job's name."""
    return botocore.session.get_session().get_service_model("sagemaker").shape_for("LabelingJobName")


@given(run=RUNS, step=RUNS, other=st.tuples(RUNS, RUNS))
def test_job_names_are_valid_and_the_same_only_for_the_same_step(
    run: str, step: str, other: tuple[str, str], digits: Project, job_name_shape: Any
) -> None:
    name = digits.job_name(run, step)
    limits = job_name_shape.metadata
    assert len(name) <= limits["max"] == 63 and re.fullmatch(limits["pattern"], name)
    assert (name == digits.job_name(*other)) == ((run, step) == other)


def test_job_names_are_readable_and_differ_between_projects_and_outputs(load: Load) -> None:
    names = {
        load(text).job_name("manual__2026-11-23T20:00:00+00:00", "round-1")
        for text in (SMALL, changed("name: birds", "name: words"), changed("birds/labels", "birds/labels2"))
    }
    assert len(names) == 3 and sum(name.startswith("birds-round-1-") for name in names) == 2


def test_a_project_may_ask_for_as_many_workers_as_it_takes_and_for_gold_objects(load: Load, tmp_path: Path) -> None:
    people = (
        "people: {team: annotators, workers_per_object: 1, most_workers_per_object: 4, gold: {manifest: gold.manifest}}"
    )
    project = load(SMALL.replace("people: {team: annotators}", people))
    assert project.people.confidence == 0.95
    assert project.people.gold is not None
    assert project.people.gold.manifest == file_uri(tmp_path / "data/gold.manifest")


def test_the_most_workers_cannot_be_fewer_than_the_least(mistake: Callable[..., InputError]) -> None:
    people = "people: {team: annotators, workers_per_object: 3, most_workers_per_object: 2}"
    assert "people" in str(mistake(SMALL.replace("people: {team: annotators}", people)).field)


@pytest.mark.parametrize("where", ["prefix", "manifest"])
def test_the_night_in_a_path_becomes_the_runs_own(load: Load, where: str) -> None:
    text = SMALL.replace("data: {prefix: birds/images}", f'data: {{{where}: "in {{night}}/some"}}')
    data = load(text).data.of_night("2026-01-31")
    assert str(getattr(data, where)).endswith("/in%202026-01-31/some")
    assert load(SMALL).data.of_night("2026-01-31") == load(SMALL).data
