"""Forms in Airflow in place of a project file: what they ask, and the task that makes a project of the answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Param

from operators.base import refuse_incomplete
from operators.connections import PROJECTS_FOLDER, TEMPLATES_FOLDER, data_root, storage_of
from operators.failures import failing
from trueground.errors import InputError
from trueground.outputs import refuse_overlap
from trueground.project import load_projects
from trueground.project_form import claim, content_of, field_schema, project_of
from trueground.review.project import load_review_projects
from trueground.tasks import task_types

if TYPE_CHECKING:
    from airflow.sdk import Context

    from trueground.project_files import ProjectFile

ROUNDS = 5
"""At most so many rounds has a data set that is labeled by form: the DAG has them all, and skips what is too much."""

MORE_ROUNDS = 2
"""So many rounds may follow at once where a run goes on."""

SECTIONS = {
    "Data": {
        "name": ("Name", "Of the data set: small letters, digits and hyphens. Each form needs a new one."),
        "data.prefix": ("Folder", "All pictures or texts below it: a path from the data root, or an s3:// URI."),
        "data.manifest": ("Manifest", "Instead of a folder: a manifest in JSON Lines."),
        "data.column": ("Column", "Of CSV files: the column with the text. Empty: it is recognized by its name."),
        "label_attribute": ("Label attribute", "The key that holds the label in the manifest."),
        "connection": ("Connection", "The Airflow connection of the labeling service."),
    },
    "Task": {
        "task.type": ("Task type", "What people are asked."),
        "task.labels": ("Labels", "What people choose from: one a line, at least two."),
        "task.title": ("Title", "What people read first."),
        "task.description": ("Description", "One sentence, in the list of work."),
        "task.instructions.short": ("Short instructions", "HTML, beside each task."),
        "task.instructions.full": ("Full instructions", "HTML, behind a button."),
        "task.template": ("Template", "A folder of include/templates/. Empty: the task type's own."),
    },
    "People": {
        "people.team": ("Team", "The work team that labels."),
        "people.workers_per_object": ("Workers an object", "How many people label the same object."),
        "people.most_workers_per_object": (
            "At most", "One more is asked, up to this many, only while a label is unsure. Empty: never.",
        ),
        "people.priority": ("Priority", "Jobs with a higher one give their tasks first."),
        "people.task_time_limit": ("Time limit", "Seconds that a task may take before it goes to somebody else."),
        "people.availability": ("Availability", "Seconds until a job gives up on what nobody labeled."),
    },
    "Rounds and machine labels": {
        "rounds.maximum": ("Rounds", "At most so many. In the last one people label all that is left."),
        "rounds.first": ("First round", "Objects that people label in it, where it is not the last."),
        "rounds.each": ("Later rounds", "Objects that people label in each."),
        "auto_label.enabled": ("Label by machine", "What a model is sure of, people need not label."),
        "auto_label.accuracy": ("Promise", "At least this share of machine labels is right."),
        "auto_label.confidence": ("Confidence", "How sure this promise is, and the certificate."),
    },
    "Verification": {
        "verification.enabled": ("Verify", "A second team judges labels before they are published."),
        "verification.team": ("Verifying team", "Another one than the team that labels."),
        "verification.workers_per_object": ("Judges", "How many people judge the same label."),
        "verification.sample": ("Sample", "Labels judged that are drawn at random: the certificate rests on them."),
        "verification.least_sure": ("Least sure", "Labels judged because they are the least sure."),
    },
}  # fmt: skip
"""What the form asks, by the dotted places of a project's fields: title and help."""


