"""A labeling project that was filled in as a form."""

from __future__ import annotations

from pathlib import Path

import pytest

from trueground.errors import InputError
from trueground.project_form import claim, content_of, field_schema, project_of
from trueground.storage import Storage

VALUES = {
    "name": "birds", "data.prefix": "pictures/", "data.manifest": None, "label_attribute": "bird",
    "task.type": "image-classification", "task.labels": ["robin", "wren"], "task.title": "Which bird?",
    "task.description": "Say which.", "task.instructions.short": "Look.", "task.instructions.full": "Look well.",
    "task.template": "", "people.team": "annotators", "people.workers_per_object": 2,
}  # fmt: skip


def test_a_form_makes_the_project_that_a_file_would(tmp_path: Path) -> None:
    project = project_of(content_of(VALUES), data_root=str(tmp_path))
    assert (project.name, project.people.workers_per_object, project.task.template) == ("birds", 2, None)
    assert project.data.prefix == f"file://{tmp_path}/pictures"
    assert project.output == f"file://{tmp_path}/birds/labels"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"data.manifest": "birds.manifest"}, "data"),
        ({"people.workers_per_object": 10}, "people.workers_per_object"),
        ({"verification.team": "annotators"}, "verification.team"),
        ({"task.labels": ["robin", "robin"]}, "task.labels"),
        ({"name": "No Name"}, "name"),
        ({"data.prefix": "../outside"}, "data.prefix"),
    ],
)
def test_values_that_cannot_be_are_refused_by_their_field(
    tmp_path: Path, change: dict[str, object], field: str
) -> None:
    with pytest.raises(InputError) as caught:
        project_of(content_of({**VALUES, **change}), data_root=str(tmp_path))
    assert caught.value.field == field


def test_a_field_of_the_form_has_the_range_and_the_default_of_the_project() -> None:
    assert field_schema("people.workers_per_object") == {"type": "integer", "minimum": 1, "maximum": 9, "default": 3}
    optional = field_schema("people.most_workers_per_object")
    assert optional == {"type": ["integer", "null"], "minimum": 1, "maximum": 9, "default": None}
    with pytest.raises(KeyError):
        field_schema("people.colour")


def test_a_data_set_belongs_to_the_first_run_of_its_name(tmp_path: Path) -> None:
    project, storage = project_of(content_of(VALUES), data_root=str(tmp_path)), Storage(data_root=str(tmp_path))
    claim(project, "first", storage)
    claim(project, "first", storage)
    with pytest.raises(InputError, match="'first' works on 'birds'") as caught:
        claim(project, "second", storage)
    assert caught.value.field == "name"