def dataset_form() -> dict[str, Param]:
    """The form of `label_dataset`. Teams are suggested as the project files name them; others may be written."""
    projects = load_projects(PROJECTS_FOLDER, data_root=data_root())[0].values()
    teams = sorted({team for project in projects for team in (project.people.team, project.verification.team)})
    kinds = sorted(name for name in task_types() if name != "label-verification")
    templates = sorted(folder.name for folder in TEMPLATES_FOLDER.iterdir() if folder.is_dir())
    changes: dict[str, dict[str, Any]] = {
        "label_attribute": {"default": "label"},
        "task.type": {"default": kinds[0], "enum": kinds},
        "task.labels": {"default": ["yes", "no"]},
        "task.title": {"default": "What is it?"},
        "task.description": {"default": "Choose the label that fits."},
        "task.instructions.short": {"default": "<p>Choose the label that fits best.</p>", "format": "multiline"},
        "task.instructions.full": {"default": "<p>Choose the label that fits best.</p>", "format": "multiline"},
        "task.template": {"enum": [*templates, None]},
        "people.team": {"examples": teams},
        "rounds.maximum": {"default": 1, "maximum": ROUNDS},
        "verification.team": {"examples": teams},
    }
    return {
        place: form_field(section, title, help, {**field_schema(place), **changes.get(place, {})})
        for section, fields in SECTIONS.items()
        for place, (title, help) in fields.items()
    }


def continue_form() -> dict[str, Param]:
    """What is asked where a run goes on; what is left empty stays as the project has it."""
    return {
        "more_rounds": Param(
            0, type="integer", minimum=0, maximum=MORE_ROUNDS, title="More rounds",
            description="For a run that stopped early: people label what has no label. 0: verify only.",
        ),
        **{
            place: form_field(section, title, help, or_nothing(field_schema(place)))
            for section, fields in SECTIONS.items()
            for place, (title, help) in fields.items()
            if place in ("rounds.each", "people.workers_per_object") or section == "Verification"
        },
    }  # fmt: skip


def or_nothing(schema: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of a field that may be left empty, as it is at first."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    choices = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, **choices, "type": list(dict.fromkeys([*kinds, "null"])), "default": None}


def form_field(section: str, title: str, help: str, schema: dict[str, Any]) -> Param:
    """A field of a form, by the JSON schema of its value."""
    # What has no default starts empty; the form refuses that where the field must say something.
    default = schema.get("default", None if "null" in schema["type"] else "")
    rest = {key: value for key, value in schema.items() if key != "default"}
    return Param(default, description=help, title=title, section=section, **rest)


class MakeProjectOperator(BaseOperator):
    """Make a project of the form's values and keep it in the run's folder; a wrong value fails the task by its field.

    Args:
        connection: the Airflow connection that reaches the files. Templated.

    Returns:
        ``project``, the URI of the project: what the other operators take in place of a file's name.
    """

    template_fields: Sequence[str] = ("connection",)

    def __init__(self, *, connection: str = "trueground", **kwargs: Any) -> None:
        super().__init__(multiple_outputs=True, **kwargs)
        self.connection = connection

    def execute(self, context: Context) -> dict[str, str]:
        """Check the values together, claim the name for this run, keep the project."""
        from trueground.run import RunFolder

        content = self.content(dict(context["params"]))
        with failing(self.log):
            project = self.check(json.loads(json.dumps(content)))
            for file, other in self.known().items():
                if project.name == other.name or project.output == other.output:
                    raise InputError(f"{file} has it", field="name", hint="Choose another name.")
                refuse_overlap(project.prefixes, other.output, f"the output of {file}")
            storage = storage_of(self.connection)
            run = RunFolder(project, context["run_id"], storage)
            refuse_incomplete(run)
            claim(project, context["run_id"], storage)
        run.write_json(content, "project.json")
        return {"project": run.uri("project.json")}

    def content(self, values: dict[str, Any]) -> dict[str, Any]:
        """The project file that the form's values amount to."""
        return content_of(values)

    def check(self, content: dict[str, Any]) -> ProjectFile:
        """The project that the content declares. Raises :class:`InputError` with the field of the first mistake."""
        return project_of(content, data_root=data_root())

    def known(self) -> Mapping[str, ProjectFile]:
        """The projects that there are as files, of both kinds."""
        labeling, reviews = (
            load(PROJECTS_FOLDER, data_root=data_root())[0] for load in (load_projects, load_review_projects)
        )
        return {**labeling, **reviews}
